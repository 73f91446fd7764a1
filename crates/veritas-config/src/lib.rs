//! Configuration: defaults < file < environment < flags; a value knows its origin.

fn main() {}
