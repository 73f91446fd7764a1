//! A method says what its result depends on.

use veritas_macros::profile;

struct Store;

impl Store {
    #[profile(arguments, crate = veritas_profile)]
    fn load(&self, id: u64) {}
}

fn main() {}
