//! A tag of something that is not there.

use veritas_macros::cached;

#[cached(tags("user:{user_id}"), crate = veritas_cache)]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
