//! What the actuator may do, and within which bounds.

use std::time::Duration;

use veritas_model::Bytes;

use crate::scratch::{ScratchLimits, ScratchPlace};

/// The actuator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActuatorOptions {
    /// Where proofs are run. While it is off, proposals stay estimates.
    pub scratch: ScratchPlace,
    /// How much is copied for a proof.
    pub limits: ScratchLimits,
    /// How long a proof runs statements, besides copying and building (1 minute).
    pub longest_proof: Duration,
    /// How long the live server may build an index (2 hours).
    pub longest_build: Duration,
    /// How long a change waits for a lock, and for transactions that began before it (10 s).
    pub lock_wait: Duration,
    /// How often a change is tried while it gets no lock (3).
    pub attempts: u32,
    /// Most sessions of clients that may be running statements when a change begins;
    /// `None`: any number.
    pub most_active: Option<u32>,
    /// Space that an index and its building may take; `None`: what the file system has
    /// free, where the server is on this machine and tells where its files are.
    pub free: Option<Bytes>,
    /// Whether an index may be built where the free space is not known (yes).
    pub build_without_known_space: bool,
    /// Bytes of log that a replica may be behind when a change begins (256 MiB).
    pub most_behind: Bytes,
    /// How long an index must have been seen without a scan before it is dropped (7 days).
    pub disuse: Duration,
}

impl Default for ActuatorOptions {
    fn default() -> Self {
        Self {
            scratch: ScratchPlace::Off,
            limits: ScratchLimits::default(),
            longest_proof: Duration::from_mins(1),
            longest_build: Duration::from_hours(2),
            lock_wait: Duration::from_secs(10),
            attempts: 3,
            most_active: None,
            free: None,
            build_without_known_space: true,
            most_behind: Bytes::new(256 << 20),
            disuse: Duration::from_hours(7 * 24),
        }
    }
}
