//! A `const fn` runs no queries.

use veritas_macros::query;

#[query("names", crate = veritas_database)]
const fn names() -> u8 {
    7
}

fn main() {}
