//! One option, two values.

use veritas_macros::cached;

#[cached(ttl = "5m", ttl = "6m", crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
