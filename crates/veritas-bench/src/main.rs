//! Whole-system benchmarks beside the peers.

fn main() {}
