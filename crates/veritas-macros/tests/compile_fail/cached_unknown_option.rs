//! An option that does not exist.

use veritas_macros::cached;

#[cached(tll = "5m", crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
