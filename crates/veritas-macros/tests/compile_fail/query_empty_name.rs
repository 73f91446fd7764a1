//! A name that says nothing.

use veritas_macros::query;

#[query(" ", crate = veritas_database)]
fn names() {}

fn main() {}
