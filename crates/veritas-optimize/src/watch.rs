//! The watch over one change: when to look at the load, and what follows.

use std::time::Duration;

use veritas_model::{LiveGain, Monotonic, Outcome, WorkTotals};

use crate::{
    OptimizerOptions,
    baseline::Baseline,
    verification::{self, Evidence, Halves},
};

/// The watch over one change. It does no I/O: it is given readings of the work and
/// says what follows from them.
#[derive(Debug)]
pub(crate) struct Watch {
    baseline: Baseline,
    started: Monotonic,
    /// Watched before a restart.
    carried: Duration,
    /// From the middle of the baseline to the start, where a restart lies between.
    away: Duration,
    at_start: Vec<WorkTotals>,
    /// Calls are under way that began before the change: those that end until the first look
    /// are not counted. One scan of the old plan among thousands of cheap calls would make
    /// their mean unknowable.
    drains: bool,
    /// Readings since the start, to tell how the load drifts; at most [`Watch::READINGS`].
    readings: Vec<(Monotonic, Vec<WorkTotals>)>,
    /// Verdicts asked for in this phase: each has its part of the alpha.
    looks: u32,
    next_look: Monotonic,
    phase: Phase,
    disturbed: Option<String>,
    /// The gain that the live load must show at least half of; `None`: any will do.
    promised: Option<f64>,
}

#[derive(Debug)]
enum Phase {
    /// Is the change good?
    Fresh,
    /// It was kept. Does it stay good when the load turns? What a call of each
    /// statement costs since the change is settled soon and then stays as it is, so
    /// that growing tables are not held against it; only the rates move on.
    Kept(Box<Kept>),
}

#[derive(Debug)]
struct Kept {
    since: Monotonic,
    settled: Vec<WorkTotals>,
    halves: Option<Halves>,
    distance: Duration,
    last: Vec<WorkTotals>,
    last_at: Monotonic,
}

/// What follows from a look at the load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing yet; what is known so far.
    GoOn(LiveGain),
    /// Take it back.
    Worse(LiveGain),
    /// Take it back: it brings less than half of what was predicted.
    Broken(LiveGain),
    /// Keep it, and watch on.
    Keep(LiveGain, String),
    /// The watch over a kept change has nothing to say.
    Quiet,
    /// The watch over a kept change is over.
    Over,
}

impl Watch {
    /// How many times as long as its window a fresh change is watched, and a permitted one
    /// waits, when the load does not run often enough.
    pub(crate) const PATIENCE: u32 = 6;
    /// Readings that are held to tell the drift; beyond, every second one goes.
    const READINGS: usize = 32;

    /// Starts watching a change that was applied just now.
    pub(crate) fn start(
        baseline: Baseline,
        now: Monotonic,
        work: Vec<WorkTotals>,
        options: &OptimizerOptions,
    ) -> Self {
        let next_look = now.plus(baseline.longest_call().min(options.watch_interval()));
        let watch = Self::resume(baseline, now, work, Duration::ZERO, Duration::ZERO, options);
        Self { drains: true, next_look, ..watch }
    }

    /// Goes on with a watch that was interrupted by a restart after `carried`, when the
    /// middle of the baseline is `away`. What was counted since the change is lost; the
    /// alpha that was spent stays spent.
    pub(crate) fn resume(
        baseline: Baseline,
        now: Monotonic,
        work: Vec<WorkTotals>,
        carried: Duration,
        away: Duration,
        options: &OptimizerOptions,
    ) -> Self {
        let interval = options.watch_interval().max(Duration::from_nanos(1));
        let looks = carried.as_nanos().div_ceil(interval.as_nanos());
        Self {
            baseline,
            started: now,
            carried,
            away,
            at_start: work,
            drains: false,
            readings: Vec::new(),
            looks: u32::try_from(looks).unwrap_or(u32::MAX),
            next_look: now.plus(interval),
            phase: Phase::Fresh,
            disturbed: None,
            promised: None,
        }
    }

    /// Holds the change to what was predicted: it is taken back when the live load shows
    /// that it brings less than half of the gain.
    pub(crate) const fn promising(mut self, gain: f64) -> Self {
        self.promised = Some(gain);
        self
    }

    /// Returns whether it is time to look.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        self.next_look <= now
    }

    /// Notes that something else changed the cost of the load: this change can no
    /// longer be judged by it.
    pub(crate) fn disturb(&mut self, by: String) {
        self.disturbed.get_or_insert(by);
    }

    /// Looks at the load.
    pub(crate) fn look(
        &mut self,
        now: Monotonic,
        work: &[WorkTotals],
        options: &OptimizerOptions,
    ) -> Verdict {
        match self.phase {
            Phase::Fresh => self.look_at_fresh(now, work, options),
            Phase::Kept(_) => self.look_at_kept(now, work, options),
        }
    }

    /// Goes over to watching a change that was kept.
    pub(crate) fn keep(&mut self, now: Monotonic, work: &[WorkTotals], options: &OptimizerOptions) {
        self.phase = Phase::Kept(Box::new(Kept {
            since: now,
            settled: verification::since(work, &self.at_start),
            halves: self.halves(now, work),
            distance: self.distance(now),
            last: work.to_vec(),
            last_at: now,
        }));
        self.readings = Vec::new();
        self.looks = 0;
        self.next_look = now.plus(options.regression_interval());
    }

    /// From the middle of the baseline to the middle of the time since the change.
    fn distance(&self, now: Monotonic) -> Duration {
        self.started.plus(now.since(self.started) / 2).since(self.baseline.middle).saturating_add(self.away)
    }

    /// Cuts the time since the change in two.
    fn halves(&self, now: Monotonic, work: &[WorkTotals]) -> Option<Halves> {
        let middle = self.started.plus(now.since(self.started) / 2);
        let far = |at: Monotonic| at.since(middle).max(middle.since(at));
        let (at, midway) = self.readings.iter().min_by_key(|(at, _)| far(*at)).filter(|(at, _)| *at < now)?;
        Some(Halves {
            first: verification::since(midway, &self.at_start),
            second: verification::since(work, midway),
            // From the middle of the one to the middle of the other.
            apart: (at.since(self.started) + now.since(*at)) / 2,
        })
    }

    fn remember(&mut self, now: Monotonic, work: &[WorkTotals]) {
        if self.readings.len() == Self::READINGS {
            let mut is_odd = false;
            self.readings.retain(|_| {
                is_odd = !is_odd;
                is_odd
            });
        }
        self.readings.push((now, work.to_vec()));
    }

    fn look_at_fresh(&mut self, now: Monotonic, work: &[WorkTotals], options: &OptimizerOptions) -> Verdict {
        self.next_look = now.plus(options.watch_interval());
        if std::mem::take(&mut self.drains) && self.disturbed.is_none() {
            self.started = now;
            self.at_start = work.to_vec();
            return Verdict::Quiet;
        }
        let watched = self.carried + now.since(self.started);
        let after = verification::since(work, &self.at_start);
        let halves = self.halves(now, work);
        self.remember(now, work);
        let evidence = Evidence {
            before: &self.baseline.before,
            after: &after,
            rates: None,
            rates_over: now.since(self.started),
            drift_before: self.baseline.halves.as_ref(),
            drift_after: halves.as_ref(),
            distance: self.distance(now),
            watched,
        };
        let all_looks = options.watch_looks.max(1);
        let alpha = options.verification.alpha.get() / 2.0 / f64::from(all_looks);
        let mut live = verification::compare(&evidence, alpha, &options.verification);
        if let Some(by) = &self.disturbed {
            live.outcome = Outcome::NotEnoughData;
            return Verdict::Keep(live, format!("kept unverified: {by}"));
        }
        let over = watched >= options.watch_window;
        if !self.away.is_zero() && evidence.drift_after.is_none() && live.outcome == Outcome::Worse {
            // What became dearer meanwhile cannot be told from what the change did before
            // it is known how the load drifts. It is not judged, so no alpha is spent.
            return Verdict::GoOn(live);
        }
        if live.outcome != Outcome::NotEnoughData {
            self.looks = self.looks.saturating_add(1);
        }
        if self.looks > all_looks && live.outcome == Outcome::Worse {
            // All of the alpha is spent: this look is no evidence any more.
            live.outcome = Outcome::NoDifference;
        }
        if over && live.outcome != Outcome::Worse && self.breaks_its_promise(&evidence, alpha, options) {
            return Verdict::Broken(live);
        }
        match live.outcome {
            Outcome::Worse => Verdict::Worse(live),
            Outcome::Improved if over || (self.promised.is_none() && watched >= options.watch_window / 2) => {
                let reason = format!("the live load costs {:.1} % less", live.gain * 100.0);
                Verdict::Keep(live, reason)
            }
            Outcome::Improved | Outcome::NoDifference if over => {
                Verdict::Keep(live, "no difference on the live load".to_owned())
            }
            Outcome::NotEnoughData if watched >= options.watch_window * Self::PATIENCE => Verdict::Keep(
                live,
                "kept unverified: the live load did not run often enough to compare it".to_owned(),
            ),
            _ => Verdict::GoOn(live),
        }
    }

    /// Returns whether the load shows less than half of the gain that was promised. Only the
    /// second half of the time since the change is asked: what a cache was given first fills up.
    fn breaks_its_promise(&self, evidence: &Evidence<'_>, alpha: f64, options: &OptimizerOptions) -> bool {
        let Some(promised) = self.promised else { return false };
        let settled = evidence.drift_after.map_or(evidence.after, |halves| &halves.second);
        let live =
            verification::compare(&Evidence { after: settled, ..*evidence }, alpha, &options.verification);
        live.outcome != Outcome::NotEnoughData && live.gain_interval.high < promised / 2.0
    }

    fn look_at_kept(&mut self, now: Monotonic, work: &[WorkTotals], options: &OptimizerOptions) -> Verdict {
        self.next_look = now.plus(options.regression_interval());
        let Phase::Kept(kept) = &mut self.phase else { return Verdict::Quiet };
        if self.disturbed.is_some() {
            return Verdict::Over;
        }
        settle(&mut kept.settled, verification::since(work, &self.at_start), &options.verification);
        let rates = verification::since(work, &kept.last);
        let calls: u64 = rates.iter().map(|totals| totals.seconds.count).sum();
        let over = now.since(kept.since)
            >= options.regression_watch.min(OptimizerOptions::LONGEST_REGRESSION_WATCH)
            || self.looks >= options.regression_looks.max(1);
        if calls < options.verification.min_calls {
            return if over { Verdict::Over } else { Verdict::Quiet };
        }
        let evidence = Evidence {
            before: &self.baseline.before,
            after: &kept.settled,
            rates: Some(&rates),
            rates_over: now.since(kept.last_at),
            drift_before: self.baseline.halves.as_ref(),
            drift_after: kept.halves.as_ref(),
            distance: kept.distance,
            watched: now.since(self.started),
        };
        self.looks += 1;
        let alpha = options.verification.alpha.get() / 2.0 / f64::from(options.regression_looks.max(1));
        let live = verification::compare(&evidence, alpha, &options.verification);
        kept.last = work.to_vec();
        kept.last_at = now;
        match live.outcome {
            Outcome::Worse => Verdict::Worse(live),
            _ if over => Verdict::Over,
            _ => Verdict::Quiet,
        }
    }
}

/// Takes over what is known since the change of those statements that did not run
/// often enough yet.
fn settle(
    settled: &mut Vec<WorkTotals>,
    since_change: Vec<WorkTotals>,
    options: &verification::VerificationOptions,
) {
    for totals in since_change {
        match settled.iter_mut().find(|known| verification::key(known) == verification::key(&totals)) {
            Some(known) if verification::is_well_known(known, options) => {}
            Some(known) => *known = totals,
            None => settled.push(totals),
        }
    }
}

#[cfg(test)]
mod tests {
    use veritas_model::{Fingerprint, WorkMetric};

    use super::*;

    /// Look-ups of which every `every`th missed, after `earlier`.
    fn look_ups(earlier: &[WorkTotals], count: u32, every: u32) -> Vec<WorkTotals> {
        let (mut steps, mut seconds) =
            earlier.first().map_or_else(Default::default, |totals| (totals.steps, totals.seconds));
        for number in 0..count {
            let missed = f64::from(u8::from(number % every == 0));
            steps.add(missed);
            seconds.add(missed * 0.001);
        }
        let fingerprint = Fingerprint::of_normalized("users");
        vec![WorkTotals { fingerprint, name: "users".into(), metric: WorkMetric::Misses, steps, seconds }]
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    /// Watches a cache of which every second look-up missed before, and every `every`th
    /// misses after the change; returns what is said at the end of the window.
    fn verdict(every: u32, promised: Option<f64>) -> Verdict {
        let options =
            OptimizerOptions { watch_window: Duration::from_mins(1), ..OptimizerOptions::default() };
        let before: Vec<WorkTotals> = look_ups(&[], 60_000, 2);
        let baseline = Baseline { before: before.clone(), halves: None, middle: at(0) };
        let mut watch = Watch::start(baseline, at(60), before.clone(), &options);
        if let Some(gain) = promised {
            watch = watch.promising(gain);
        }
        let mut work = before;
        for second in (66..=126).step_by(6) {
            // The cache fills up at first: in the first half it brings nothing.
            work = look_ups(&work, 6_000, if second <= 96 { 2 } else { every });
            match watch.look(at(second), &work, &options) {
                Verdict::GoOn(_) | Verdict::Quiet => {}
                end => return end,
            }
        }
        Verdict::Quiet
    }

    /// Calls of `steps` each, after `earlier`.
    fn calls(earlier: &[WorkTotals], count: u32, each: f64) -> Vec<WorkTotals> {
        let (mut steps, mut seconds) =
            earlier.first().map_or_else(Default::default, |totals| (totals.steps, totals.seconds));
        for _ in 0..count {
            steps.add(each);
            seconds.add(each * 1e-7);
        }
        let fingerprint = Fingerprint::of_normalized("scan");
        vec![WorkTotals { fingerprint, name: "scan".into(), metric: WorkMetric::VmSteps, steps, seconds }]
    }

    #[test]
    fn calls_that_were_under_way_when_the_change_came_are_not_held_against_it() {
        let options =
            OptimizerOptions { watch_window: Duration::from_mins(1), ..OptimizerOptions::default() };
        let before = calls(&[], 400, 600_000.0);
        let baseline = Baseline { before: before.clone(), halves: None, middle: at(0) };
        let mut watch = Watch::start(baseline, at(60), before.clone(), &options);
        // Two scans began before the index was there and end after it.
        let mut work = calls(&before, 2, 600_000.0);
        for second in (66..=126).step_by(6) {
            work = calls(&work, 200, 170.0);
            match watch.look(at(second), &work, &options) {
                Verdict::GoOn(_) | Verdict::Quiet => {}
                Verdict::Keep(live, _) => return assert_eq!(live.outcome, Outcome::Improved),
                other => panic!("{other:?}"),
            }
        }
        panic!("no verdict at the end of the window");
    }

    #[test]
    fn a_change_that_keeps_half_of_its_promise_is_kept() {
        // 50 % of the look-ups missed, 25 % do: half of the misses are gone.
        assert!(matches!(verdict(4, Some(0.5)), Verdict::Keep(..)));
        assert!(matches!(verdict(4, Some(0.9)), Verdict::Keep(..)));
    }

    #[test]
    fn a_change_that_breaks_its_promise_is_taken_back() {
        assert!(matches!(verdict(2, Some(0.5)), Verdict::Broken(_)));
        assert!(matches!(verdict(2, None), Verdict::Keep(..)), "nothing was promised");
    }
}
