//! The compiler has no clock.

use veritas_macros::profile;

#[profile(crate = veritas_profile)]
const fn constant() -> u8 {
    1
}

fn main() {}
