//! Only functions are called.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
struct Thing;

fn main() {}
