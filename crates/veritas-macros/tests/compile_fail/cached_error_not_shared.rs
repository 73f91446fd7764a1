//! Who waited gets the error too.

use veritas_macros::cached;

#[derive(Debug)]
struct Failed;

#[cached(crate = veritas_cache)]
fn load(id: u64) -> Result<u64, Failed> {
    if id == 0 { Err(Failed) } else { Ok(id) }
}

fn main() {}
