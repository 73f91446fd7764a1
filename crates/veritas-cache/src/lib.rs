//! Caching optimization: an in-process cache with true statistics and measured memory.

fn main() {}
