//! A time without a unit.

use veritas_macros::cached;

#[cached(ttl = "5", crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
