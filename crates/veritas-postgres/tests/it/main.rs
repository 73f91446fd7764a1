//! The tests of the crate.
#[expect(dead_code, reason = "the long form of the proof is an example")]
#[path = "../escapes/proof.rs"]

mod actuator;
mod doctor;
mod doctor_planted;
mod facts;
mod grants;
mod guard;
mod migration;
mod proof;
mod rewrites;
mod scratch;
mod session;
mod trial;
mod view;
mod watch;
