//! The optimizer's settings.

use std::{collections::BTreeMap, time::Duration};

use veritas_model::{Alpha, ChangeKind, Mode};

use crate::VerificationOptions;

/// The optimizer's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerOptions {
    /// What may be done with proven proposals, per kind; a kind that is not
    /// named is `ReportOnly`.
    pub modes: BTreeMap<ChangeKind, Mode>,
    /// Accepted probability that a proof is chance.
    pub proof_alpha: Alpha,
    /// How much of the load before a change its verification compares with
    /// (5 minutes). When less was seen, everything seen so far is taken.
    pub baseline_window: Duration,
    /// How long the live load is watched before a change is kept (10 minutes).
    pub watch_window: Duration,
    /// How many times the verdict is asked for within that time (10).
    pub watch_looks: u32,
    /// How long a kept change is watched, since the load may turn (24 hours, at most 30 days).
    pub regression_watch: Duration,
    /// How many times the verdict is asked for within that time (48).
    pub regression_looks: u32,
    /// How the live load is judged.
    pub verification: VerificationOptions,
    /// How often an act that failed is tried again at first (1 s); doubled each time.
    pub first_retry: Duration,
    /// The longest time between two tries (5 minutes).
    pub longest_retry: Duration,
    /// Tries of an apply whose target is busy, and of a measurement that fails, before
    /// giving up (10). A revert is never given up.
    pub most_attempts: u32,
    /// After how long a proposal that was not proven is measured again if it is
    /// still proposed (6 hours).
    pub prove_again_after: Duration,
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self {
            modes: BTreeMap::new(),
            proof_alpha: Alpha::ONE_PERCENT,
            baseline_window: Duration::from_mins(5),
            watch_window: Duration::from_mins(10),
            watch_looks: 10,
            regression_watch: Duration::from_hours(24),
            regression_looks: 48,
            verification: VerificationOptions::default(),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_mins(5),
            most_attempts: 10,
            prove_again_after: Duration::from_hours(6),
        }
    }
}

impl OptimizerOptions {
    /// The longest [`Self::regression_watch`] that is honoured.
    pub const LONGEST_REGRESSION_WATCH: Duration = Duration::from_hours(30 * 24);

    /// Returns the time between two looks at the load of a fresh change.
    pub(crate) fn watch_interval(&self) -> Duration {
        self.watch_window / self.watch_looks.max(1)
    }

    /// Returns the time between two looks at the load of a kept change.
    pub(crate) fn regression_interval(&self) -> Duration {
        self.regression_watch.min(Self::LONGEST_REGRESSION_WATCH) / self.regression_looks.max(1)
    }
}
