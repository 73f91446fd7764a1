//! From replayed windows to a measured gain with its interval.
//!
//! The pairs are windows of time: both worlds see the same look-ups in each. The
//! interval is that of the ratio of means over resampled pairs (`BCa` bootstrap), the
//! p-value that of the signed-rank test. Where only a part of the keys is sampled,
//! another sample would show something else: the same interval over groups of keys is
//! joined to it (the distances to the ends are added in quadrature, since what the hour
//! brings and which keys are in the sample have nothing to do with each other), and the
//! larger p-value counts.
//!
//! Both say what chance may do, and nothing of where the simulation is wrong. That is
//! added in full: by how much today, simulated, differs from today, live; at the
//! upper end, the misses of keys whose past the recording does not know, which count as
//! misses with the change too; and, of seconds, by what share the cache's own costs may be
//! off, which are estimated.

use veritas_model::{Interval, MeasuredGain, WorkMetric};
use veritas_statistics::{
    bootstrap,
    paired::{Alternative, signed_rank},
};

use crate::recording::{Pair, Replayed, Tally};

/// The confidence of every reported interval.
const CONFIDENCE: f64 = 0.95;
/// Resamples of a bootstrap.
const RESAMPLES: usize = 4_000;
/// By how much the simulation is taken to be wrong at least, as a share of the misses.
const LEAST_WRONG: f64 = 0.005;
/// By how much it may be wrong where it could not be compared with the live cache.
const UNCHECKED: f64 = 0.05;
/// What is said when nothing can be compared: an interval nobody is confident of.
const UNKNOWN: Interval = Interval { low: 0.0, high: 0.0, confidence: 0.0 };

/// The gain in one figure of the tallies.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gain {
    /// The share that is gone.
    share: f64,
    /// Its interval.
    interval: Interval,
    /// One-sided: "the change does not help".
    p_value: f64,
}

/// Returns the gain in a figure, or `None` when there was nothing to gain.
fn gain(replayed: &Replayed, is_sampled: bool, figure: impl Fn(&Tally) -> f64, seed: u64) -> Option<Gain> {
    let sides = |pairs: &[Pair]| -> Vec<(f64, f64)> {
        pairs.iter().map(|pair| (figure(&pair.before), figure(&pair.after))).collect()
    };
    let windows = over(&sides(&replayed.windows), seed)?;
    if !is_sampled {
        return Some(windows);
    }
    let groups = over(&sides(&replayed.groups), seed ^ 1)?;
    let end = |one: f64, other: f64| (one * one + other * other).sqrt();
    let share = windows.share;
    Some(Gain {
        share,
        interval: Interval {
            low: share - end(share - windows.interval.low, groups.share - groups.interval.low),
            high: share + end(windows.interval.high - share, groups.interval.high - groups.share),
            confidence: CONFIDENCE,
        },
        p_value: windows.p_value.max(groups.p_value),
    })
}

fn over(pairs: &[(f64, f64)], seed: u64) -> Option<Gain> {
    let (before, after) = pairs.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
    if before <= 0.0 {
        return None;
    }
    let ratio = bootstrap::ratio_of_means_interval(pairs, CONFIDENCE, RESAMPLES, seed)?;
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.0 - pair.1).collect();
    let p_value = signed_rank(&differences, Alternative::Greater).map_or(1.0, |test| test.p_value);
    let share = 1.0 - after / before;
    let wider = for_few(pairs.len());
    let interval = Interval {
        low: share - (share - (1.0 - ratio.high)) * wider,
        high: share + (1.0 - ratio.low - share) * wider,
        confidence: CONFIDENCE,
    };
    Some(Gain { share, interval, p_value })
}

/// Returns by which factor a bootstrap interval of so few pairs is too narrow: it knows
/// neither Student's quantile (that of the normal times about `1 + 1.21 / (n - 1)`, at 95 %)
/// nor that a variance has a degree of freedom less (Efron and Tibshirani, "An introduction
/// to the bootstrap", 1993, chapter 12).
#[expect(clippy::cast_precision_loss, reason = "a few pairs")]
fn for_few(pairs: usize) -> f64 {
    let others = pairs.saturating_sub(1).max(1) as f64;
    (1.0 + 1.21 / others) * (pairs as f64 / others).sqrt()
}

/// What the figures of a proof are put together from.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) replayed: &'a Replayed,
    /// Whether only a part of the keys was recorded.
    pub(crate) is_sampled: bool,
    /// What the verdict rests on.
    pub(crate) metric: WorkMetric,
    /// How many look-ups there really were while this was recorded: a sample may hold
    /// too many or too few of the hot keys, which never miss ("SHARDS-adj").
    pub(crate) look_ups: f64,
    /// By which share the cache's own costs may be off.
    pub(crate) own_error: f64,
    /// Whether the recorded hits and misses came about under today's settings.
    pub(crate) live_is_today: bool,
    /// Whether what is served stays as fresh as it may be.
    pub(crate) fresh: bool,
    pub(crate) method: String,
    pub(crate) seed: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn misses(tally: &Tally) -> f64 {
    tally.misses as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
fn misses_and_hits(tally: &Tally) -> f64 {
    tally.look_ups as f64
}

fn seconds(tally: &Tally) -> f64 {
    tally.seconds
}

impl Measured<'_> {
    /// Widens an interval of chance by what the simulation may be wrong.
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    fn with_model_error(&self, gain: Gain) -> Gain {
        let simulated = self.replayed.total.before.misses.max(1) as f64;
        // Which of the two worlds is the wrong one is not known: that of today, if it misses
        // three times too often, makes what is left seem a third of what it is.
        let wrong = if self.live_is_today {
            let live = self.replayed.live_misses.max(1) as f64;
            (live / simulated).max(simulated / live) - 1.0
        } else {
            UNCHECKED
        };
        let wrong = wrong.max(LEAST_WRONG) * (1.0 - gain.share).max(0.0);
        let unknown = (self.replayed.first_misses + self.replayed.unknown_past) as f64 / simulated;
        let interval = Interval {
            low: gain.interval.low - wrong,
            high: (gain.interval.high + wrong + unknown).min(1.0),
            ..gain.interval
        };
        Gain { interval, ..gain }
    }

    /// Widens the interval of a gain in seconds by what it would be if the cache itself cost
    /// less, or more, than it is taken to.
    fn with_own_error(&self, gain: Gain) -> Gain {
        let (before, after) = (&self.replayed.total.before, &self.replayed.total.after);
        let if_off_by = |share: f64| {
            let before = before.seconds + share * before.own;
            if before > 0.0 { 1.0 - (after.seconds + share * after.own) / before } else { 0.0 }
        };
        let [less, as_it_is, more] = [-self.own_error, 0.0, self.own_error].map(if_off_by);
        let interval = Interval {
            low: gain.interval.low + (less.min(more) - as_it_is).min(0.0),
            high: gain.interval.high + (less.max(more) - as_it_is).max(0.0),
            ..gain.interval
        };
        Gain { interval, ..gain }
    }

    /// Puts the gain together. A gain in misses that is paid for with time is judged by
    /// the time.
    pub(crate) fn gain(self) -> MeasuredGain {
        // Where every key was recorded, the replay holds all look-ups of its span.
        let replayed = misses_and_hits(&self.replayed.total.before);
        let look_ups = if self.is_sampled { self.look_ups } else { replayed }.max(1.0);
        let of = |figure: fn(&Tally) -> f64, seed: u64| gain(self.replayed, self.is_sampled, figure, seed);
        let by_misses = of(misses, self.seed);
        let by_seconds = of(seconds, self.seed ^ 2).map(|gain| self.with_own_error(gain));
        let is_slower = by_seconds.is_some_and(|gain| gain.interval.high < 0.0);
        let metric = if is_slower { WorkMetric::Seconds } else { self.metric };
        let (figure, verdict): (fn(&Tally) -> f64, _) = match metric {
            WorkMetric::Seconds => (seconds, by_seconds),
            WorkMetric::Misses | WorkMetric::VmSteps | WorkMetric::Buffers => (misses, by_misses),
        };
        let nothing = Gain { share: 0.0, interval: UNKNOWN, p_value: 1.0 };
        let verdict = verdict.map_or(nothing, |verdict| self.with_model_error(verdict));
        let (before, after) = (&self.replayed.total.before, &self.replayed.total.after);
        MeasuredGain {
            metric,
            pairs: self.replayed.windows.len() as u64,
            before: figure(before) / look_ups,
            after: figure(after) / look_ups,
            gain: verdict.share,
            gain_interval: verdict.interval,
            p_value: verdict.p_value,
            seconds_before: before.seconds / look_ups,
            seconds_after: after.seconds / look_ups,
            seconds_gain_interval: by_seconds.map_or(UNKNOWN, |gain| gain.interval),
            bytes_read_before: None,
            bytes_read_after: None,
            write_slowdown: None,
            results_equal: self.fresh,
            method: self.method,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(before: u64, after: u64) -> Pair {
        let tally = |misses: u64| Tally {
            look_ups: 100,
            misses,
            seconds: f64::from(u32::try_from(misses).unwrap()) * 0.001,
            ..Tally::default()
        };
        Pair { before: tally(before), after: tally(after) }
    }

    fn replayed(windows: &[Pair], groups: &[Pair]) -> Replayed {
        let mut total = Pair::default();
        for window in windows {
            total.before.and(&window.before);
            total.after.and(&window.after);
        }
        Replayed {
            windows: windows.to_vec(),
            groups: groups.to_vec(),
            total,
            unknown_past: 0,
            first_misses: 0,
            live_misses: total.before.misses,
            stores: (0, 0),
        }
    }

    fn measured(replayed: &Replayed, is_sampled: bool) -> MeasuredGain {
        Measured {
            replayed,
            is_sampled,
            metric: WorkMetric::Misses,
            look_ups: 4_000.0,
            own_error: 0.5,
            live_is_today: true,
            fresh: true,
            method: String::new(),
            seed: 1,
        }
        .gain()
    }

    #[test]
    fn the_gain_is_the_share_of_misses_that_is_gone() {
        let windows: Vec<Pair> = (0..20).map(|window| pair(40 + window % 3, 10 + window % 2)).collect();
        let gain = measured(&replayed(&windows, &[]), false);
        assert_eq!((gain.metric, gain.pairs), (WorkMetric::Misses, 20));
        assert!(gain.gain_interval.low > 0.7 && gain.gain_interval.high < 0.78, "{gain:?}");
        assert!(gain.p_value < 1e-4);
        // Every key was recorded: the misses are those of the look-ups that were replayed.
        assert!((gain.before - (820.0 - 1.0) / 2_000.0).abs() < 1e-9, "{}", gain.before);
        // Half as many misses per look-up, since the sample held half of the look-ups only.
        let sampled = measured(&replayed(&windows, &[]), true);
        assert!((sampled.before - gain.before / 2.0).abs() < 1e-9, "{}", sampled.before);
    }

    #[test]
    fn what_does_nothing_is_no_gain() {
        let windows = vec![pair(30, 30); 20];
        let gain = measured(&replayed(&windows, &[]), false);
        assert_eq!((gain.gain, gain.p_value), (0.0, 1.0));
        let windows = vec![pair(0, 0); 20];
        assert_eq!(measured(&replayed(&windows, &[]), false).p_value, 1.0);
    }

    #[test]
    fn keys_that_disagree_widen_the_interval_of_a_sample() {
        let windows: Vec<Pair> = (0..20).map(|window| pair(40 + window % 3, 10 + window % 2)).collect();
        let groups: Vec<Pair> = (0..16).map(|group| pair(50, if group % 2 == 0 { 0 } else { 25 })).collect();
        let whole = measured(&replayed(&windows, &groups), false);
        let sampled = measured(&replayed(&windows, &groups), true);
        assert!(sampled.gain_interval.low < whole.gain_interval.low - 0.05, "{sampled:?}");
        assert!(sampled.gain_interval.high > whole.gain_interval.high + 0.05, "{sampled:?}");
        assert!(sampled.p_value >= whole.p_value);
    }

    #[test]
    fn where_the_simulation_is_wrong_the_interval_is_wider() {
        let windows: Vec<Pair> = (0..20).map(|window| pair(40 + window % 3, 10 + window % 2)).collect();
        let right = measured(&replayed(&windows, &[]), false).gain_interval;
        let mut off = replayed(&windows, &[]);
        off.live_misses = off.live_misses * 11 / 10;
        off.first_misses = 41;
        let wrong = measured(&off, false).gain_interval;
        // A tenth of the quarter of the misses that is left; and a twentieth is not known.
        assert!((0.02..0.03).contains(&(right.low - wrong.low)), "{right:?} {wrong:?}");
        assert!((0.07..0.08).contains(&(wrong.high - right.high)), "{right:?} {wrong:?}");
    }

    #[test]
    fn a_gain_that_was_simulated_and_not_seen_live_is_no_proof() {
        // Simulated, today misses 6 of 100 look-ups and the change leaves 2; live it is 2 today.
        let windows: Vec<Pair> = (0..20).map(|window| pair(6 + window % 2, 2)).collect();
        let mut unlike = replayed(&windows, &[]);
        unlike.live_misses = unlike.total.after.misses;
        let gain = measured(&unlike, false);
        assert!(gain.gain > 0.6 && gain.gain_interval.low < 0.05, "{gain:?}");
        unlike.live_misses = 0;
        assert!(measured(&unlike, false).gain_interval.low.is_finite());
    }

    #[test]
    fn seconds_are_known_as_well_as_the_cache_s_own_costs() {
        let windows: Vec<Pair> = (0..20)
            .map(|window| {
                let mut pair = pair(100, 100);
                (pair.before.own, pair.before.seconds) = (9e-6, 10e-6 + f64::from(window) * 1e-9);
                (pair.after.own, pair.after.seconds) = (5e-6, 6e-6);
                pair
            })
            .collect();
        let replayed = replayed(&windows, &[]);
        let stopping = Measured {
            replayed: &replayed,
            is_sampled: false,
            metric: WorkMetric::Seconds,
            look_ups: 2_000.0,
            own_error: 0.5,
            live_is_today: true,
            fresh: true,
            method: String::new(),
            seed: 1,
        };
        let gain = stopping.gain();
        // Half the own costs: 1 - 3.5 / 5.5; half as much again: 1 - 8.5 / 14.5.
        assert!((gain.gain - 0.4).abs() < 1e-3, "{gain:?}");
        assert!((0.35..0.37).contains(&gain.gain_interval.low), "{gain:?}");
        assert!((0.405..0.43).contains(&gain.gain_interval.high), "{gain:?}");
    }

    #[test]
    fn fewer_misses_that_cost_more_time_are_judged_by_time() {
        let windows: Vec<Pair> = (0..20)
            .map(|window| {
                let mut pair = pair(40 + window % 3, 10);
                pair.after.seconds = pair.before.seconds * 2.0;
                pair
            })
            .collect();
        let gain = measured(&replayed(&windows, &[]), false);
        assert_eq!(gain.metric, WorkMetric::Seconds);
        assert!(gain.gain < -0.9, "{gain:?}");
    }
}
