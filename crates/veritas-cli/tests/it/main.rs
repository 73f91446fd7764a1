//! The binary, run as people and scripts run it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod caches;
mod databases;
mod demo;
mod mariadb;
mod process;
mod proofs;
mod reference;
mod serve;
