//! A log-linear histogram: exact counts, values kept to 1/128.
//!
//! The layout is that of `HdrHistogram` (Gil Tene): each octave (from one power
//! of two to the next) is cut into 64 buckets of equal width. A bucket that
//! starts at `low` is at most `low / 64` wide, and its midpoint stands for all
//! values in it, so that the error is at most `low / 128`. Below 128 each value
//! has its own bucket. Unlike there, an octave costs memory (512 bytes) only
//! once a value falls into it: latencies of one operation touch a handful.

mod layout;
mod shared;

use layout::{BUCKETS, Bucket, PAGES};
pub use shared::SharedHistogram;

type Page = Box<[u64; BUCKETS]>;

/// Counts values of 0 to `u64::MAX` (mostly nanoseconds) with a relative error
/// of at most 1/128 in every quantile; count, sum, minimum, maximum and mean
/// are exact.
///
/// Merging is commutative and associative to the last bit. Counts and
/// the sum stop at their largest value instead of wrapping. An empty histogram takes about 0.5 KiB, each
/// octave in use another 0.5 KiB (32 KiB when all of them are).
///
/// ```
/// let mut hits = veritas_statistics::Histogram::new();
/// hits.record(120);
/// hits.record_n(80, 3);
/// assert_eq!(hits.count(), 4);
/// assert_eq!(hits.quantile(0.5), Some(80));
/// assert_eq!(hits.quantile(1.0), Some(120));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    pages: [Option<Page>; PAGES],
    count: u64,
    sum: u128,
    /// Smallest and largest value; meaningless while `count` is 0.
    min: u64,
    max: u64,
}

impl Histogram {
    /// Creates an empty histogram.
    pub const fn new() -> Self {
        Self { pages: [const { None }; PAGES], count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts one value. Allocates 512 bytes on the first value of an octave.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts one value `times` times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let bucket = Bucket::of(value);
        let page = self.pages[bucket.page].get_or_insert_with(|| Box::new([0; BUCKETS]));
        page[bucket.slot] = page[bucket.slot].saturating_add(times);
        self.count = self.count.saturating_add(times);
        self.sum = self.sum.saturating_add(u128::from(value) * u128::from(times));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.pages.iter_mut().zip(&other.pages) {
            let Some(theirs) = theirs else { continue };
            match mine {
                Some(mine) => {
                    for (to, from) in mine.iter_mut().zip(theirs.iter()) {
                        *to = to.saturating_add(*from);
                    }
                }
                None => *mine = Some(theirs.clone()),
            }
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Returns what was counted after `earlier` was read from the same
    /// histogram. Its minimum and maximum are known to the width of their
    /// buckets only; when the histogram was cleared in between, the result is
    /// what has been counted since then as far as it can be told.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut window = Self::new();
        for (index, now) in self.pages.iter().enumerate() {
            let Some(now) = now else { continue };
            let mut page = now.clone();
            if let Some(before) = &earlier.pages[index] {
                for (to, from) in page.iter_mut().zip(before.iter()) {
                    *to = to.saturating_sub(*from);
                }
            }
            if page.iter().any(|count| *count > 0) {
                window.pages[index] = Some(page);
            }
        }
        window.count = window.buckets().fold(0, |total, (_, count)| total.saturating_add(count));
        if window.count > 0 {
            window.sum = self.sum.saturating_sub(earlier.sum);
            let (lowest, highest) = window.outermost();
            window.min = lowest.midpoint().max(self.min).min(self.max);
            window.max = highest.midpoint().max(self.min).min(self.max);
        }
        window
    }

    /// Returns how many values were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns whether nothing was counted.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the exact sum of the values.
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// Returns the smallest value, or `None` of nothing.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Returns the largest value, or `None` of nothing.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Returns the mean, or `None` of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a mean is a float; 53 bits are 1 ns in 104 days")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Returns the value at or below which the share `q` of all values lies
    /// (nearest rank: the smallest value with at least `q * count` values not
    /// above it), within 1/128 of the true one and never outside the exact
    /// minimum and maximum. `None` of nothing and for a `q` outside 0 to 1.
    ///
    /// Reads the pages in use, 64 counts each.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = rank_of(q, self.count);
        let mut seen = 0_u64;
        for (bucket, count) in self.buckets() {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(bucket.midpoint().max(self.min).min(self.max));
            }
        }
        Some(self.max)
    }

    /// Returns how many values were counted in buckets that lie at or above
    /// the bucket of `threshold`: "calls slower than", to 1/64 of the threshold.
    pub fn count_at_or_above(&self, threshold: u64) -> u64 {
        let first = Bucket::of(threshold);
        self.buckets()
            .filter(|(bucket, _)| *bucket >= first)
            .fold(0, |total, (_, count)| total.saturating_add(count))
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns the buckets with something in them, in ascending order.
    fn buckets(&self) -> impl Iterator<Item = (Bucket, u64)> + '_ {
        self.pages
            .iter()
            .enumerate()
            .filter_map(|(page, counts)| counts.as_ref().map(|counts| (page, counts)))
            .flat_map(|(page, counts)| {
                counts.iter().enumerate().map(move |(slot, count)| (Bucket { page, slot }, *count))
            })
            .filter(|(_, count)| *count > 0)
    }

    /// Returns the lowest and the highest bucket in use (the first bucket twice
    /// when there is none).
    fn outermost(&self) -> (Bucket, Bucket) {
        let mut buckets = self.buckets().map(|(bucket, _)| bucket);
        let lowest = buckets.next().unwrap_or(Bucket::of(0));
        (lowest, buckets.last().unwrap_or(lowest))
    }
}

/// Returns the rank, from 1, of the quantile `q` among `count` values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rank lies between 1 and count; beyond 2^53 values one more or less is no matter"
)]
fn rank_of(q: f64, count: u64) -> u64 {
    // 0.07 * 100 is 7.000000000000001 in floats; its rank is 7 all the same.
    let rank = (q * count as f64 * (1.0 - f64::EPSILON)).ceil();
    (rank as u64).clamp(1, count)
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("min", &self.min())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_quantile() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), None);
        assert_eq!((histogram.min(), histogram.max(), histogram.mean()), (None, None, None));
        assert!(histogram.is_empty());
    }

    #[test]
    fn a_share_outside_0_to_1_has_no_quantile() {
        let mut histogram = Histogram::new();
        histogram.record(1);
        for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(histogram.quantile(q), None);
        }
    }

    #[test]
    fn a_float_that_rounds_up_keeps_its_rank() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|value| histogram.record(value));
        for percent in 1..=100_u32 {
            assert_eq!(histogram.quantile(f64::from(percent) / 100.0), Some(u64::from(percent)));
        }
    }

    #[test]
    fn a_window_holds_what_came_after_the_earlier_reading() {
        let mut histogram = Histogram::new();
        histogram.record_n(1_000_000, 50);
        let earlier = histogram.clone();
        histogram.record_n(20, 3);
        let window = histogram.since(&earlier);
        assert_eq!((window.count(), window.sum()), (3, 60));
        assert_eq!((window.min(), window.max(), window.quantile(0.5)), (Some(20), Some(20), Some(20)));
        assert!(earlier.since(&histogram).is_empty());
    }

    #[test]
    fn counts_and_sums_stop_instead_of_wrapping() {
        let mut histogram = Histogram::new();
        histogram.record_n(u64::MAX, u64::MAX);
        histogram.record_n(u64::MAX, u64::MAX);
        assert_eq!(histogram.count(), u64::MAX);
        assert_eq!(histogram.quantile(0.5), Some(u64::MAX));
        assert_eq!(histogram.sum(), u128::MAX);
    }

    #[test]
    fn values_above_a_threshold_are_counted() {
        let mut histogram = Histogram::new();
        histogram.record_n(10, 5);
        histogram.record_n(100, 7);
        assert_eq!(histogram.count_at_or_above(100), 7);
        assert_eq!(histogram.count_at_or_above(0), 12);
        assert_eq!(histogram.count_at_or_above(101), 0);
    }
}
