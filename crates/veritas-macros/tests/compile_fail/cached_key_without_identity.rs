//! Nor in an expression.

use veritas_macros::cached;

struct Connection;

#[cached(key(id, connection), crate = veritas_cache)]
fn load(connection: &Connection, id: u64) -> u64 {
    let _ = connection;
    id
}

fn main() {}
