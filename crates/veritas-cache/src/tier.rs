//! Tiers: what a second tier behind the in-process one tells of itself.

use std::fmt;

use veritas_model::{Bytes, Condition, Provenance};

use crate::listing::{KeyPage, ListError};

/// A tier behind the in-process one, such as Redis, as far as it tells of itself.
///
/// Every answer comes from what the tier counted or last read, or within a bounded
/// time: none of these may wait for a server that does not answer.
pub trait SecondTier: Send + Sync {
    /// Returns its name: `redis`.
    fn name(&self) -> &str;

    /// Returns what was asked of it and what came of it, by namespace.
    fn statistics(&self) -> TierStatistics;

    /// Zeroes its statistics; what it holds stays.
    fn reset_statistics(&self);

    /// Returns what it holds for us, or `None` as long as that is not known.
    fn memory(&self) -> Option<TierMemory>;

    /// Returns whether it works.
    fn condition(&self) -> Condition;

    /// Lists the keys of a namespace, as [`Caches::keys`](crate::Caches::keys) does.
    ///
    /// # Errors
    ///
    /// As [`ListError`] says.
    fn keys(&self, namespace: &str, cursor: Option<&str>, limit: usize) -> Result<KeyPage, ListError>;
}

impl fmt::Debug for dyn SecondTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondTier").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What was asked of a second tier for one namespace and what came of it. Every
/// figure counts keys, not calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TierCounts {
    /// Look-ups that found a value that could be read.
    pub hits: u64,
    /// Look-ups that did not, whatever the reason: each of those below is a miss too.
    pub misses: u64,
    /// Values that the tier accepted.
    pub sets: u64,
    /// Keys that the tier removed because we asked for it.
    pub deletes: u64,
    /// Operations that failed, timeouts and refusals among them.
    pub errors: u64,
    /// Values found that could not be read, and were removed.
    pub corrupted: u64,
    /// Operations that took longer than their deadline.
    pub timeouts: u64,
    /// Operations that were not even tried: the breaker was open or the queue full.
    pub refused: u64,
    /// Bytes of values that were read.
    pub bytes_in: u64,
    /// Bytes of values that were written.
    pub bytes_out: u64,
    /// Keys that a peer changed, dropped from the in-process tier for it.
    pub invalidations: u64,
    /// Loads that waited for another process to load the key.
    pub lease_waits: u64,
    /// Loads that ran without a lease, because the wait was too long or the tier did not answer.
    pub lease_failures: u64,
}

impl TierCounts {
    /// Adds the figures of another namespace.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.sets += other.sets;
        self.deletes += other.deletes;
        self.errors += other.errors;
        self.corrupted += other.corrupted;
        self.timeouts += other.timeouts;
        self.refused += other.refused;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.invalidations += other.invalidations;
        self.lease_waits += other.lease_waits;
        self.lease_failures += other.lease_failures;
    }
}

/// One reading of a second tier's statistics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierStatistics {
    /// Each namespace by name, sorted.
    pub namespaces: Vec<(String, TierCounts)>,
}

impl TierStatistics {
    /// Returns the sums of all namespaces.
    pub fn total(&self) -> TierCounts {
        let mut total = TierCounts::default();
        self.namespaces.iter().for_each(|(_, counts)| total.add(counts));
        total
    }

    /// Returns the figures of one namespace, or `None` when it has none.
    pub fn of(&self, namespace: &str) -> Option<&TierCounts> {
        self.namespaces.iter().find(|(name, _)| name == namespace).map(|(_, counts)| counts)
    }
}

/// What a second tier holds of one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierNamespaceMemory {
    /// Entries held.
    pub entries: u64,
    /// Bytes held.
    pub bytes: Bytes,
    /// How far the bytes may be off.
    pub error_bound: Bytes,
}

/// What a second tier holds for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierMemory {
    /// Entries held.
    pub entries: u64,
    /// Bytes held.
    pub bytes: Bytes,
    /// How far the bytes may be off.
    pub error_bound: Bytes,
    /// How the figure came to be.
    pub provenance: Provenance,
    /// How many keys were looked at for it.
    pub sampled: u64,
    /// Each namespace by name, sorted.
    pub namespaces: Vec<(String, TierNamespaceMemory)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_its_parts() {
        let one = TierCounts { hits: 3, misses: 2, refused: 1, lease_failures: 7, ..TierCounts::default() };
        let statistics = TierStatistics { namespaces: vec![("a".into(), one), ("b".into(), one)] };
        let total = statistics.total();
        assert_eq!((total.hits, total.misses, total.refused, total.lease_failures), (6, 4, 2, 14));
        assert_eq!(statistics.of("b"), Some(&one));
        assert_eq!(statistics.of("c"), None);
    }
}
