//! Propose, prove, apply, verify, keep or take back: the ledger's logic.

fn main() {}
