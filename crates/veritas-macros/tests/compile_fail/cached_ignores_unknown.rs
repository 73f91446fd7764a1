//! An argument that is not there.

use veritas_macros::cached;

#[cached(ignore(conection), crate = veritas_cache)]
fn load(connection: &mut Vec<u8>, id: u64) -> u64 {
    connection.clear();
    id
}

fn main() {}
