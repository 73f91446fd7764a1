//! Judges the live load before and after a change.
//!
//! **What is compared.** Each statement (by fingerprint and label) is a stratum. At
//! the rates `w` seen after the change, the load costs `A = Σ w·mean_after`; at the
//! old prices it would have cost `B = Σ w·mean_before`. The ratio `R = A / B` is what
//! the change did to the load, whatever became of the mix of statements. Its variance
//! follows by the delta method from the moments of each stratum:
//! `Var(R) ≈ (Σ w²·var_after/n_after + R²·Σ w²·var_before/n_before) / B²`
//! (W. G. Cochran, "Sampling Techniques", 1977, chapters 5 and 6: the combined ratio
//! estimate over strata).
//!
//! **What is left out.** A stratum with too few calls on either side, or with so wide
//! a spread that its mean is not yet near normal: at least
//! `min_calls · max(1, var/mean²)` calls are asked for (the heavy-tail guard). When
//! the strata that are left hold less than half of the time spent (at the dearer of the
//! two prices), nothing is said.
//!
//! **Drift.** Tables grow, and a scan of a growing table costs more each minute without
//! any change. The two halves of each window tell how fast the load becomes dearer by
//! itself; the slopes before and after are pooled by their precision, carried on from the
//! middle of the one window to the middle of the other, and taken off what the change is
//! blamed for, with their own variance added: what is judged is the step at the change. A
//! load that becomes cheaper is not held against the change. Harm that only builds up
//! slowly is taken for drift: that is the price. Where the drift is not known, the margin
//! is [`VerificationOptions::UNKNOWN_DRIFT`] times as wide.
//!
//! **When it is worse.** One-sided, `R - 1 - drift - margin > z·SE`, and more than an
//! absolute floor per second. The caller spends its alpha over the looks; by the union
//! bound the rate of false alarms stays below their sum, however the looks depend on
//! each other.

use std::{collections::HashMap, time::Duration};

use veritas_model::{Alpha, Fingerprint, Interval, LiveGain, Moments, Outcome, WorkMetric, WorkTotals};
use veritas_statistics::normal;

/// How the live load is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerificationOptions {
    /// Accepted probability that a change that does nothing is taken back, over all
    /// looks: half of it while the change is fresh, half while it is kept.
    pub alpha: Alpha,
    /// Share by which the load must have become dearer in virtual-machine steps, or in misses (0.01).
    pub margin: f64,
    /// Share by which it must have become dearer where only time is known (0.10): time
    /// is disturbed by whatever else the machine does.
    pub margin_of_seconds: f64,
    /// Steps per second below which a loss is not worth a revert (100).
    pub floor_of_steps: f64,
    /// Misses per second below which a loss is not worth a revert (0.1).
    pub floor_of_misses: f64,
    /// Pages per second below which a loss is not worth a revert (10).
    pub floor_of_buffers: f64,
    /// Seconds per second below which a loss is not worth a revert (0.001).
    pub floor_of_seconds: f64,
    /// Calls below which a statement is left out (30).
    pub min_calls: u64,
}

impl VerificationOptions {
    /// How many times as wide the margins are while the drift is not known.
    pub const UNKNOWN_DRIFT: f64 = 3.0;
    /// Share of the time spent in the scope that the judged strata must hold.
    pub const COVERAGE: f64 = 0.5;
    /// Share of the calls whose steps must be known for steps to be the judge.
    const STEPS_KNOWN: f64 = 0.9;
    /// The confidence of the reported interval.
    const CONFIDENCE: f64 = 0.95;
}

impl Default for VerificationOptions {
    fn default() -> Self {
        Self {
            alpha: Alpha::ONE_PERCENT,
            margin: 0.01,
            margin_of_seconds: 0.10,
            floor_of_steps: 100.0,
            floor_of_misses: 0.1,
            floor_of_buffers: 10.0,
            floor_of_seconds: 0.001,
            min_calls: 30,
        }
    }
}

/// The two halves of a window, to tell how fast the load becomes dearer by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Halves {
    /// The work of the first half.
    pub first: Vec<WorkTotals>,
    /// The work of the second half.
    pub second: Vec<WorkTotals>,
    /// From the middle of the one to the middle of the other.
    pub apart: Duration,
}

/// What was seen around a change.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The work of a window before the change.
    pub before: &'a [WorkTotals],
    /// The work of a window after it.
    pub after: &'a [WorkTotals],
    /// The work whose counts weigh the statements; `None`: those of `after`.
    pub rates: Option<&'a [WorkTotals]>,
    /// How long the rates were counted.
    pub rates_over: Duration,
    /// The halves of the window before; `None` where they are not known.
    pub drift_before: Option<&'a Halves>,
    /// The halves of the window after; `None` where they are not known.
    pub drift_after: Option<&'a Halves>,
    /// From the middle of the window before to the middle of the window after.
    pub distance: Duration,
    /// How long the load has been watched after the change.
    pub watched: Duration,
}

/// Judges the load before and after a change, at the one-sided level `alpha` for
/// this look.
pub fn compare(evidence: &Evidence<'_>, alpha: f64, options: &VerificationOptions) -> LiveGain {
    let steps = Side::of(evidence, metric_of_steps(evidence.after), options);
    let side = if steps.known >= VerificationOptions::STEPS_KNOWN && !steps.strata.is_empty() {
        steps
    } else {
        Side::of(evidence, WorkMetric::Seconds, options)
    };
    let (calls_before, calls_after) = (calls(evidence.before), calls(evidence.after));
    let watched_seconds = evidence.watched.as_secs_f64();
    let nothing = LiveGain {
        outcome: Outcome::NotEnoughData,
        metric: side.metric,
        calls_before,
        calls_after,
        gain: 0.0,
        gain_interval: Interval { low: 0.0, high: 0.0, confidence: 0.0 },
        seconds_saved_per_call: 0.0,
        watched_seconds,
    };
    let (Some(change), Some(z)) = (Dearer::of(&side.strata), normal::quantile(1.0 - alpha)) else {
        return nothing;
    };
    let margin = match side.metric {
        WorkMetric::VmSteps | WorkMetric::Misses | WorkMetric::Buffers => options.margin,
        WorkMetric::Seconds => options.margin_of_seconds,
    };
    let floor = match side.metric {
        WorkMetric::VmSteps => options.floor_of_steps,
        WorkMetric::Misses => options.floor_of_misses,
        WorkMetric::Buffers => options.floor_of_buffers,
        WorkMetric::Seconds => options.floor_of_seconds,
    };
    let slopes = [
        evidence.drift_before.and_then(|halves| Slope::of(halves, &side, 1.0, options)),
        // In units of the cost before, as the other one is.
        evidence.drift_after.and_then(|halves| Slope::of(halves, &side, 1.0 + change.share, options)),
    ];
    let distance = evidence.distance.as_secs_f64();
    let (drifted, drift_variance, margin) = match Slope::pooled(slopes) {
        Some(slope) => (slope.per_second.max(0.0) * distance, slope.variance * distance * distance, margin),
        None => (0.0, 0.0, margin * VerificationOptions::UNKNOWN_DRIFT),
    };
    let worse_by = change.share - drifted;
    let tolerance = z * (change.variance + drift_variance).sqrt();
    let lost_per_second = worse_by * change.cost_before / evidence.rates_over.as_secs_f64().max(1e-9);
    let outcome = if side.coverage < VerificationOptions::COVERAGE {
        Outcome::NotEnoughData
    } else if worse_by - margin > tolerance && lost_per_second > floor {
        Outcome::Worse
    } else if -change.share - margin > z * change.variance.sqrt() {
        Outcome::Improved
    } else {
        Outcome::NoDifference
    };
    let reported = normal::quantile(f64::midpoint(1.0, VerificationOptions::CONFIDENCE)).unwrap_or_default()
        * change.variance.sqrt();
    LiveGain {
        outcome,
        gain: -change.share,
        gain_interval: Interval {
            low: -change.share - reported,
            high: -change.share + reported,
            confidence: VerificationOptions::CONFIDENCE,
        },
        seconds_saved_per_call: side.seconds_saved_per_call,
        ..nothing
    }
}

/// Subtracts an earlier reading of the same counters. A counter that went back was
/// restarted: what it shows is all new.
pub fn since(now: &[WorkTotals], earlier: &[WorkTotals]) -> Vec<WorkTotals> {
    let earlier = by_statement(earlier);
    now.iter()
        .map(|totals| match earlier.get(&key(totals)) {
            Some(before) if before.seconds.count <= totals.seconds.count => WorkTotals {
                steps: totals.steps.since(&before.steps),
                seconds: totals.seconds.since(&before.seconds),
                ..totals.clone()
            },
            _ => totals.clone(),
        })
        .filter(|totals| totals.seconds.count > 0)
        .collect()
}

type Key<'a> = (Fingerprint, &'a str);

pub(crate) fn key(totals: &WorkTotals) -> Key<'_> {
    (totals.fingerprint, totals.name.as_str())
}

pub(crate) fn by_statement(work: &[WorkTotals]) -> HashMap<Key<'_>, &WorkTotals> {
    work.iter().map(|totals| (key(totals), totals)).collect()
}

fn calls(work: &[WorkTotals]) -> u64 {
    work.iter().map(|totals| totals.seconds.count).sum()
}

/// Returns what the steps of these totals are. All in one scope count the same.
fn metric_of_steps(work: &[WorkTotals]) -> WorkMetric {
    work.first().map_or(WorkMetric::VmSteps, |totals| totals.metric)
}

const fn moments(totals: &WorkTotals, metric: WorkMetric) -> Moments {
    match metric {
        WorkMetric::VmSteps | WorkMetric::Misses | WorkMetric::Buffers => totals.steps,
        WorkMetric::Seconds => totals.seconds,
    }
}

/// One statement in both windows.
struct Stratum<'a> {
    key: Key<'a>,
    weight: f64,
    before: Moments,
    after: Moments,
}

impl Stratum<'_> {
    /// Returns whether both means are known well enough to be compared: what is small beside
    /// the other need not be known by its own measure. A cache that hardly misses any more, or
    /// a scan among thousands of look-ups, would else need as many calls as it is rare.
    fn is_enough(&self, options: &VerificationOptions) -> bool {
        let mean = |calls: &Moments| calls.mean().unwrap_or(0.0);
        let dearer = mean(&self.before).max(mean(&self.after));
        is_enough(&self.before, dearer, options) && is_enough(&self.after, dearer, options)
    }
}

/// What one metric has to say.
struct Side<'a> {
    metric: WorkMetric,
    strata: Vec<Stratum<'a>>,
    /// Share of the calls after the change that the metric knows.
    known: f64,
    /// Share of the time spent that the strata hold.
    coverage: f64,
    seconds_saved_per_call: f64,
}

impl<'a> Side<'a> {
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    fn of(evidence: &Evidence<'a>, metric: WorkMetric, options: &VerificationOptions) -> Self {
        let rates = evidence.rates.unwrap_or(evidence.after);
        let (before, after) = (by_statement(evidence.before), by_statement(evidence.after));
        let (mut strata, mut saved, mut weights) = (Vec::new(), 0.0, 0.0);
        let (mut known, mut all, mut covered, mut spent) = (0.0, 0.0, 0.0, 0.0);
        for rate in rates {
            let weight = rate.seconds.count as f64;
            all += weight;
            // A statement weighs what it costs, or what it cost: whichever is more. Else a
            // change that made the dearest statement cheap would seem to be about nothing.
            let mean = |work: &HashMap<Key<'_>, &WorkTotals>| {
                work.get(&key(rate)).and_then(|totals| totals.seconds.mean()).unwrap_or(0.0)
            };
            let cost = weight * mean(&before).max(mean(&after)).max(rate.seconds.sum / weight.max(1.0));
            spent += cost;
            known += moments(rate, metric).count as f64;
            let (Some(before), Some(after)) = (before.get(&key(rate)), after.get(&key(rate))) else {
                continue;
            };
            let stratum = Stratum {
                key: key(rate),
                weight,
                before: moments(before, metric),
                after: moments(after, metric),
            };
            if !stratum.is_enough(options) {
                continue;
            }
            covered += cost;
            weights += weight;
            if let (Some(before), Some(after)) = (before.seconds.mean(), after.seconds.mean()) {
                saved += weight * (before - after);
            }
            strata.push(stratum);
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Self {
            metric,
            strata,
            known: share(known, all),
            coverage: share(covered, spent),
            seconds_saved_per_call: share(saved, weights),
        }
    }
}

/// Returns whether the mean of these calls is known well enough to be judged beside a mean
/// that is `beside`.
#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn is_enough(calls: &Moments, beside: f64, options: &VerificationOptions) -> bool {
    let Some(variance) = calls.variance() else { return false };
    let spread = if beside > 0.0 { (variance / (beside * beside)).max(1.0) } else { 1.0 };
    calls.count >= options.min_calls && calls.count as f64 >= options.min_calls as f64 * spread
}

/// Returns whether the cost of a call of this statement is known well enough to be judged.
pub(crate) fn is_known(totals: &WorkTotals, options: &VerificationOptions) -> bool {
    let by_its_own = |calls: &Moments| is_enough(calls, calls.mean().unwrap_or(0.0), options);
    by_its_own(&totals.steps) || by_its_own(&totals.seconds)
}

/// Returns whether four times as many calls are known as a judgement asks for.
pub(crate) fn is_well_known(totals: &WorkTotals, options: &VerificationOptions) -> bool {
    let strict = VerificationOptions { min_calls: options.min_calls.saturating_mul(4), ..*options };
    is_known(totals, &strict)
}

/// By how much a load became dearer.
struct Dearer {
    /// `A / B - 1`.
    share: f64,
    /// Variance of the share.
    variance: f64,
    /// `B`.
    cost_before: f64,
}

impl Dearer {
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    fn of(strata: &[Stratum<'_>]) -> Option<Self> {
        let (mut after, mut before, mut after_variance, mut before_variance) = (0.0, 0.0, 0.0, 0.0);
        for stratum in strata {
            let weight = stratum.weight;
            after += weight * stratum.after.mean()?;
            before += weight * stratum.before.mean()?;
            after_variance += weight * weight * stratum.after.variance()? / stratum.after.count as f64;
            before_variance += weight * weight * stratum.before.variance()? / stratum.before.count as f64;
        }
        let ratio = after / before;
        let variance = (after_variance + ratio * ratio * before_variance) / (before * before);
        (before > 0.0 && ratio.is_finite() && variance.is_finite()).then_some(Self {
            share: ratio - 1.0,
            variance,
            cost_before: before,
        })
    }
}

/// How fast the load becomes dearer by itself, as a share per second.
#[derive(Clone, Copy)]
struct Slope {
    per_second: f64,
    variance: f64,
}

impl Slope {
    /// Compares the halves of a window for the strata that are judged; `None` when too
    /// little of their cost can be compared.
    fn of(halves: &Halves, side: &Side<'_>, scale: f64, options: &VerificationOptions) -> Option<Self> {
        let (first, second) = (by_statement(&halves.first), by_statement(&halves.second));
        let mut strata = Vec::new();
        let (mut judged, mut all) = (0.0, 0.0);
        for stratum in &side.strata {
            let cost = stratum.weight * stratum.before.mean()?;
            all += cost;
            let (Some(first), Some(second)) = (first.get(&stratum.key), second.get(&stratum.key)) else {
                continue;
            };
            let (before, after) = (moments(first, side.metric), moments(second, side.metric));
            let halves = Stratum { key: stratum.key, weight: stratum.weight, before, after };
            if halves.is_enough(options) {
                judged += cost;
                strata.push(halves);
            }
        }
        if judged < VerificationOptions::COVERAGE * all || halves.apart.is_zero() {
            return None;
        }
        let between = Dearer::of(&strata)?;
        let per = scale / halves.apart.as_secs_f64();
        Some(Self { per_second: between.share * per, variance: between.variance * per * per })
    }

    /// Weighs two slopes by their precision.
    fn pooled(slopes: [Option<Self>; 2]) -> Option<Self> {
        match slopes {
            [Some(one), Some(other)] => {
                let both = one.variance + other.variance;
                // Without any variance both are exact, and the mean of the two will do.
                let share = if both > 0.0 { other.variance / both } else { 0.5 };
                Some(Self {
                    per_second: share * one.per_second + (1.0 - share) * other.per_second,
                    variance: share * share * one.variance + (1.0 - share) * (1.0 - share) * other.variance,
                })
            }
            [one, other] => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that cost `mean` on average, half of them `spread` more and half of them less.
    fn totals(name: &str, calls: u32, mean: f64, spread: f64) -> WorkTotals {
        let mut work = Moments::default();
        let mut seconds = Moments::default();
        for call in 0..calls {
            let steps = if call % 2 == 0 { mean + spread } else { mean - spread };
            work.add(steps);
            seconds.add(steps * 1e-6);
        }
        WorkTotals {
            fingerprint: Fingerprint::of_normalized(name),
            name: name.to_owned(),
            metric: WorkMetric::VmSteps,
            steps: work,
            seconds,
        }
    }

    fn evidence<'a>(before: &'a [WorkTotals], after: &'a [WorkTotals]) -> Evidence<'a> {
        Evidence {
            before,
            after,
            rates: None,
            rates_over: Duration::from_secs(10),
            drift_before: None,
            drift_after: None,
            distance: Duration::from_secs(10),
            watched: Duration::from_secs(10),
        }
    }

    #[track_caller]
    fn check(before: &[WorkTotals], after: &[WorkTotals], outcome: Outcome, gain: f64) {
        let live = compare(&evidence(before, after), 0.001, &VerificationOptions::default());
        assert_eq!(live.outcome, outcome, "{live:?}");
        assert!((live.gain - gain).abs() < 1e-9, "{live:?}");
    }

    #[test]
    fn the_mix_of_statements_is_not_held_against_a_change() {
        // Ten times as many of the dear statement, each as dear as before.
        let before = [totals("dear", 100, 1_000.0, 50.0), totals("cheap", 1_000, 10.0, 1.0)];
        let after = [totals("dear", 1_000, 1_000.0, 50.0), totals("cheap", 1_000, 10.0, 1.0)];
        check(&before, &after, Outcome::NoDifference, 0.0);
    }

    #[test]
    fn gains_and_losses_are_weighed_at_the_rates_after_the_change() {
        let before = [totals("read", 1_000, 100.0, 5.0), totals("write", 1_000, 100.0, 5.0)];
        // Reads cost half, writes twice as much.
        let reads = [totals("read", 1_000, 50.0, 5.0), totals("write", 100, 200.0, 5.0)];
        check(&before, &reads, Outcome::Improved, 40_000.0 / 110_000.0);
        let writes = [totals("read", 100, 50.0, 5.0), totals("write", 1_000, 200.0, 5.0)];
        check(&before, &writes, Outcome::Worse, -95_000.0 / 110_000.0);
        // The same, with rates that are given: effects and rates come from different times.
        let rates = [totals("read", 60, 1.0, 0.0), totals("write", 900, 1.0, 0.0)];
        let evidence = Evidence { rates: Some(&rates), ..evidence(&before, &reads) };
        let live = compare(&evidence, 0.001, &VerificationOptions::default());
        assert_eq!(live.outcome, Outcome::Worse);
    }

    #[test]
    fn a_loss_within_the_margin_is_no_loss() {
        let before = [totals("q", 1_000, 1_000.0, 0.0)];
        // Without a known drift the margin is three times one percent.
        check(&before, &[totals("q", 1_000, 1_029.0, 0.0)], Outcome::NoDifference, -0.029);
        check(&before, &[totals("q", 1_000, 1_031.0, 0.0)], Outcome::Worse, -0.031);
    }

    #[test]
    fn a_loss_that_is_next_to_nothing_is_no_loss() {
        // Twice as dear, but 40 calls of one step in ten seconds.
        let before = [totals("q", 40, 1.0, 0.0)];
        check(&before, &[totals("q", 40, 2.0, 0.0)], Outcome::NoDifference, -1.0);
    }

    #[test]
    fn too_few_calls_and_too_wide_a_spread_say_nothing() {
        let before = [totals("q", 1_000, 1_000.0, 0.0)];
        check(&before, &[totals("q", 29, 5_000.0, 0.0)], Outcome::NotEnoughData, 0.0);
        check(&[], &before, Outcome::NotEnoughData, 0.0);
        // Half the calls cost nothing, the others 200 times the usual: variance/mean² is
        // near 1, and 40 calls are enough. With a spread of three times the mean they are not.
        check(&before, &[totals("q", 40, 100_000.0, 300_000.0)], Outcome::NotEnoughData, 0.0);
    }

    #[test]
    fn what_became_rare_is_compared_with_what_it_was() {
        // 40 misses among 2,000 look-ups that all missed before.
        let rare = |missed: u32| {
            let mut work = totals("cache", 2_000, 1_000.0, 0.0);
            work.steps = Moments::default();
            (0..2_000).for_each(|call| work.steps.add(f64::from(u8::from(call < missed))));
            work
        };
        check(&[rare(2_000)], &[rare(40)], Outcome::Improved, 0.98);
        check(&[rare(40)], &[rare(2_000)], Outcome::Worse, -49.0);
    }

    #[test]
    fn a_statement_that_was_never_seen_before_the_change_can_hide_everything() {
        let before = [totals("q", 1_000, 100.0, 0.0)];
        let after = [totals("q", 1_000, 110.0, 0.0), totals("new", 1_000, 1_000.0, 0.0)];
        let live = compare(&evidence(&before, &after), 0.001, &VerificationOptions::default());
        assert_eq!(
            live.outcome,
            Outcome::NotEnoughData,
            "most of the time is spent in what cannot be compared"
        );
        assert!(live.gain < -0.09, "what can be compared is shown all the same");
    }

    #[test]
    fn drift_is_taken_off() {
        let before = [totals("q", 1_000, 1_000.0, 0.0)];
        let after = [totals("q", 1_000, 1_100.0, 0.0)];
        // One percent a second, for the ten seconds from middle to middle.
        let halves = Halves {
            first: vec![totals("q", 500, 975.0, 0.0)],
            second: vec![totals("q", 500, 1_023.75, 0.0)],
            apart: Duration::from_secs(5),
        };
        let drifting = Evidence { drift_before: Some(&halves), ..evidence(&before, &after) };
        let live = compare(&drifting, 0.001, &VerificationOptions::default());
        assert_eq!(live.outcome, Outcome::NoDifference, "{live:?}");
        check(&before, &after, Outcome::Worse, -0.1);
    }

    #[test]
    fn time_is_the_judge_only_where_steps_are_not_known() {
        let forget = |mut totals: WorkTotals| {
            totals.steps = Moments::default();
            totals
        };
        let before = [forget(totals("q", 1_000, 1e5, 1e3))];
        let live = |after: f64| {
            let after = [forget(totals("q", 1_000, after, 1e3))];
            compare(&evidence(&before, &after), 0.001, &VerificationOptions::default())
        };
        assert_eq!((live(1.25e5).metric, live(1.25e5).outcome), (WorkMetric::Seconds, Outcome::NoDifference));
        assert_eq!(live(1.35e5).outcome, Outcome::Worse);
    }

    #[test]
    fn a_counter_that_went_back_starts_anew() {
        let earlier = [totals("q", 100, 10.0, 0.0)];
        let now = [totals("q", 40, 10.0, 0.0), totals("r", 5, 1.0, 0.0)];
        let window = since(&now, &earlier);
        assert_eq!(window.iter().map(|totals| totals.seconds.count).collect::<Vec<_>>(), [40, 5]);
        assert!(since(&earlier, &earlier).is_empty());
    }
}
