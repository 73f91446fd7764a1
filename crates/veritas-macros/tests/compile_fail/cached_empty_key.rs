//! One result of all calls.

use veritas_macros::cached;

#[cached(key(), crate = veritas_cache)]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
