//! Query optimization: statement recorders, findings, and an index advisor that proves by running.

fn main() {}
