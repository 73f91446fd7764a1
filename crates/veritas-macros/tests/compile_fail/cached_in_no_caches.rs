//! Something that keeps nothing.

use veritas_macros::cached;

#[cached(in = 7_u8, crate = veritas_cache)]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
