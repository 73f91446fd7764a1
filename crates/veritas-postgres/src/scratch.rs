//! Databases of our own, for proofs.
