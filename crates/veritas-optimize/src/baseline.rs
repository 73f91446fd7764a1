//! What the load cost before a change.

use std::{collections::VecDeque, time::Duration};

use veritas_model::{Monotonic, WorkTotals};

use crate::{
    VerificationOptions,
    verification::{self, Halves},
};

/// The recent readings of the work in one scope, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Ring {
    window: Duration,
    /// Oldest first; at most [`Ring::READINGS`].
    readings: VecDeque<(Monotonic, Vec<WorkTotals>)>,
}

/// What the load cost before a change, and how it drifted.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    pub(crate) before: Vec<WorkTotals>,
    pub(crate) halves: Option<Halves>,
    /// The middle of the window.
    pub(crate) middle: Monotonic,
}

impl Baseline {
    /// Returns whether what comes after can be compared with it: most of the time is spent
    /// in statements that ran often enough.
    pub(crate) fn is_comparable(&self, options: &VerificationOptions) -> bool {
        let is_known = |totals: &&WorkTotals| verification::is_known(totals, options);
        // By time, and by the steps that the verdict rests on where there are any: the
        // statement that the change is for may have most of the one and less of the other.
        let is_covered = |of: fn(&WorkTotals) -> f64| {
            let all: f64 = self.before.iter().map(of).sum();
            let known: f64 = self.before.iter().filter(is_known).map(of).sum();
            known >= VerificationOptions::COVERAGE * all
        };
        self.before.iter().any(|totals| is_known(&totals))
            && is_covered(|totals| totals.seconds.sum)
            && is_covered(|totals| totals.steps.sum)
    }

    /// Returns how long a call may take, generously: ten deviations above the mean of the
    /// dearest statement.
    pub(crate) fn longest_call(&self) -> Duration {
        let longest = |totals: &WorkTotals| {
            let deviation = totals.seconds.variance().unwrap_or(0.0).max(0.0).sqrt();
            let mean = totals.seconds.mean().unwrap_or(0.0);
            mean + 10.0 * deviation.max(mean)
        };
        let seconds = self.before.iter().map(longest).fold(0.0, f64::max);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Ring {
    /// One more than the parts that the window is read in.
    const READINGS: usize = 9;

    pub(crate) const fn new(window: Duration) -> Self {
        Self { window, readings: VecDeque::new() }
    }

    /// Returns whether it is time for another reading.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        let parts = u32::try_from(Self::READINGS - 1).unwrap_or(1);
        self.readings.back().is_none_or(|(at, _)| now.since(*at) >= self.window / parts)
    }

    pub(crate) fn push(&mut self, now: Monotonic, work: Vec<WorkTotals>) {
        if self.readings.len() == Self::READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back((now, work));
    }

    /// Returns whether the readings go back as far as the window.
    pub(crate) fn is_full(&self, now: Monotonic) -> bool {
        // The oldest reading may have just been dropped: one part less will do.
        self.readings.front().is_some_and(|(at, _)| now.since(*at) >= self.window / 8 * 7)
    }

    /// Returns the baseline of a change that is made now, when `work` is what the load
    /// has cost so far. A statement that ran too rarely within the window is represented
    /// by everything that it has cost so far.
    pub(crate) fn baseline(&self, now: Monotonic, work: &[WorkTotals], min_calls: u64) -> Baseline {
        let Some((started, first)) = self.readings.front() else {
            return Baseline { before: work.to_vec(), halves: None, middle: now };
        };
        let window = verification::since(work, first);
        let in_window = verification::by_statement(&window);
        let before = work
            .iter()
            .map(|totals| match in_window.get(&verification::key(totals)) {
                Some(recent) if recent.seconds.count >= min_calls => (*recent).clone(),
                _ => totals.clone(),
            })
            .collect();
        let length = now.since(*started);
        let middle = started.plus(length / 2);
        let halves = self
            .readings
            .iter()
            .skip(1)
            .min_by_key(|(at, _)| at.since(middle).max(middle.since(*at)))
            .filter(|(at, _)| *at < now)
            .map(|(_, midway)| Halves {
                first: verification::since(midway, first),
                second: verification::since(work, midway),
                apart: length / 2,
            });
        Baseline { before, halves, middle }
    }
}

#[cfg(test)]
mod tests {
    use veritas_model::{Fingerprint, Moments, WorkMetric};

    use super::*;

    fn totals(calls: u64) -> Vec<WorkTotals> {
        let seconds = Moments { count: calls, sum: 1.0, sum_of_squares: 1.0 };
        let fingerprint = Fingerprint::of_normalized("q");
        vec![WorkTotals {
            fingerprint,
            name: "q".into(),
            metric: WorkMetric::VmSteps,
            steps: seconds,
            seconds,
        }]
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_ring_is_bounded_and_covers_its_window() {
        let mut ring = Ring::new(Duration::from_secs(80));
        for second in 0..1_000 {
            if ring.is_due(at(second)) {
                ring.push(at(second), totals(second));
            }
            assert!(ring.readings.len() <= Ring::READINGS);
        }
        assert!(ring.is_full(at(999)));
        let baseline = ring.baseline(at(999), &totals(999), 30);
        let calls = baseline.before[0].seconds.count;
        assert!((70..=90).contains(&calls), "{calls}");
        let halves = baseline.halves.unwrap();
        let both = halves.first[0].seconds.count + halves.second[0].seconds.count;
        assert_eq!(both, calls);
    }

    #[test]
    fn a_rare_statement_is_represented_by_all_its_calls() {
        let mut ring = Ring::new(Duration::from_secs(80));
        ring.push(at(0), totals(100));
        let baseline = ring.baseline(at(80), &totals(110), 30);
        assert_eq!(baseline.before[0].seconds.count, 110);
    }

    #[test]
    fn a_baseline_can_be_compared_when_most_of_the_time_is_spent_in_what_ran_often() {
        let options = VerificationOptions::default();
        let baseline = |work: Vec<WorkTotals>| Baseline { before: work, halves: None, middle: at(0) };
        let statement = |calls: u32, seconds: f64| {
            // Each call takes the same time.
            let squares = seconds * seconds / f64::from(calls);
            let seconds = Moments { count: u64::from(calls), sum: seconds, sum_of_squares: squares };
            WorkTotals { steps: Moments::default(), seconds, ..totals(1).remove(0) }
        };
        let check = |work: &[(u32, f64)], expected: bool| {
            let work = work.iter().map(|&(calls, seconds)| statement(calls, seconds)).collect();
            assert_eq!(baseline(work).is_comparable(&options), expected);
        };
        check(&[], false);
        check(&[(29, 1.0)], false);
        check(&[(30, 1.0)], true);
        check(&[(30, 1.0), (3, 0.9)], true);
        check(&[(30, 1.0), (3, 1.1)], false);

        // The statement with nearly all of the steps has less than half of the time.
        let mut rare = statement(20, 0.9);
        rare.steps = Moments { count: 20, sum: 1e6, sum_of_squares: 5e10 };
        let mut frequent = statement(400, 1.0);
        frequent.steps = Moments { count: 400, sum: 400.0, sum_of_squares: 400.0 };
        assert!(!baseline(vec![rare.clone(), frequent.clone()]).is_comparable(&options));
        rare.steps.sum = 10.0;
        assert!(baseline(vec![rare, frequent]).is_comparable(&options));
    }

    #[test]
    fn without_readings_everything_so_far_is_the_baseline() {
        let baseline = Ring::new(Duration::from_secs(80)).baseline(at(5), &totals(7), 30);
        assert_eq!(baseline.before[0].seconds.count, 7);
        assert_eq!(baseline.halves, None);
    }
}
