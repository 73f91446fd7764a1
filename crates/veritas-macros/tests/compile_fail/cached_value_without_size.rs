//! A result tells how large it is.

use veritas_macros::cached;

#[derive(Clone)]
struct User;

#[cached(crate = veritas_cache)]
fn load(id: u64) -> Option<User> {
    (id > 0).then_some(User)
}

fn main() {}
