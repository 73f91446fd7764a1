//! A time of nothing.

use veritas_macros::cached;

#[cached(ttl = "1h", negative_ttl = "0s", crate = veritas_cache)]
fn function(id: u8) -> Option<u8> {
    Some(id)
}

fn main() {}
