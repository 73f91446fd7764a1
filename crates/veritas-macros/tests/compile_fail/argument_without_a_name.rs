//! A pattern has no name to hash.

use veritas_macros::profile;

#[profile(arguments, crate = veritas_profile)]
fn function((a, b): (u8, u8)) {}

fn main() {}
