//! Only functions are called.

use veritas_macros::profile;

#[profile(crate = veritas_profile)]
struct Thing;

fn main() {}
