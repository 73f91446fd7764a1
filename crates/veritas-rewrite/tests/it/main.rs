//! The tests of the crate.

mod bounds;
mod cases;
mod equivalence;
mod postgres;
mod random;
mod sqlite;
mod statements;
mod texts;
