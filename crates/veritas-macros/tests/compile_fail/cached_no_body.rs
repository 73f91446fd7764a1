//! A function without a body is cached where it has one.

use veritas_macros::cached;

trait Store {
    #[cached(ignore(self), crate = veritas_cache)]
    fn load(&self) -> u8;
}

fn main() {}
