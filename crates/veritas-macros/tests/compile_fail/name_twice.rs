//! Two names.

use veritas_macros::profile;

#[profile("a", name = "b", crate = veritas_profile)]
fn function() {}

fn main() {}
