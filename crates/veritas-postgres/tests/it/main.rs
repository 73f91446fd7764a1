//! The tests of the crate.

mod facts;
mod doctor;
mod doctor_planted;
mod migration;
mod scratch;
