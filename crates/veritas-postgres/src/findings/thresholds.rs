//! From when on the condition of a server is worth a finding.

use std::time::Duration;

/// How long something must last before it is said of a server. What is right depends on what
/// its applications do: the defaults suit one that serves people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A wait for a lock (1 s): shorter ones are everyday life of a server that is written.
    pub lock_wait: Duration,
    /// A transaction in which nothing happens (1 min): an application that thinks longer has forgotten it.
    pub idle_in_transaction: Duration,
    /// An open transaction (15 min): statements of the day do not take longer, and while one is open no
    /// dead row of any table is cleaned.
    pub long_transaction: Duration,
    /// The disuse of an index (a week): some are read by a weekly report alone.
    pub disuse: Duration,
}

impl Thresholds {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        lock_wait: Duration::from_secs(1),
        idle_in_transaction: Duration::from_mins(1),
        long_transaction: Duration::from_mins(15),
        disuse: Duration::from_hours(7 * 24),
    };
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::DEFAULT
    }
}
