//! A connection is no part of a key.

use veritas_macros::cached;

struct Connection;

#[cached(crate = veritas_cache)]
fn load(connection: &Connection, id: u64) -> u64 {
    let _ = connection;
    id
}

fn main() {}
