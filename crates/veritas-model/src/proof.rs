//! Proofs: the only way from a proposal to a change leads through a measurement.

use crate::{Proposal, WorkMetric};

/// A two-sided interval with its confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence, 0 to 1 (0.95 = 95 %).
    pub confidence: f64,
}

/// The accepted probability of a false positive, strictly between 0 and 0.5.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Alpha(f64);

impl Alpha {
    /// One in a hundred: the default for proofs.
    pub const ONE_PERCENT: Self = Self(0.01);

    /// Wraps a probability; `None` outside (0, 0.5).
    pub fn new(probability: f64) -> Option<Self> {
        (probability > 0.0 && probability < 0.5).then_some(Self(probability))
    }

    /// Returns the probability.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// What real executions showed, with and without the change, in interleaved pairs.
///
/// Gains are shares of the cost before: 0.8 means that 80 % of it is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredGain {
    /// The metric that the verdict rests on: deterministic work where there is such a thing.
    pub metric: WorkMetric,
    /// Pairs of executions.
    pub pairs: u64,
    /// Mean cost of one call without the change.
    pub before: f64,
    /// Mean cost of one call with the change.
    pub after: f64,
    /// Share of the cost that is gone.
    pub gain: f64,
    /// Interval of `gain`.
    pub gain_interval: Interval,
    /// One-sided p-value of the paired test "the change does not help".
    pub p_value: f64,
    /// Median seconds of one call without the change.
    pub seconds_before: f64,
    /// Median seconds of one call with the change.
    pub seconds_after: f64,
    /// Interval of the share of the time that is gone, reported beside the verdict.
    pub seconds_gain_interval: Interval,
    /// Bytes read per call without the change; `None` where it is not measured.
    pub bytes_read_before: Option<f64>,
    /// Bytes read per call with the change; `None` where it is not measured.
    pub bytes_read_after: Option<f64>,
    /// Share by which the writes in the plan's scope became costlier, weighted by
    /// their calls (0.1: a write costs 10 % more); `None` where none was measured.
    pub write_slowdown: Option<f64>,
    /// Whether every pair returned the same rows.
    pub results_equal: bool,
    /// Where and how it was measured, for people ("200 pairs on a copy of main, …").
    pub method: String,
}

impl MeasuredGain {
    /// Below this share a gain is not worth a change.
    pub const SMALLEST_WORTHWHILE: f64 = 0.10;
}

/// A proposal whose gain was measured. Only [`Proposal::prove`] makes one, and
/// [`Actuator::apply`](crate::Actuator::apply) takes nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Proven {
    proposal: Proposal,
    gain: MeasuredGain,
}

impl Proven {
    /// Returns what was proven.
    pub const fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// Returns the measurement that proves it.
    pub const fn gain(&self) -> &MeasuredGain {
        &self.gain
    }
}

/// Why a measurement does not prove a proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotProven {
    /// The change altered what the statement returns.
    #[error("the results differ with the change")]
    ResultsDiffer,
    /// Too few pairs to say anything.
    #[error("only {pairs} pairs were measured, {needed} are needed")]
    TooFewPairs {
        /// Pairs measured.
        pairs: u64,
        /// Pairs needed.
        needed: u64,
    },
    /// The paired test does not exclude chance.
    #[error("the difference may be chance: p = {p_value:.4}, needed below {alpha}")]
    NotSignificant {
        /// The measured p-value.
        p_value: f64,
        /// The accepted probability.
        alpha: f64,
    },
    /// It helps, but not enough.
    #[error("the gain is at least {low:.3} of the cost, needed {needed:.3}")]
    TooSmall {
        /// Lower end of the gain's interval.
        low: f64,
        /// The smallest worthwhile gain.
        needed: f64,
    },
    /// A figure of the measurement is not a number.
    #[error("the measurement holds a figure that is not a number")]
    NotANumber,
}

impl Proposal {
    /// Pairs below which nothing is proven.
    pub const FEWEST_PAIRS: u64 = 10;

    /// Turns the proposal into a proven one if `gain` shows that it helps.
    ///
    /// # Errors
    ///
    /// Says why the measurement is no proof: differing results, too few pairs,
    /// chance not excluded at `alpha`, or a gain whose interval reaches below
    /// [`MeasuredGain::SMALLEST_WORTHWHILE`].
    pub fn prove(self, gain: MeasuredGain, alpha: Alpha) -> Result<Proven, NotProven> {
        let figures = [gain.before, gain.after, gain.gain, gain.gain_interval.low, gain.p_value];
        if figures.iter().any(|figure| !figure.is_finite()) {
            return Err(NotProven::NotANumber);
        }
        if !gain.results_equal {
            return Err(NotProven::ResultsDiffer);
        }
        if gain.pairs < Self::FEWEST_PAIRS {
            return Err(NotProven::TooFewPairs { pairs: gain.pairs, needed: Self::FEWEST_PAIRS });
        }
        if gain.p_value >= alpha.get() {
            return Err(NotProven::NotSignificant { p_value: gain.p_value, alpha: alpha.get() });
        }
        if gain.gain_interval.low < MeasuredGain::SMALLEST_WORTHWHILE {
            return Err(NotProven::TooSmall {
                low: gain.gain_interval.low,
                needed: MeasuredGain::SMALLEST_WORTHWHILE,
            });
        }
        Ok(Proven { proposal: self, gain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChangeKind, Plan, Timestamp};

    fn proposal() -> Proposal {
        let plan = Plan {
            target: "main".into(),
            forward: "CREATE INDEX i ON t(a)".into(),
            inverse: "DROP INDEX i".into(),
            object: "i".into(),
            scope: vec!["t".into()],
        };
        Proposal {
            id: Proposal::identity(ChangeKind::IndexCreate, &plan),
            finding: None,
            kind: ChangeKind::IndexCreate,
            summary: "index t(a)".into(),
            plan,
            estimate: None,
            proposed_at: Timestamp::default(),
        }
    }

    fn gain() -> MeasuredGain {
        let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
        MeasuredGain {
            metric: WorkMetric::VmSteps,
            pairs: 40,
            before: 1000.0,
            after: 200.0,
            gain: 0.8,
            gain_interval: interval,
            p_value: 0.000_1,
            seconds_before: 0.1,
            seconds_after: 0.02,
            seconds_gain_interval: interval,
            bytes_read_before: None,
            bytes_read_after: None,
            write_slowdown: None,
            results_equal: true,
            method: "test".into(),
        }
    }

    #[track_caller]
    fn check(spoil: impl FnOnce(&mut MeasuredGain), expected: &Result<(), NotProven>) {
        let mut measured = gain();
        spoil(&mut measured);
        assert_eq!(proposal().prove(measured, Alpha::ONE_PERCENT).map(drop), *expected);
    }

    #[test]
    fn only_a_real_gain_proves() {
        check(|_| {}, &Ok(()));
        check(|gain| gain.results_equal = false, &Err(NotProven::ResultsDiffer));
        check(|gain| gain.pairs = 9, &Err(NotProven::TooFewPairs { pairs: 9, needed: 10 }));
        check(|gain| gain.p_value = 0.01, &Err(NotProven::NotSignificant { p_value: 0.01, alpha: 0.01 }));
        check(|gain| gain.gain_interval.low = 0.05, &Err(NotProven::TooSmall { low: 0.05, needed: 0.10 }));
        check(|gain| gain.after = f64::NAN, &Err(NotProven::NotANumber));
    }
}
