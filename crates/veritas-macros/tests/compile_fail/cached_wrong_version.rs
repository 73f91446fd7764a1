//! A version below 0.

use veritas_macros::cached;

#[cached(version = -1, crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
