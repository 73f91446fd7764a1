//! Alert rules: pending, firing, resolved, and durable transitions.

fn main() {}
