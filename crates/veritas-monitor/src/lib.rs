//! System and process monitoring from a background sampler.

fn main() {}
