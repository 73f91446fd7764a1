//! Synthetic workloads: seeded streams of requests to prove estimates with.
//!
//! They are *synthetic*: shapes that are known from published traces (skew, scans,
//! loops, drift, crowds, keys asked for once, sizes with a heavy tail), not traces.
//! The same seed gives the same requests for ever.

mod changes;
mod pattern;
mod suite;
mod zipf;

use std::time::Duration;

use veritas_statistics::Rng;

pub use changes::{ChangeRates, Changes};
pub use pattern::Pattern;
pub use suite::{Case, suite};
pub use zipf::Zipf;

use crate::sample::sampling_hash;

/// One request of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When, since the start.
    pub at: Duration,
    /// What for.
    pub key: u64,
    /// What the value weighs; at least 1.
    pub weight: u32,
}

/// What values weigh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weights {
    /// One each: capacities are numbers of entries.
    One,
    /// Evenly between two bounds, by key.
    Even {
        /// The lightest.
        from: u32,
        /// The heaviest.
        to: u32,
    },
    /// A Pareto distribution, by key, cut off at a thousand times the lightest.
    Pareto {
        /// The lightest.
        from: u32,
        /// The exponent: the smaller, the heavier the tail. Above 0.
        shape: f64,
    },
}

impl Weights {
    /// Returns the weight of a key's value: always the same.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds given")]
    pub fn of(self, key: u64) -> u32 {
        let mut rng = Rng::new(sampling_hash(key ^ 0x5eed_0f31_2e5e_ed00));
        match self {
            Self::One => 1,
            Self::Even { from, to } => from + rng.below(u64::from(to.saturating_sub(from)) + 1) as u32,
            Self::Pareto { from, shape } => {
                let heavier = (1.0 - rng.next_f64()).powf(-1.0 / shape).min(1000.0);
                (f64::from(from.max(1)) * heavier) as u32
            }
        }
    }
}

/// A stream of requests: who is asked for, what it weighs, how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Which keys are asked for.
    pub pattern: Pattern,
    /// What their values weigh.
    pub weights: Weights,
    /// Requests per second; they arrive at random (a Poisson process).
    pub per_second: f64,
    /// What makes it repeatable.
    pub seed: u64,
}

impl Workload {
    /// Creates one of values that weigh one, with a thousand requests per second.
    pub fn new(pattern: Pattern, seed: u64) -> Self {
        Self { pattern, weights: Weights::One, per_second: 1_000.0, seed }
    }

    /// Returns the requests; the stream does not end.
    pub fn requests(&self) -> impl Iterator<Item = Request> {
        let mut rng = Rng::new(self.seed);
        let mut source = pattern::Source::new(&self.pattern);
        let (weights, per_second) = (self.weights, self.per_second.max(f64::MIN_POSITIVE));
        let mut seconds = 0.0;
        std::iter::from_fn(move || {
            seconds += -(1.0 - rng.next_f64()).ln() / per_second;
            let key = source.next(&mut rng);
            Some(Request { at: Duration::from_secs_f64(seconds), key, weight: weights.of(key).max(1) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        let workload = Workload::new(Pattern::Zipf { keys: 100, exponent: 1.0 }, 4);
        let (one, other): (Vec<_>, Vec<_>) =
            (workload.requests().take(50).collect(), workload.requests().take(50).collect());
        assert_eq!(one, other);
        let reseeded = Workload { seed: 5, ..workload };
        assert_ne!(one, reseeded.requests().take(50).collect::<Vec<_>>());
    }

    #[test]
    fn requests_come_at_the_rate_that_was_asked_for() {
        let workload = Workload::new(Pattern::Loop { keys: 10 }, 4);
        let last = workload.requests().nth(99_999).unwrap();
        assert!((98.5..101.5).contains(&last.at.as_secs_f64()), "{last:?}");
    }

    #[test]
    fn weights_are_the_keys_own_and_within_bounds() {
        let pareto = Weights::Pareto { from: 100, shape: 1.1 };
        let weights: Vec<u32> = (0..10_000).map(|key| pareto.of(key)).collect();
        assert!(weights.iter().all(|weight| (100..=100_000).contains(weight)));
        assert!(weights.iter().any(|weight| *weight > 10_000));
        assert_eq!(pareto.of(77), weights[77]);
        assert!((0..1_000).all(|key| (5..=9).contains(&Weights::Even { from: 5, to: 9 }.of(key))));
    }
}
