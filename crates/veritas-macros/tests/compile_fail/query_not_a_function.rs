//! Only functions are labelled.

use veritas_macros::query;

#[query("names", crate = veritas_database)]
struct Names;

fn main() {}
