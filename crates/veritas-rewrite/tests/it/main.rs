//! The tests of the crate.

mod bounds;
mod cases;
mod equivalence;
mod postgres;
mod sqlite;
mod texts;
