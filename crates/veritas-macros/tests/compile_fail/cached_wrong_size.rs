//! A size with a unit of another kind.

use veritas_macros::cached;

#[cached(capacity = "16 MB", crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
