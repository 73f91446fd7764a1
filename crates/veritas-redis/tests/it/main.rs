//! Integration tests of the second tier, against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod batches;
mod cluster;
mod faults;
mod handles;
mod hostile;
mod lease;
mod link;
mod memory;
mod nodes;
mod outages;
mod renewals;
mod scene;
mod sentinel;
mod server;
mod server_doctor;
mod server_findings;
mod stampede;
mod tiered;
#[cfg(feature = "tls")]
mod tls;
mod topologies;
mod tracking;
