//! The `veritas` binary.

fn main() {}
