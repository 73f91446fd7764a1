//! What pairs of executions show: the paired test, the interval of the gain, and the verdict.

use std::collections::BTreeMap;

use veritas_model::{Interval, MeasuredGain, WorkMetric};
use veritas_statistics::{
    bootstrap, order,
    paired::{Alternative, signed_rank},
};

use super::run::Run;
use crate::session::SessionError;

/// Resamples of an interval.
const RESAMPLES: usize = 2_000;
/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;
/// What is said when the clock saw no time pass: an interval nobody is confident of.
const UNKNOWN: Interval = Interval { low: 0.0, high: 0.0, confidence: 0.0 };
/// Bytes of a page.
const PAGE: f64 = 8_192.0;
/// A gain of exactly one value has no spread, and its interval needs some pairs all the same.
const CERTAIN: f64 = 1e-12;

/// What the pairs showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// The vector of each pair.
    vectors: Vec<usize>,
    /// Pages before and after.
    pages: Vec<(f64, f64)>,
    /// Of those, pages that were not in the server's buffers.
    pages_read: (f64, f64),
    /// Seconds before and after.
    seconds: Vec<(f64, f64)>,
    /// Pairs whose rows were not the same, as multisets.
    pub differing: u64,
    /// Pairs whose rows were the same, and came in another order.
    pub reordered: u64,
    /// Pairs that failed on either side.
    pub failed: u64,
    /// The code of the first failure.
    pub failure: Option<String>,
}

/// The gain of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Mean cost before.
    pub before: f64,
    /// Mean cost after.
    pub after: f64,
    /// Share that is gone (negative: it costs more).
    pub share: f64,
    /// Its interval.
    pub interval: Interval,
    /// One-sided p-value of "no gain".
    pub p_value: f64,
}

impl Pairs {
    pub(super) fn compare(&mut self, before: &Run, after: &Run) {
        if let (Some(before), Some(after)) = (before.result, after.result) {
            if (before.rows, before.any_order) != (after.rows, after.any_order) {
                self.differing += 1;
            } else if before.in_order != after.in_order {
                self.reordered += 1;
            }
        }
    }

    pub(super) fn add(&mut self, vector: usize, before: &Run, after: &Run) {
        self.vectors.push(vector);
        self.pages.push((before.pages, after.pages));
        self.pages_read.0 += before.pages_read;
        self.pages_read.1 += after.pages_read;
        self.seconds.push((before.seconds, after.seconds));
    }

    pub(super) fn fail(&mut self, error: &SessionError) {
        self.failed += 1;
        self.failure.get_or_insert_with(|| error.code().map_or_else(|| error.to_string(), str::to_owned));
    }

    /// Returns how many pairs were measured.
    pub const fn count(&self) -> usize {
        self.pages.len()
    }

    /// Returns the gain in pages; `None` without pairs.
    pub fn pages(&self, seed: u64) -> Option<Gain> {
        gain(&self.by_vector(&self.pages), seed)
    }

    /// Returns the gain in seconds; `None` without pairs.
    pub fn seconds(&self, seed: u64) -> Option<Gain> {
        gain(&self.by_vector(&self.seconds), seed)
    }

    /// Returns the mean pair of each vector: repetitions of one vector are no evidence
    /// about others. A statement that has one vector only, since it has no parameters, is
    /// judged by its repetitions.
    fn by_vector(&self, pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut sums: BTreeMap<usize, (f64, f64, f64)> = BTreeMap::new();
        for (vector, pair) in self.vectors.iter().zip(pairs) {
            let sum = sums.entry(*vector).or_default();
            *sum = (sum.0 + pair.0, sum.1 + pair.1, sum.2 + 1.0);
        }
        if sums.len() < 2 {
            return pairs.to_vec();
        }
        sums.into_values().map(|(before, after, count)| (before / count, after / count)).collect()
    }

    fn median_seconds(&self) -> (f64, f64) {
        let median = |side: fn(&(f64, f64)) -> f64| {
            let mut seconds: Vec<f64> = self.seconds.iter().map(side).collect();
            seconds.sort_by(f64::total_cmp);
            order::quantile(&seconds, 0.5).unwrap_or(0.0)
        };
        (median(|pair| pair.0), median(|pair| pair.1))
    }

    /// Returns what was measured, in pages, unless the time shows a loss beyond chance:
    /// then in seconds. `None` without pairs, and when nothing was read on either side.
    #[expect(clippy::cast_precision_loss, reason = "a trial has fewer than 2^53 pairs")]
    pub fn measured(&self, seed: u64, method: impl FnOnce(&Self) -> String) -> Option<MeasuredGain> {
        let (pages, seconds) = (self.pages(seed)?, self.seconds(seed.wrapping_add(1)));
        let slower = seconds.filter(|gain| gain.interval.high < 0.0);
        let (metric, verdict) =
            slower.map_or((WorkMetric::Buffers, pages), |seconds| (WorkMetric::Seconds, seconds));
        let (seconds_before, seconds_after) = self.median_seconds();
        let count = self.count() as f64;
        Some(MeasuredGain {
            metric,
            pairs: self.count() as u64,
            before: verdict.before,
            after: verdict.after,
            gain: verdict.share,
            gain_interval: verdict.interval,
            p_value: verdict.p_value,
            seconds_before,
            seconds_after,
            seconds_gain_interval: seconds.map_or(UNKNOWN, |gain| gain.interval),
            bytes_read_before: Some(self.pages_read.0 * PAGE / count),
            bytes_read_after: Some(self.pages_read.1 * PAGE / count),
            write_slowdown: None,
            results_equal: self.differing == 0,
            method: method(self),
        })
    }
}

/// Sums up pairs of costs.
#[expect(clippy::cast_precision_loss, reason = "a trial has fewer than 2^53 pairs")]
pub(crate) fn gain(pairs: &[(f64, f64)], seed: u64) -> Option<Gain> {
    let count = pairs.len() as f64;
    let before = pairs.iter().map(|pair| pair.0).sum::<f64>() / count;
    let after = pairs.iter().map(|pair| pair.1).sum::<f64>() / count;
    let share = 1.0 - after / before;
    if !share.is_finite() {
        return None;
    }
    let exact =
        pairs.len() > 1 && pairs.iter().all(|pair| (pair.1 - pair.0 * (1.0 - share)).abs() <= CERTAIN);
    let interval = if exact {
        Interval { low: share, high: share, confidence: CONFIDENCE }
    } else {
        let ratio = bootstrap::ratio_of_means_interval(pairs, CONFIDENCE, RESAMPLES, seed)?;
        Interval { low: 1.0 - ratio.high, high: 1.0 - ratio.low, confidence: ratio.confidence }
    };
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.0 - pair.1).collect();
    let p_value = signed_rank(&differences, Alternative::Greater).map_or(1.0, |test| test.p_value);
    Some(Gain { before, after, share, interval, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pages: f64, seconds: f64) -> Run {
        Run { pages, pages_read: 0.0, seconds, result: None }
    }

    #[test]
    fn the_verdict_is_in_pages_unless_the_time_shows_a_loss() {
        let mut pairs = Pairs::default();
        for vector in 0..16 {
            let noise = f64::from(u32::try_from(vector).unwrap());
            pairs.add(vector, &run(1_000.0 + noise, 0.01), &run(10.0, 0.001 + noise * 1e-6));
        }
        let measured = pairs.measured(1, |_| String::new()).unwrap();
        assert_eq!(measured.metric, WorkMetric::Buffers);
        assert!(measured.gain > 0.98 && measured.p_value < 0.001 && measured.results_equal);
        for pair in &mut pairs.seconds {
            *pair = (pair.1, pair.0 + pair.1);
        }
        let measured = pairs.measured(1, |_| String::new()).unwrap();
        assert_eq!(measured.metric, WorkMetric::Seconds);
        assert!(measured.gain < 0.0 && measured.gain_interval.low < MeasuredGain::SMALLEST_WORTHWHILE);
    }

    #[test]
    fn repetitions_of_a_vector_are_one_piece_of_evidence() {
        let mut pairs = Pairs::default();
        for repetition in 0..30 {
            pairs.add(repetition % 3, &run(100.0, 0.1), &run(90.0, 0.1));
        }
        // Three signs in a row are no proof, however often they are thrown again.
        assert_eq!(pairs.pages(1).unwrap().p_value, 0.125);
    }

    #[test]
    fn without_pairs_nothing_is_said() {
        assert_eq!(Pairs::default().pages(1), None);
        assert!(Pairs::default().measured(1, |_| String::new()).is_none());
    }
}
