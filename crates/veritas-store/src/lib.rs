//! History of metrics and the control plane: what survives a restart.

fn main() {}
