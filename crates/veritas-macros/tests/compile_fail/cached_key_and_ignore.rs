//! Both ways to say it.

use veritas_macros::cached;

#[cached(key(id), ignore(other), crate = veritas_cache)]
fn load(id: u64, other: u64) -> u64 {
    id + other
}

fn main() {}
