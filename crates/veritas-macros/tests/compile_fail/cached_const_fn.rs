//! The compiler has no cache.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
const fn constant(id: u8) -> u8 {
    id
}

fn main() {}
