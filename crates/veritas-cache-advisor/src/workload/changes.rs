//! How the source changes: the truth that staleness is measured against.

use std::{collections::HashMap, time::Duration};

use veritas_statistics::Rng;

use crate::sample::sampling_hash;

/// How often values change at their source. Changes of a key are a Poisson process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChangeRates {
    /// Never.
    Never,
    /// Each key as often as any other.
    Same {
        /// The mean time from one change to the next.
        mean: Duration,
    },
    /// By key: mean times spread evenly in their logarithm between two bounds.
    Spread {
        /// The mean time of those that change most.
        fastest: Duration,
        /// The mean time of those that change least.
        slowest: Duration,
    },
    /// A share of the keys changes at one rate, the others never.
    Some {
        /// The share, from 0 to 1.
        share: f64,
        /// The mean time from one change to the next of those.
        mean: Duration,
    },
}

/// The versions of all values, as time goes on.
#[derive(Debug)]
pub struct Changes {
    rates: ChangeRates,
    seed: u64,
    keys: HashMap<u64, Key>,
}

#[derive(Debug)]
struct Key {
    rng: Rng,
    mean: Option<f64>,
    version: u32,
    next_at: f64,
}

impl Changes {
    /// Creates the source; the same seed gives the same changes.
    pub fn new(rates: ChangeRates, seed: u64) -> Self {
        Self { rates, seed, keys: HashMap::new() }
    }

    /// Returns the version of a value at a time, from 1. Time must not go back.
    pub fn version(&mut self, key: u64, at: Duration) -> u32 {
        let (rates, seed) = (self.rates, self.seed);
        let state = self.keys.entry(key).or_insert_with(|| Key::new(rates, key, seed));
        if let Some(mean) = state.mean {
            while state.next_at <= at.as_secs_f64() {
                state.version += 1;
                state.next_at += exponential(&mut state.rng, mean);
            }
        }
        state.version
    }
}

impl Key {
    fn new(rates: ChangeRates, key: u64, seed: u64) -> Self {
        let mut rng = Rng::new(sampling_hash(key ^ seed.rotate_left(32)));
        let mean = match rates {
            ChangeRates::Never => None,
            ChangeRates::Same { mean } => Some(mean.as_secs_f64()),
            ChangeRates::Spread { fastest, slowest } => {
                let (fast, slow) = (fastest.as_secs_f64(), slowest.as_secs_f64());
                Some(fast * (slow / fast).powf(rng.next_f64()))
            }
            ChangeRates::Some { share, mean } => (rng.next_f64() < share).then_some(mean.as_secs_f64()),
        };
        let next_at = mean.map_or(f64::INFINITY, |mean| exponential(&mut rng, mean));
        Self { rng, mean, version: 1, next_at }
    }
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -(1.0 - rng.next_f64()).ln() * mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_change_as_often_as_they_should() {
        let mut changes = Changes::new(ChangeRates::Same { mean: Duration::from_secs(10) }, 3);
        let total: u32 = (0..100).map(|key| changes.version(key, Duration::from_secs(1_000)) - 1).sum();
        assert!((9_500..10_500).contains(&total), "{total}");
        let mut never = Changes::new(ChangeRates::Never, 3);
        assert_eq!(never.version(1, Duration::from_hours(1_000)), 1);
    }

    #[test]
    fn asking_more_often_changes_nothing() {
        let rates = ChangeRates::Spread { fastest: Duration::from_secs(1), slowest: Duration::from_secs(90) };
        let (mut often, mut once) = (Changes::new(rates, 8), Changes::new(rates, 8));
        let asked = (0..500).map(|second| often.version(6, Duration::from_secs(second))).last();
        assert_eq!(asked, Some(once.version(6, Duration::from_secs(499))));
    }
}
