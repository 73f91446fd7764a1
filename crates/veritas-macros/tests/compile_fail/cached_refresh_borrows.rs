//! A body in the background outlives its caller.

use veritas_macros::cached;

#[cached(stale = "1m", refresh, crate = veritas_cache)]
fn load(id: u64, section: &str) -> usize {
    section.len() + id as usize
}

fn main() {}
