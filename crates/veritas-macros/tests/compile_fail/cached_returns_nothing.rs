//! There is nothing to keep.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
fn write(id: u8) {
    let _ = id;
}

fn main() {}
