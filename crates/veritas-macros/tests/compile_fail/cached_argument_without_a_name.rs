//! A pattern has no name.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
fn function((a, b): (u8, u8)) -> u8 {
    a + b
}

fn main() {}
