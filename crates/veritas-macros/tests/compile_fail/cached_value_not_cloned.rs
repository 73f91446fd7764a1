//! A result is cloned out.

use veritas_macros::cached;

struct User;

impl veritas_cache::HeapSize for User {
    fn heap_size(&self) -> usize {
        0
    }
}

#[cached(crate = veritas_cache)]
fn load(id: u64) -> Option<User> {
    (id > 0).then_some(User)
}

fn main() {}
