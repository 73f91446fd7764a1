//! A type without a name.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
fn numbers(id: u8) -> Option<impl Iterator<Item = u8>> {
    Some(0..id)
}

fn main() {}
