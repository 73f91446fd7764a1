//! A share beyond its range.

use veritas_macros::cached;

#[cached(jitter = 0.6, crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
