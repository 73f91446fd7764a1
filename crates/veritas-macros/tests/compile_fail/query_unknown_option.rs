//! An option that does not exist.

use veritas_macros::query;

#[query(label = "names", crate = veritas_database)]
fn names() {}

fn main() {}
