//! A method says what its result depends on.

use veritas_macros::cached;

struct Store;

impl Store {
    #[cached(crate = veritas_cache)]
    fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
