//! A result outlives what it was made of.

use veritas_macros::cached;

#[cached(crate = veritas_cache)]
fn first(text: &str) -> Option<&str> {
    text.split(' ').next()
}

fn main() {}
