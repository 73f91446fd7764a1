//! Integration tests of the second tier, against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod faults;
mod lease;
mod link;
mod nodes;
mod scene;
mod sentinel;
mod stampede;
mod tiered;
mod server;
mod tracking;
