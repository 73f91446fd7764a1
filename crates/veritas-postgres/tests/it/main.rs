//! The tests of the crate.

mod actuator;
mod facts;
mod doctor;
mod doctor_planted;
mod grants;
mod migration;
mod scratch;
mod session;
mod view;
