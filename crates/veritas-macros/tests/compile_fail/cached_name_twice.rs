//! Two names.

use veritas_macros::cached;

#[cached("a", name = "b", crate = veritas_cache)]
fn function(id: u8) -> u8 {
    id
}

fn main() {}
