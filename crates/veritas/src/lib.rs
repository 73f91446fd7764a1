//! Finds what makes an application slow, proves the fix, applies it, and takes it back when it does not help.

fn main() {}
