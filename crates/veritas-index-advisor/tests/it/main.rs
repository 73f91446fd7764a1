//! The tests of the crate.

mod sizes;
