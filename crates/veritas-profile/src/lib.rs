//! Function profiling: time and percentiles of named functions, sync and async.

fn main() {}
