//! The tests of the crate.

mod facts;
mod migration;
