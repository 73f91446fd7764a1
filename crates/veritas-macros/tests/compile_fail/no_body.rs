//! A function without a body is profiled where it has one.

use veritas_macros::profile;

trait Store {
    #[profile(crate = veritas_profile)]
    fn load(&self);
}

fn main() {}
