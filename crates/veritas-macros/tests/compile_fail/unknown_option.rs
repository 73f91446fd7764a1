//! An option that does not exist.

use veritas_macros::profile;

#[profile(nmae = "x", crate = veritas_profile)]
fn function() {}

fn main() {}
