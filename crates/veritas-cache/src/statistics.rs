//! Statistics: what was asked of the caches and what came of it, counted exactly
//! over any number of threads.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use veritas_model::Ratio;

/// What was asked of one namespace and what came of it.
///
/// Every figure counts keys, not calls: a batch of ten look-ups is ten look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct NamespaceStatistics {
    /// Look-ups that found a live value.
    pub hits: u64,
    /// Look-ups that did not, whatever was done about it.
    pub misses: u64,
    /// Values stored. A refused one (no time to live, too heavy, no capacity) is not a set.
    pub sets: u64,
    /// Entries removed because someone asked for it. Asking for what is not there is no delete.
    pub deletes: u64,
    /// Entries removed because they were too old.
    pub expirations: u64,
    /// Entries removed to make room, or because their successor was refused.
    pub evictions: u64,
    /// Loaders that ran to an end, good or bad.
    pub loads: u64,
    /// Loaders among them that returned an error, panicked, or were dropped.
    pub load_errors: u64,
    /// Missed look-ups that were answered by someone else's load.
    pub coalesced: u64,
}

impl NamespaceStatistics {
    /// Returns the number of look-ups: hits and misses of this same reading, so
    /// that the sum always fits its parts.
    pub const fn total_requests(&self) -> u64 {
        self.hits + self.misses
    }

    /// Returns the share of look-ups that hit, or `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.hits, self.total_requests())
    }

    fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.sets += other.sets;
        self.deletes += other.deletes;
        self.expirations += other.expirations;
        self.evictions += other.evictions;
        self.loads += other.loads;
        self.load_errors += other.load_errors;
        self.coalesced += other.coalesced;
    }
}

/// One reading of all statistics. The totals are the sums of the namespaces in
/// the same reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheStatistics {
    /// Look-ups that found a live value.
    pub hits: u64,
    /// Look-ups that did not, whatever was done about it.
    pub misses: u64,
    /// Values stored.
    pub sets: u64,
    /// Entries removed because someone asked for it.
    pub deletes: u64,
    /// Entries removed because they were too old.
    pub expirations: u64,
    /// Entries removed to make room.
    pub evictions: u64,
    /// Loaders that ran to an end, good or bad.
    pub loads: u64,
    /// Loaders among them that failed.
    pub load_errors: u64,
    /// Missed look-ups that were answered by someone else's load.
    pub coalesced: u64,
    /// Each namespace by name, sorted. Two types under one name are one row.
    pub namespaces: Vec<(String, NamespaceStatistics)>,
    /// How often a namespace was opened beyond the limit and counted under
    /// [`OVERFLOW`](crate::OVERFLOW) instead.
    pub overflowed_namespaces: u64,
    /// Whether any namespace was ever opened: without one there is no source.
    pub registered: bool,
}

impl CacheStatistics {
    pub(crate) fn of(namespaces: Vec<(String, NamespaceStatistics)>, overflowed_namespaces: u64) -> Self {
        let mut total = NamespaceStatistics::default();
        for (_, statistics) in &namespaces {
            total.add(statistics);
        }
        Self {
            hits: total.hits,
            misses: total.misses,
            sets: total.sets,
            deletes: total.deletes,
            expirations: total.expirations,
            evictions: total.evictions,
            loads: total.loads,
            load_errors: total.load_errors,
            coalesced: total.coalesced,
            registered: !namespaces.is_empty(),
            namespaces,
            overflowed_namespaces,
        }
    }

    /// Returns the number of look-ups: hits and misses of this same reading.
    pub const fn total_requests(&self) -> u64 {
        self.hits + self.misses
    }

    /// Returns the share of look-ups that hit, or `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.hits, self.total_requests())
    }
}

/// What a counter counts; also its place in a stripe.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Hit,
    Miss,
    Set,
    Delete,
    Expiration,
    Eviction,
    Load,
    LoadError,
    Coalesced,
}

const EVENTS: usize = 9;

/// The counters of one namespace, striped over cache lines so that threads do
/// not fight over one (a contended increment costs three times a free one).
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[Stripe]>,
}

/// 128 bytes: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; EVENTS]);

impl Counters {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..stripe_count()).map(|_| Stripe::default()).collect() }
    }

    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.count_n(event, 1);
    }

    #[inline]
    pub(crate) fn count_n(&self, event: Event, times: u64) {
        let stripe = &self.stripes[own_stripe() & (self.stripes.len() - 1)];
        stripe.0[event as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// Reads the counters. Counts that arrive meanwhile are in this reading or in the next.
    pub(crate) fn read(&self) -> NamespaceStatistics {
        self.collect(|counter| counter.load(Ordering::Relaxed))
    }

    /// Zeroes the counters: each count is before the reset or after it, none is lost.
    pub(crate) fn reset(&self) {
        self.collect(|counter| counter.swap(0, Ordering::Relaxed));
    }

    fn collect(&self, read: impl Fn(&AtomicU64) -> u64) -> NamespaceStatistics {
        let mut sums = [0_u64; EVENTS];
        for stripe in &self.stripes {
            for (sum, counter) in sums.iter_mut().zip(&stripe.0) {
                *sum += read(counter);
            }
        }
        let of = |event: Event| sums[event as usize];
        NamespaceStatistics {
            hits: of(Event::Hit),
            misses: of(Event::Miss),
            sets: of(Event::Set),
            deletes: of(Event::Delete),
            expirations: of(Event::Expiration),
            evictions: of(Event::Eviction),
            loads: of(Event::Load),
            load_errors: of(Event::LoadError),
            coalesced: of(Event::Coalesced),
        }
    }
}

/// Returns how many stripes there are: a power of two, at most 16.
fn stripe_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        threads.next_power_of_two().min(16)
    })
}

/// Returns the number of the calling thread: threads take stripes in turn.
fn own_stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.try_with(|own| *own).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_threads() {
        const EACH: u64 = 50_000;
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..EACH).for_each(|_| counters.count(Event::Hit)));
            }
        });
        assert_eq!(counters.read().hits, 8 * EACH);
        counters.reset();
        assert_eq!(counters.read(), NamespaceStatistics::default());
    }

    #[test]
    fn the_total_is_the_sum_of_its_parts() {
        let one = NamespaceStatistics { hits: 150, misses: 25, ..Default::default() };
        let statistics = CacheStatistics::of(vec![("a".into(), one), ("b".into(), one)], 0);
        assert_eq!(statistics.total_requests(), 350);
        assert_eq!(statistics.hit_ratio().map(Ratio::percent), Some(85.71));
        assert_eq!(CacheStatistics::of(Vec::new(), 0).hit_ratio(), None);
    }
}
