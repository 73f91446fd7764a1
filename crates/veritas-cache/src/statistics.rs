//! Statistics: what was asked of the caches and what came of it, counted exactly
//! over any number of threads.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::{Moments, Ratio};

use crate::slots::{self, SHARED, SLOTS};

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $name:ident $event:ident,)+) => {
        /// What was asked of one namespace and what came of it.
        ///
        /// Every figure counts keys, not calls: a batch of ten look-ups is ten look-ups.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
        pub struct NamespaceStatistics {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// How long the loaders ran, together.
            pub load_time: Duration,
            /// How long loaders would have run for the hits, had they missed: hits times
            /// the mean time of a load so far. Estimated: it supposes that the keys that
            /// hit take as long to load as those that were loaded.
            pub load_time_saved: Duration,
        }

        impl NamespaceStatistics {
            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                self.load_time += other.load_time;
                self.load_time_saved = self.load_time_saved.saturating_add(other.load_time_saved);
            }

            fn of(figures: &[u64; EVENTS]) -> Self {
                Self {
                    $($name: figures[Event::$event as usize],)+
                    load_time: Duration::ZERO,
                    load_time_saved: Duration::ZERO,
                }
            }
        }

        /// One reading of all statistics. The totals are the sums of the namespaces in
        /// the same reading.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct CacheStatistics {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// How long the loaders ran, together.
            pub load_time: Duration,
            /// How long loaders would have run for the hits; estimated, by namespace.
            pub load_time_saved: Duration,
            /// Each namespace by name, sorted. Two types under one name are one row.
            pub namespaces: Vec<(String, NamespaceStatistics)>,
            /// How often a namespace was opened beyond the limit and counted under
            /// [`OVERFLOW`](crate::OVERFLOW) instead.
            pub overflowed_namespaces: u64,
            /// Whether any namespace was ever opened: without one there is no source.
            pub registered: bool,
        }

        impl CacheStatistics {
            pub(crate) fn of(
                namespaces: Vec<(String, NamespaceStatistics)>,
                overflowed_namespaces: u64,
            ) -> Self {
                let mut total = NamespaceStatistics::default();
                for (_, statistics) in &namespaces {
                    total.add(statistics);
                }
                Self {
                    $($name: total.$name,)+
                    load_time: total.load_time,
                    load_time_saved: total.load_time_saved,
                    registered: !namespaces.is_empty(),
                    namespaces,
                    overflowed_namespaces,
                }
            }
        }

        /// What a counter counts; also its place in a stripe.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Event {
            $($event,)+
        }

        const EVENTS: usize = [$(Event::$event),+].len();
    };
}

figures! {
    /// Look-ups that found a live value.
    hits Hit,
    /// Look-ups that did not, whatever was done about it.
    misses Miss,
    /// Values stored. A refused one (no time to live, too heavy, no capacity, bypassed) is not a set.
    sets Set,
    /// Entries removed because someone asked for it. Asking for what is not there is no delete.
    deletes Delete,
    /// Entries removed because they were too old.
    expirations Expiration,
    /// Entries removed to make room, or because their successor was refused.
    evictions Eviction,
    /// Entries removed because a peer, or a flush of the namespace, said so. Those that
    /// a flush killed count when they are met: looked up, evicted or purged.
    invalidations Invalidation,
    /// Entries removed because one of their tags was invalidated; they count when they are met.
    tag_invalidated TagInvalidated,
    /// Loaders that ran to an end, good or bad.
    loads Load,
    /// Loaders among them that returned an error, panicked, or were dropped.
    load_errors LoadError,
    /// Missed look-ups that were answered by someone else's load.
    coalesced Coalesced,
    /// Hits among those that found that there is nothing under the key.
    negative_hits NegativeHit,
    /// Hits among those that were served a value past its time.
    stale_serves StaleServe,
    /// Loads among those that refreshed an entry that was still there.
    refreshes Refresh,
    /// Misses among those of a bypassed namespace.
    bypassed Bypassed,
    /// What went wrong in the cache and not in a loader: refreshes that found their queue full.
    errors Error,
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

    /// Returns how long a load took in the mean, or `None` before the first load.
    pub fn mean_load_time(&self) -> Option<Duration> {
        (self.loads > 0).then(|| times(self.load_time, 1, self.loads))
    }
}

impl CacheStatistics {
    /// Returns the number of look-ups: hits and misses of this same reading.
    pub const fn total_requests(&self) -> u64 {
        self.hits + self.misses
    }

    /// Returns the share of look-ups that hit, or `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.hits, self.total_requests())
    }
}

/// Returns `time * factor / divisor`, saturating.
fn times(time: Duration, factor: u64, divisor: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(factor)) / u128::from(divisor.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The counters of one namespace.
///
/// Each thread counts in a stripe of its own, which nobody else writes: an
/// increment is a load and a store, without a locked instruction (5 ns free, 15 ns
/// contended, on the machine that we measured). Threads beyond [`SLOTS`] share one
/// stripe and pay for it. Counters only ever grow; a reset remembers what they were.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[OnceLock<Box<Stripe>>; SLOTS + 1]>,
    loads: Mutex<Moments>,
    zero: Mutex<Zero>,
}

/// 128 bytes: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; EVENTS]);

/// What the counters were at the last reset.
#[derive(Debug, Default)]
struct Zero {
    figures: [u64; EVENTS],
    loads: Moments,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            stripes: Box::new([const { OnceLock::new() }; SLOTS + 1]),
            loads: Mutex::default(),
            zero: Mutex::default(),
        }
    }

    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.count_n(event, 1);
    }

    #[inline]
    pub(crate) fn count_n(&self, event: Event, times: u64) {
        self.add(event, times);
    }

    /// Counts one, and returns how often the event was counted in the calling thread's stripe.
    #[inline]
    pub(crate) fn add(&self, event: Event, times: u64) -> u64 {
        let slot = slots::own();
        let stripe = self.stripes[slot].get_or_init(Box::default);
        let counter = &stripe.0[event as usize];
        if slot == SHARED {
            return counter.fetch_add(times, Ordering::Relaxed) + times;
        }
        // No other thread writes here: see `slots`.
        let sum = counter.load(Ordering::Relaxed) + times;
        counter.store(sum, Ordering::Relaxed);
        sum
    }

    /// Counts a load that ended, well or not, after `took`.
    pub(crate) fn count_load(&self, took: Duration, good: bool) {
        locked(&self.loads).add(took.as_secs_f64());
        self.count(Event::Load);
        if !good {
            self.count(Event::LoadError);
        }
    }

    /// Reads the counters. Counts that arrive meanwhile are in this reading or in the next.
    pub(crate) fn read(&self) -> NamespaceStatistics {
        let zero = locked(&self.zero);
        let mut figures = self.figures();
        for (figure, zero) in figures.iter_mut().zip(zero.figures) {
            // What was counted is never read as less later on: each counter only grows.
            *figure -= zero;
        }
        let mut statistics = NamespaceStatistics::of(&figures);
        let loads = locked(&self.loads).since(&zero.loads);
        statistics.load_time = Duration::try_from_secs_f64(loads.sum).unwrap_or_default();
        statistics.load_time_saved = times(statistics.load_time, statistics.hits, loads.count);
        statistics
    }

    /// Reads the times of the loads, in seconds.
    pub(crate) fn load_cost(&self) -> Moments {
        let zero = locked(&self.zero);
        locked(&self.loads).since(&zero.loads)
    }

    /// Zeroes the counters: each count is before the reset or after it, none is lost.
    pub(crate) fn reset(&self) {
        let mut zero = locked(&self.zero);
        *zero = Zero { figures: self.figures(), loads: *locked(&self.loads) };
    }

    fn figures(&self) -> [u64; EVENTS] {
        let mut sums = [0_u64; EVENTS];
        for stripe in self.stripes.iter().filter_map(OnceLock::get) {
            for (sum, counter) in sums.iter_mut().zip(&stripe.0) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_threads() {
        const EACH: u64 = 50_000;
        let counters = Counters::new();
        std::thread::scope(|scope| {
            // More than have a stripe of their own.
            for _ in 0..SLOTS + 8 {
                scope.spawn(|| (0..EACH).for_each(|_| counters.count(Event::Hit)));
            }
        });
        assert_eq!(counters.read().hits, (SLOTS as u64 + 8) * EACH);
        counters.reset();
        assert_eq!(counters.read(), NamespaceStatistics::default());
    }

    #[test]
    fn resets_during_the_counting_lose_nothing() {
        const EACH: u64 = 100_000;
        let counters = Counters::new();
        let mut seen = 0;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..EACH).for_each(|_| counters.count(Event::Set)))).collect();
            while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                // What a reset takes away is what was read at it.
                let before = counters.zero.lock().unwrap().figures[Event::Set as usize];
                counters.reset();
                seen += counters.zero.lock().unwrap().figures[Event::Set as usize] - before;
            }
        });
        assert_eq!(seen + counters.read().sets, 4 * EACH);
    }

    #[test]
    fn the_time_saved_is_hits_times_the_mean_load() {
        let counters = Counters::new();
        counters.count_load(Duration::from_millis(10), true);
        counters.count_load(Duration::from_millis(30), false);
        counters.count_n(Event::Hit, 100);
        let statistics = counters.read();
        assert_eq!((statistics.loads, statistics.load_errors), (2, 1));
        assert_eq!(statistics.load_time, Duration::from_millis(40));
        assert_eq!(statistics.mean_load_time(), Some(Duration::from_millis(20)));
        assert_eq!(statistics.load_time_saved, Duration::from_secs(2));
        assert_eq!(counters.load_cost().count, 2);
        counters.reset();
        assert_eq!(counters.read().load_time, Duration::ZERO);
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
