//! The truth about a time to live: a replay against a source whose changes are known.

use std::{collections::HashMap, time::Duration};

use super::{TtlCurve, TtlEstimator, TtlOptions};
use crate::{
    sample::sampling_hash,
    workload::{Changes, Request},
};

/// What a replay found, as shares of all look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Truth {
    /// Answered from the cache.
    pub hit_ratio: f64,
    /// Answered from the cache with a value that the source had changed meanwhile.
    pub staleness: f64,
}

/// Replays requests through a cache that evicts nothing and keeps each value for a
/// time to live after its load. `source` must be new: it is asked in order of time.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub fn replay(
    requests: impl Iterator<Item = Request>,
    time_to_live: Duration,
    source: &mut Changes,
) -> Truth {
    let mut entries: HashMap<u64, (Duration, u32)> = HashMap::new();
    let (mut look_ups, mut hits, mut stale) = (0_u64, 0_u64, 0_u64);
    for request in requests {
        look_ups += 1;
        let version = source.version(request.key, request.at);
        match entries.get(&request.key) {
            Some((loaded_at, served)) if request.at < *loaded_at + time_to_live => {
                hits += 1;
                stale += u64::from(*served != version);
            }
            _ => drop(entries.insert(request.key, (request.at, version))),
        }
    }
    let all = look_ups.max(1) as f64;
    Truth { hit_ratio: hits as f64 / all, staleness: stale as f64 / all }
}

/// Estimates the curve as in production: a cache with the time to live `now` loads
/// from the source, and only its loads tell the estimator a value's hash.
pub fn estimate(
    requests: impl Iterator<Item = Request>,
    now: Duration,
    source: &mut Changes,
    options: &TtlOptions,
) -> TtlCurve {
    let mut estimator = TtlEstimator::new(options);
    let mut dies_at: HashMap<u64, Duration> = HashMap::new();
    for request in requests {
        let hash = sampling_hash(request.key);
        estimator.look_up(hash, request.at);
        if dies_at.get(&request.key).is_none_or(|death| *death <= request.at) {
            dies_at.insert(request.key, request.at + now);
            estimator.load(hash, request.at, source.version(request.key, request.at));
        }
    }
    estimator.curve()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ChangeRates;

    #[test]
    fn a_value_is_stale_from_its_change_to_its_death() {
        let request = |seconds| Request { at: Duration::from_secs(seconds), key: 1, weight: 1 };
        let rates = ChangeRates::Same { mean: Duration::from_secs(50) };
        let changes_at = |second| Changes::new(rates, 1).version(1, Duration::from_secs(second));
        let change = (1..1_000).find(|second| changes_at(*second) > 1).unwrap();
        let requests = [request(0), request(change - 1), request(change), request(change + 1_000_000)];
        let truth = replay(requests.into_iter(), Duration::from_secs(1_000_000), &mut Changes::new(rates, 1));
        assert_eq!(truth, Truth { hit_ratio: 0.5, staleness: 0.25 });
    }
}
