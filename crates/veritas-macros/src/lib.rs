//! `#[veritas::profile]`.

fn main() {}
