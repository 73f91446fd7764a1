//! Integration tests of the second tier, against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod faults;
mod lease;
mod link;
mod scene;
mod server;
mod tracking;
