//! The net of a cache: what it saves against what it costs.
//!
//! Without the cache every look-up would cost one load. With it a hit costs a look-up
//! in the cache, and a miss costs a look-up, the load and a store. Per look-up, with hit
//! ratio `h`, mean load `L` and the cache's own costs `c`:
//!
//! ```text
//! saved = h·L        spent = h·c_hit + (1 - h)·(c_miss + c_store)        net = saved - spent
//! ```
//!
//! The interval: `L` is a mean of measured loads, `h` a share of counted look-ups, both
//! with their variances (delta method); the cache's own costs are known to a factor, and
//! that uncertainty is added in full, not in quadrature, since it is no chance.

use veritas_model::{Interval, Moments};
use veritas_statistics::normal;

/// What the cache itself costs, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OwnCosts {
    /// One look-up that hits.
    pub hit: f64,
    /// One look-up that misses, without the load.
    pub miss: f64,
    /// One store.
    pub store: f64,
    /// One look-up of a namespace that only watches.
    pub bypassed: f64,
    /// By which share these may be off (0.5: half as much again, or half).
    pub error: f64,
}

/// What a cache saves and spends, in seconds per look-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Net {
    /// Look-ups that this rests on.
    pub look_ups: u64,
    /// The share of them that hit.
    pub hit_ratio: f64,
    /// Mean seconds of one load.
    pub load: f64,
    /// Seconds of loading saved per look-up.
    pub saved: f64,
    /// Seconds that the cache itself spends per look-up.
    pub spent: f64,
    /// `saved - spent`: below 0 the cache costs more than it saves.
    pub net: f64,
    /// 95 % interval of `net`.
    pub interval: Interval,
}

impl Net {
    const CONFIDENCE: f64 = 0.95;

    /// Computes the net; `None` without look-ups, or with fewer than two loads: what
    /// nobody measured is not known.
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    pub fn of(hits: u64, misses: u64, loads: &Moments, own: OwnCosts) -> Option<Self> {
        let look_ups = hits + misses;
        let (load, variance) = (loads.mean()?, loads.variance()?);
        if look_ups == 0 {
            return None;
        }
        let hit_ratio = hits as f64 / look_ups as f64;
        let saved = hit_ratio * load;
        let spent = hit_ratio * own.hit + (1.0 - hit_ratio) * (own.miss + own.store);
        let per_hit = load - own.hit + own.miss + own.store;
        let hit_variance = hit_ratio * (1.0 - hit_ratio) / look_ups as f64;
        let chance =
            (hit_ratio * hit_ratio * variance / loads.count as f64 + per_hit * per_hit * hit_variance).sqrt();
        let z = normal::quantile(f64::midpoint(1.0, Self::CONFIDENCE)).unwrap_or_default();
        let (net, around) = (saved - spent, z * chance + own.error * spent);
        let interval = Interval { low: net - around, high: net + around, confidence: Self::CONFIDENCE };
        Some(Self { look_ups, hit_ratio, load, saved, spent, net, interval })
    }

    /// Returns the share of the time of look-ups that is gone when the cache only watches.
    pub fn gain_of_stopping(&self, own: OwnCosts) -> f64 {
        let now = self.spent + (1.0 - self.hit_ratio) * self.load;
        if now > 0.0 { 1.0 - (own.bypassed + self.load) / now } else { 0.0 }
    }

    /// Returns whether the cache costs more than it saves, chance excluded.
    pub fn is_loss(&self) -> bool {
        self.interval.high < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnCosts = OwnCosts { hit: 100e-9, miss: 100e-9, store: 300e-9, bypassed: 50e-9, error: 0.5 };

    fn loads(count: u32, seconds: f64) -> Moments {
        let mut loads = Moments::default();
        for load in 0..count {
            loads.add(if load % 2 == 0 { seconds * 1.2 } else { seconds * 0.8 });
        }
        loads
    }

    fn net(hits: u64, misses: u64, load_seconds: f64) -> Net {
        Net::of(hits, misses, &loads(1_000, load_seconds), OWN).unwrap()
    }

    #[test]
    fn a_cache_of_what_is_computed_faster_than_it_is_found_is_a_loss() {
        let cheap = net(9_000, 1_000, 20e-9);
        assert!((cheap.saved - 18e-9).abs() < 1e-12, "{cheap:?}");
        assert!((cheap.spent - (90e-9 + 40e-9)).abs() < 1e-12, "{cheap:?}");
        assert!(cheap.is_loss());
        // 132 ns a look-up now, 70 ns then.
        assert!((cheap.gain_of_stopping(OWN) - (1.0 - 70.0 / 132.0)).abs() < 1e-9);
        assert!(!net(9_000, 1_000, 1e-3).is_loss());
    }

    #[test]
    fn a_cache_that_is_never_hit_is_a_loss_however_dear_the_load() {
        assert!(net(0, 10_000, 1e-3).is_loss());
        // One hit in a thousand pays for all of the misses.
        assert!(!net(10, 9_990, 1e-3).is_loss());
    }

    #[test]
    fn what_may_be_chance_is_no_loss() {
        // Break even: 90 % hits of 144 ns save 130 ns and cost 130 ns.
        assert!(!net(9_000, 1_000, 144e-9).is_loss());
        assert!(!net(9_000, 1_000, 100e-9).is_loss(), "the own costs are not known so well");
        let few = Net::of(1, 1, &loads(2, 1e-9), OwnCosts { error: 0.0, ..OWN }).unwrap();
        assert!(few.interval.high > few.net);
    }

    #[test]
    fn what_was_not_measured_is_not_known() {
        assert_eq!(Net::of(0, 0, &loads(10, 1.0), OWN), None);
        assert_eq!(Net::of(5, 5, &loads(1, 1.0), OWN), None);
    }

    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let own = OwnCosts { error: 0.0, ..OWN };
        let truth = 0.3 * 1e-6 - (0.3 * own.hit + 0.7 * (own.miss + own.store));
        let covered = (0..400_u64)
            .filter(|seed| {
                let mut rng = veritas_statistics::Rng::new(*seed);
                let mut loads = Moments::default();
                let mut hits = 0;
                for _ in 0..500 {
                    if rng.next_f64() < 0.3 {
                        hits += 1;
                    } else {
                        loads.add(-1e-6 * (1.0 - rng.next_f64()).ln());
                    }
                }
                let net = Net::of(hits, 500 - hits, &loads, own).unwrap();
                net.interval.low <= truth && truth <= net.interval.high
            })
            .count();
        assert!((360..=396).contains(&covered), "{covered} of 400 intervals of 95 % cover the truth");
    }
}
