//! The tests of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod actuator;
mod facts;
mod findings;
mod doctor;
mod doctor_planted;
mod grants;
mod migration;
mod scratch;
mod session;
#[cfg(feature = "tls")]
mod session_tls;
mod view;
mod guard;
#[expect(dead_code, reason = "the long form of the proof is an example")]
#[path = "../escapes/proof.rs"]
mod proof;
mod rewrites;
mod trial;
mod watch;
mod advice;
