//! The tests of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod actuator;
mod advice;
mod doctor;
mod doctor_planted;
mod facts;
mod findings;
mod grants;
mod guard;
mod migration;
#[expect(dead_code, reason = "the long form of the proof is an example")]
#[path = "../escapes/proof.rs"]
mod proof;
mod rewrites;
mod scratch;
mod session;
#[cfg(feature = "tls")]
mod session_tls;
mod trial;
mod view;
mod watch;
