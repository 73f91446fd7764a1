//! The estimator: every time to live at once, on a sample of the keys.

use std::{collections::HashMap, time::Duration};

use veritas_cache::{Access, AccessKind};
use veritas_model::Bytes;

use super::{
    TtlCurve, TtlPoint,
    change::{ChangeRate, Prior},
};
use crate::sample::{SampleRate, Scale, Total};

/// How many times to live are followed at once.
const LIVES: usize = 20;

/// By how much the rate is lowered at a time.
const STEP: f64 = 0.8;

/// What an estimator may take, and which times to live it follows.
#[derive(Debug, Clone, PartialEq)]
pub struct TtlOptions {
    /// The times to live, ascending; the first twenty count. Up to 24 days.
    pub times: Vec<Duration>,
    /// How many keys are followed at most; each takes 240 bytes.
    pub max_keys: usize,
}

impl Default for TtlOptions {
    /// From a quarter of a second to 36 hours, each twice the one before, and 7,000 keys.
    fn default() -> Self {
        let times = (0..LIVES).map(|power| Duration::from_millis(250 << power)).collect();
        Self { times, max_keys: 7_000 }
    }
}

/// Estimates hit ratio and staleness at every time to live, in one pass.
///
/// For each sampled key it follows what an endless cache with each time to live
/// would do: when it would have loaded the value it holds, and how likely that
/// value is still the source's. Hits are exact for the sampled keys. Staleness
/// rests on the hashes of values at the real loads:
///
/// - values change by a Poisson process, each key at a rate of its own;
/// - two loads with the same hash had no change between them;
/// - two with different hashes had at least one, that is dated within the interval
///   by the key's estimated rate (interval censoring);
/// - after the last load, the rate alone tells.
///
/// A cache that evicts before the time is over hits less, and is less stale.
/// Times are kept in milliseconds of 32 bits: a key that is asked for again after
/// 49 days may count as a hit.
#[derive(Debug)]
pub struct TtlEstimator {
    lives: Vec<u32>,
    max_keys: usize,
    rate: SampleRate,
    look_ups: u64,
    keys: HashMap<u64, Followed, ByItself>,
    prior: Prior,
    comparisons: u64,
    scale: Scale,
    sampled: Total,
    misses: Vec<Total>,
    /// Hits of keys whose rate of change is known, and how many of them were stale.
    judged: [f64; LIVES],
    stale: [f64; LIVES],
}

/// So many comparisons make the rate of all keys known, and with it that of a key
/// that was not compared itself.
const KNOWN: u64 = 32;

/// The hash of a key is already one.
type ByItself = std::hash::BuildHasherDefault<Same>;

#[derive(Debug, Default)]
struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        // Sampled hashes are small numbers: their high bits are all zero.
        self.0 = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What is known of one key.
#[derive(Debug, Clone)]
struct Followed {
    /// When each cache would have loaded what it holds.
    loaded_at: [u32; LIVES],
    /// How likely that had not changed when the real cache last loaded.
    fresh: [f32; LIVES],
    /// The last real load, and the hash of what it brought.
    last: Option<(u32, u32)>,
    rate: ChangeRate,
}

impl TtlEstimator {
    /// Creates an estimator that knows nothing.
    pub fn new(options: &TtlOptions) -> Self {
        let mut lives: Vec<u32> =
            options.times.iter().take(LIVES).map(|time| milliseconds(*time).max(1)).collect();
        lives.sort_unstable();
        lives.dedup();
        Self {
            max_keys: options.max_keys.max(1),
            rate: SampleRate::ALL,
            look_ups: 0,
            keys: HashMap::default(),
            prior: Prior::NOTHING,
            comparisons: 0,
            scale: Scale::ONE,
            sampled: Total::ZERO,
            misses: vec![Total::ZERO; lives.len()],
            judged: [0.0; LIVES],
            stale: [0.0; LIVES],
            lives,
        }
    }

    /// Notes a look-up, whether it hit or not.
    #[inline]
    pub fn look_up(&mut self, hash: u64, at: Duration) {
        self.look_ups += 1;
        if self.rate.takes(hash) {
            self.sampled_look_up(hash, milliseconds(at));
        }
    }

    /// Notes a real load of a key, and a hash of the value that it brought; 0 when
    /// there is none.
    pub fn load(&mut self, hash: u64, at: Duration, value: u32) {
        if value == 0 || !self.rate.takes(hash) {
            return;
        }
        let at = milliseconds(at);
        let Some(key) = self.keys.get_mut(&hash) else { return };
        let last = key.last.replace((at, value));
        let Some((before, value_before)) = last else { return };
        let interval = f64::from(at.wrapping_sub(before));
        let changed = value != value_before;
        self.comparisons += 1;
        if changed {
            let rate = key.rate.mean(&self.prior);
            let any = -(-rate * interval).exp_m1();
            for (loaded_at, fresh) in key.loaded_at.iter().zip(&mut key.fresh) {
                let since = f64::from(at.wrapping_sub(*loaded_at));
                // Loaded within the interval, a cache may have got the value from after the change.
                let later = if since < interval { -(-rate * (interval - since)).exp_m1() / any } else { 0.0 };
                #[expect(clippy::cast_possible_truncation, reason = "a probability")]
                let still = (later * (-rate * since).exp()) as f32;
                *fresh = still;
            }
        }
        key.rate.note(interval, changed, &mut self.prior);
    }

    /// Notes an access from a tap.
    pub fn feed(&mut self, access: &Access) {
        let at = Duration::from_millis(access.at_ms);
        match access.kind {
            AccessKind::Hit | AccessKind::Miss => self.look_up(access.key, at),
            AccessKind::Store { value, .. } => self.load(access.key, at, value),
            // An application that deletes knows of a change: what is held dies everywhere.
            AccessKind::Delete => drop(self.keys.remove(&access.key)),
        }
    }

    /// Notes look-ups of keys that were not sampled.
    pub fn skipped(&mut self, look_ups: u64) {
        self.look_ups += look_ups;
    }

    /// Begins a new window: the curve speaks for what comes from now on. The keys are
    /// followed on, and what is known of how their values change is kept.
    pub fn start_window(&mut self) {
        self.look_ups = 0;
        self.sampled = Total::ZERO;
        self.misses.fill(Total::ZERO);
        (self.judged, self.stale) = ([0.0; LIVES], [0.0; LIVES]);
    }

    /// Returns the highest hash that is sampled: for a tap.
    pub fn threshold(&self) -> u64 {
        self.rate.threshold()
    }

    /// Samples no more than `rate` of the keys from now on; a higher one changes nothing.
    pub fn lower_to(&mut self, rate: SampleRate) {
        if rate < self.rate {
            self.rate = rate;
            self.scale = Scale::at(rate.share());
            // A new table: one that is retained keeps the places of the dead, and grows for them.
            let most = self.keys.capacity();
            let kept = std::mem::take(&mut self.keys).into_iter().filter(|(hash, _)| rate.takes(*hash));
            let mut keys = HashMap::with_capacity_and_hasher(most, ByItself::default());
            keys.extend(kept);
            self.keys = keys;
        }
    }

    /// Returns the bytes that were asked of the allocator.
    pub fn memory(&self) -> Bytes {
        let places = self.keys.capacity() * 8 / 7;
        Bytes::new((size_of::<Self>() + places * (size_of::<(u64, Followed)>() + 1)) as u64)
    }

    /// Returns the curve; no points before the first look-up.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn curve(&self) -> TtlCurve {
        let all = self.look_ups as f64;
        let points = self.lives.iter().enumerate().filter(|_| self.look_ups > 0).map(|(life, time)| {
            // What the sample has too many or too few of, in so far as it goes with misses.
            let misses = self.misses[life].corrected_by(&self.sampled, all).0;
            let hit_ratio = 1.0 - (misses / all).clamp(0.0, 1.0);
            let judged = self.judged[life];
            let staleness = if judged > 0.0 { self.stale[life] / judged * hit_ratio } else { 0.0 };
            TtlPoint { time_to_live: Duration::from_millis(u64::from(*time)), hit_ratio, staleness }
        });
        TtlCurve { points: points.collect(), look_ups: self.look_ups, comparisons: self.comparisons }
    }

    fn sampled_look_up(&mut self, hash: u64, at: u32) {
        let scale = self.scale;
        self.sampled.count(hash, scale);
        let Some(key) = self.keys.get_mut(&hash) else {
            for misses in &mut self.misses {
                misses.count(hash, scale);
            }
            let followed = Followed {
                loaded_at: [at; LIVES],
                fresh: [1.0; LIVES],
                last: None,
                rate: ChangeRate::UNKNOWN,
            };
            self.keys.insert(hash, followed);
            if self.keys.len() > self.max_keys {
                self.lower_to(SampleRate::of(self.rate.share() * STEP));
            }
            return;
        };
        let since_real = key.last.map(|(loaded_at, _)| at.wrapping_sub(loaded_at));
        let (rate, prior) = (key.rate, self.prior);
        let is_judged = self.comparisons >= KNOWN || rate != ChangeRate::UNKNOWN;
        let unchanged = |for_so_long: u32| rate.unchanged_for(f64::from(for_so_long), &prior);
        let unchanged_since_real = since_real.map_or(1.0, unchanged);
        for (number, life) in self.lives.iter().enumerate() {
            let age = at.wrapping_sub(key.loaded_at[number]);
            if age >= *life {
                self.misses[number].count(hash, scale);
                key.loaded_at[number] = at;
                key.fresh[number] = 1.0;
                continue;
            }
            if !is_judged {
                continue;
            }
            let weight = scale.count();
            self.judged[number] += weight;
            // What the real loads say, then what the rate says since.
            let since_known = match since_real {
                Some(since) if since <= age => unchanged_since_real,
                _ => unchanged(age),
            };
            self.stale[number] += weight * (1.0 - f64::from(key.fresh[number]) * since_known);
        }
    }
}

/// Milliseconds, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
fn milliseconds(time: Duration) -> u32 {
    time.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_those_of_a_cache_that_evicts_nothing() {
        let options =
            TtlOptions { times: vec![Duration::from_secs(10), Duration::from_secs(30)], max_keys: 10 };
        let mut estimator = TtlEstimator::new(&options);
        for second in [0, 5, 10, 20, 29, 30] {
            estimator.look_up(1, Duration::from_secs(second));
        }
        let curve = estimator.curve();
        // Loads at 0, 10, 20, 30; and at 0 and 30.
        let hits: Vec<f64> = curve.points.iter().map(|point| (point.hit_ratio * 6.0).round()).collect();
        assert_eq!(hits, [2.0, 4.0]);
        assert_eq!(curve.advise(0.01), None, "no value was ever compared");
    }

    #[test]
    fn a_window_speaks_for_itself_and_remembers_the_keys() {
        let options = TtlOptions { times: vec![Duration::from_secs(10)], max_keys: 10 };
        let mut estimator = TtlEstimator::new(&options);
        (0..100).for_each(|second| estimator.look_up(1, Duration::from_secs(second * 20)));
        assert!(estimator.curve().points[0].hit_ratio < 1e-9);
        estimator.start_window();
        assert_eq!(estimator.curve().points, []);
        (0..10).for_each(|look_up| estimator.look_up(1, Duration::from_secs(1_981 + look_up / 2)));
        let curve = estimator.curve();
        assert_eq!(curve.look_ups, 10);
        assert!((curve.points[0].hit_ratio - 1.0).abs() < 1e-9, "loaded at 1,980 s, before the window");
    }

    #[test]
    fn values_that_do_not_change_are_never_stale() {
        let mut estimator = TtlEstimator::new(&TtlOptions::default());
        for second in 0..2_000 {
            estimator.look_up(7, Duration::from_secs(second));
            if second % 10 == 0 {
                estimator.load(7, Duration::from_secs(second), 42);
            }
        }
        assert!(
            estimator.curve().points.iter().all(|point| point.staleness < 0.02),
            "{:?}",
            estimator.curve()
        );
    }

    #[test]
    fn memory_stays_within_two_mebibytes() {
        let mut estimator = TtlEstimator::new(&TtlOptions::default());
        for key in 0..200_000 {
            estimator.look_up(crate::sampling_hash(key), Duration::from_millis(key));
        }
        assert!(estimator.memory().get() <= 2 * 1024 * 1024, "{:?}", estimator.memory());
        assert!(estimator.rate.share() < 0.05);
    }
}
