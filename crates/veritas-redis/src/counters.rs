//! Counters of the tier: what was asked of Redis and what came of it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::Monotonic;

/// One reading of a tier's counters, over all nodes. Every figure counts keys
/// unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TierCounters {
    /// Keys that were read and found.
    pub hits: u64,
    /// Keys that were read and not found.
    pub misses: u64,
    /// Keys written.
    pub sets: u64,
    /// Keys removed.
    pub deletes: u64,
    /// Keys whose operation ended in an error of any kind: the sum of the next four and all others.
    pub errors: u64,
    /// Keys among the errors that had no answer in time.
    pub timeouts: u64,
    /// Keys among the errors that were refused at once, because there was no connection.
    pub refused: u64,
    /// Keys among the errors that found the queue full.
    pub full: u64,
    /// Keys among the errors whose connection was lost under them.
    pub disconnected: u64,
    /// Bytes of values read.
    pub bytes_in: u64,
    /// Bytes of values written.
    pub bytes_out: u64,
    /// Keys that others changed and we were told of.
    pub invalidations: u64,
    /// How often everything in the process had to be taken for stale.
    pub losses: u64,
    /// Connections made.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub failed_connects: u64,
    /// Round trips that read keys. Fewer than reads: those that wait together travel together.
    pub read_trips: u64,
    /// Keys that were sent on to another node.
    pub redirects: u64,
    /// How long any node had no connection, all times together.
    pub degraded: Duration,
}

/// The counters themselves. They are touched per call or per round trip, beside
/// a system call or two, so that they need no stripes.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) sets: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) disconnected: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) invalidations: AtomicU64,
    pub(crate) losses: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) failed_connects: AtomicU64,
    pub(crate) read_trips: AtomicU64,
    pub(crate) redirects: AtomicU64,
    degraded: Mutex<Degraded>,
}

/// How long any node has been without a connection.
#[derive(Debug, Default)]
struct Degraded {
    nodes: u32,
    since: Monotonic,
    before: Duration,
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counters {
    /// Counts an error that met `keys` keys.
    pub(crate) fn failed(&self, error: crate::TierError, keys: usize) {
        use crate::TierError;
        add(&self.errors, keys);
        match error {
            TierError::TimedOut => add(&self.timeouts, keys),
            TierError::Unavailable => add(&self.refused, keys),
            TierError::Full => add(&self.full, keys),
            TierError::Disconnected => add(&self.disconnected, keys),
            _ => {}
        }
    }

    /// Notes that a node has no connection from now on.
    pub(crate) fn degrade(&self, now: Monotonic) {
        let mut degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        if degraded.nodes == 0 {
            degraded.since = now;
        }
        degraded.nodes += 1;
    }

    /// Notes that a node has its connection again, or is forgotten.
    pub(crate) fn recover(&self, now: Monotonic) {
        let mut degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        degraded.nodes = degraded.nodes.saturating_sub(1);
        if degraded.nodes == 0 {
            let outage = now.since(degraded.since);
            degraded.before += outage;
        }
    }

    pub(crate) fn read(&self, now: Monotonic) -> TierCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let degraded = {
            let degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
            let open = if degraded.nodes > 0 { now.since(degraded.since) } else { Duration::ZERO };
            degraded.before + open
        };
        TierCounters {
            hits: of(&self.hits),
            misses: of(&self.misses),
            sets: of(&self.sets),
            deletes: of(&self.deletes),
            errors: of(&self.errors),
            timeouts: of(&self.timeouts),
            refused: of(&self.refused),
            full: of(&self.full),
            disconnected: of(&self.disconnected),
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            invalidations: of(&self.invalidations),
            losses: of(&self.losses),
            connects: of(&self.connects),
            failed_connects: of(&self.failed_connects),
            read_trips: of(&self.read_trips),
            redirects: of(&self.redirects),
            degraded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn degraded_time_is_that_of_any_node_and_counts_an_open_outage() {
        let counters = Counters::default();
        counters.degrade(at(10));
        counters.degrade(at(12));
        counters.recover(at(13));
        assert_eq!(counters.read(at(14)).degraded, Duration::from_secs(4));
        counters.recover(at(15));
        assert_eq!(counters.read(at(100)).degraded, Duration::from_secs(5));
        counters.degrade(at(100));
        assert_eq!(counters.read(at(101)).degraded, Duration::from_secs(6));
    }

    #[test]
    fn an_error_is_counted_with_its_kind() {
        let counters = Counters::default();
        counters.failed(crate::TierError::TimedOut, 3);
        counters.failed(crate::TierError::Unavailable, 2);
        counters.failed(crate::TierError::WrongType, 1);
        let read = counters.read(at(0));
        assert_eq!((read.errors, read.timeouts, read.refused), (6, 3, 2));
    }
}
