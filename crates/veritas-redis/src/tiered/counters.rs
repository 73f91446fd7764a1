//! Counters of one namespace in Redis. They are touched beside a round trip, so
//! that they need no stripes.

use std::sync::atomic::{AtomicU64, Ordering};

use veritas_cache::TierCounts;

use crate::TierError;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
    errors: AtomicU64,
    corrupted: AtomicU64,
    timeouts: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    invalidations: AtomicU64,
    lease_waits: AtomicU64,
    lease_failures: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn hit(&self, bytes: usize) {
        add(&self.hits, 1);
        add(&self.bytes_in, bytes);
    }

    pub(crate) fn miss(&self) {
        add(&self.misses, 1);
    }

    /// Counts a value that could not be read; the miss is counted beside it.
    pub(crate) fn corrupted(&self) {
        add(&self.corrupted, 1);
    }

    pub(crate) fn set(&self, bytes: usize) {
        add(&self.sets, 1);
        add(&self.bytes_out, bytes);
    }

    pub(crate) fn deleted(&self) {
        add(&self.deletes, 1);
    }

    pub(crate) fn invalidated(&self) {
        add(&self.invalidations, 1);
    }

    pub(crate) fn waited(&self) {
        add(&self.lease_waits, 1);
    }

    pub(crate) fn unleased(&self) {
        add(&self.lease_failures, 1);
    }

    /// Counts a value that was too long to be sent.
    pub(crate) fn too_large(&self) {
        add(&self.errors, 1);
        add(&self.refused, 1);
    }

    pub(crate) fn failed(&self, error: TierError) {
        add(&self.errors, 1);
        match error {
            TierError::TimedOut => add(&self.timeouts, 1),
            TierError::Unavailable | TierError::Full => add(&self.refused, 1),
            _ => {}
        }
    }

    pub(crate) fn read(&self) -> TierCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TierCounts {
            hits: of(&self.hits),
            misses: of(&self.misses),
            sets: of(&self.sets),
            deletes: of(&self.deletes),
            errors: of(&self.errors),
            corrupted: of(&self.corrupted),
            timeouts: of(&self.timeouts),
            refused: of(&self.refused),
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            invalidations: of(&self.invalidations),
            lease_waits: of(&self.lease_waits),
            lease_failures: of(&self.lease_failures),
        }
    }

    pub(crate) fn reset(&self) {
        for counter in [
            &self.hits,
            &self.misses,
            &self.sets,
            &self.deletes,
            &self.errors,
            &self.corrupted,
            &self.timeouts,
            &self.refused,
            &self.bytes_in,
            &self.bytes_out,
            &self.invalidations,
            &self.lease_waits,
            &self.lease_failures,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}
