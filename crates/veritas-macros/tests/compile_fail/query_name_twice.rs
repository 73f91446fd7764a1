//! Two names.

use veritas_macros::query;

#[query("names", name = "others", crate = veritas_database)]
fn names() {}

fn main() {}
