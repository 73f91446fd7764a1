//! A histogram that many threads record into without a lock.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Histogram,
    layout::{BUCKETS, Bucket, PAGES},
};

type SharedPage = Box<[AtomicU64; BUCKETS]>;

/// Counts values from any number of threads.
///
/// Recording takes no lock, and allocates (512 bytes) only for the first value
/// of an octave; two threads that meet there wait for one another once. All
/// atomics are relaxed: no other memory is published by them, and a count is
/// all we want from them. A snapshot taken while others record holds each
/// record wholly or not at all in its counts, but its sum may be ahead of or
/// behind them by the records in flight.
#[derive(Debug)]
pub struct SharedHistogram {
    pages: [OnceLock<SharedPage>; PAGES],
    // The sum in two words: whoever makes the low one wrap carries into the high one.
    sum_low: AtomicU64,
    sum_high: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl SharedHistogram {
    /// Creates an empty histogram; usable in a `static`.
    pub const fn new() -> Self {
        Self {
            pages: [const { OnceLock::new() }; PAGES],
            sum_low: AtomicU64::new(0),
            sum_high: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&self, value: u64) {
        let bucket = Bucket::of(value);
        let page = self.pages[bucket.page].get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        // A load is much cheaper than a read-modify-write, and extremes are rare.
        if value < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
        let before = self.sum_low.fetch_add(value, Ordering::Relaxed);
        if before.checked_add(value).is_none() {
            self.sum_high.fetch_add(1, Ordering::Relaxed);
        }
        page[bucket.slot].fetch_add(1, Ordering::Relaxed);
    }

    /// Copies the counts. Reads every page in use.
    pub fn snapshot(&self) -> Histogram {
        let mut copy = Histogram::new();
        for (to, from) in copy.pages.iter_mut().zip(&self.pages) {
            let Some(from) = from.get() else { continue };
            let page: Box<[u64; BUCKETS]> =
                Box::new(std::array::from_fn(|slot| from[slot].load(Ordering::Relaxed)));
            let recorded = page.iter().fold(0_u64, |total, count| total.saturating_add(*count));
            if recorded > 0 {
                copy.count = copy.count.saturating_add(recorded);
                *to = Some(page);
            }
        }
        if copy.count > 0 {
            let high = u128::from(self.sum_high.load(Ordering::Relaxed));
            copy.sum = (high << u64::BITS) + u128::from(self.sum_low.load(Ordering::Relaxed));
            // The extremes of a record in flight may lag behind its count.
            let (lowest, highest) = copy.outermost();
            copy.min = self.min.load(Ordering::Relaxed).min(lowest.high());
            copy.max = self.max.load(Ordering::Relaxed).max(highest.low());
        }
        copy
    }

    /// Zeroes the counts and keeps the pages. Records that arrive meanwhile are
    /// counted before, after, or (their sum) in part.
    pub fn reset(&self) {
        for page in self.pages.iter().filter_map(OnceLock::get) {
            for count in page.iter() {
                count.store(0, Ordering::Relaxed);
            }
        }
        self.sum_low.store(0, Ordering::Relaxed);
        self.sum_high.store(0, Ordering::Relaxed);
        self.min.store(u64::MAX, Ordering::Relaxed);
        self.max.store(0, Ordering::Relaxed);
    }
}

impl Default for SharedHistogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_equals_a_histogram_of_the_same_values() {
        let shared = SharedHistogram::new();
        let mut single = Histogram::new();
        for value in [0, 1, 63, 64, 127, 128, 5_000_000, u64::MAX, u64::MAX] {
            shared.record(value);
            single.record(value);
        }
        assert_eq!(shared.snapshot(), single);
        shared.reset();
        assert_eq!(shared.snapshot(), Histogram::new());
    }

    #[test]
    fn threads_lose_nothing() {
        const EACH: u64 = 20_000;
        let shared = SharedHistogram::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let shared = &shared;
                scope.spawn(move || (0..EACH).for_each(|value| shared.record(value * 4 + thread)));
            }
        });
        let mut single = Histogram::new();
        (0..4 * EACH).for_each(|value| single.record(value));
        assert_eq!(shared.snapshot(), single);
    }
}
