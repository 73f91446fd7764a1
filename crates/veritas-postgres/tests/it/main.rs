//! The tests of the crate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#[cfg(feature = "tls")]
#[expect(dead_code, reason = "the long form of the proof is an example")]
#[path = "../escapes/proof.rs"]

mod actuator;
mod advice;
mod doctor;
mod doctor_planted;
mod facts;
mod findings;
mod grants;
mod guard;
mod migration;
mod proof;
mod rewrites;
mod scratch;
mod session;
mod session_tls;
mod trial;
mod view;
mod watch;
