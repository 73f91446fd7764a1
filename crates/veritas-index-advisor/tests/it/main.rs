//! The tests of the crate.

mod candidates;
mod drops;
mod sizes;
