//! The estimator: every time to live at once, on a sample of the keys.

use std::{collections::HashMap, time::Duration};

use veritas_cache::{Access, AccessKind};
use veritas_model::Bytes;

use super::{
    TtlCurve, TtlPoint,
    change::{ChangeRate, Prior},
    followed::{Followed, Judged, SURE, of_sure},
    groups::Totals,
    places::{ByItself, Head},
};
use crate::sample::{SampleRate, Scale, Total};

/// How many times to live are followed at once.
pub(super) const LIVES: usize = 20;

/// By how much the rate is lowered at a time.
const STEP: f64 = 0.8;

/// So many of the keys that are followed may be there for being asked for often, and no
/// more than one in eight. 875 instead made a request cost half as much again, and hit ratios
/// were off by 0.0011 at worst instead of 0.0029.
const HEAD: usize = 64;

/// A curve's bounds are so many standard errors wide. Two and a half held for 91 % of the hit
/// ratios of 600 followed keys at the shortest time to live, three for 96 %.
const BOUND: f64 = 3.0;

/// What an estimator may take, and which times to live it follows.
#[derive(Debug, Clone, PartialEq)]
pub struct TtlOptions {
    /// The times to live, ascending; the first twenty count. Up to 24 days.
    pub times: Vec<Duration>,
    /// How many keys are followed at most; each takes 260 bytes.
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
/// For each key that is followed it knows what an endless cache with each time to live
/// would do: when it would have loaded the value it holds, and how likely that
/// value is still the source's. Hits are exact for these keys. Staleness
/// rests on the hashes of values at the real loads:
///
/// - values change by a Poisson process, each key at a rate of its own;
/// - two loads with the same hash had no change between them;
/// - two with different hashes had at least one, that is dated within the interval
///   by the key's estimated rate (interval censoring);
/// - after the last load, the rate alone tells.
///
/// Every key is followed at first. When they are too many, fewer of them are: those whose
/// hash is low enough, and the head: those that were asked for most. Each request counts
/// for as many as the share of keys says that its key was chosen from (Horvitz and Thompson,
/// 1952). The head keeps the share at which it was followed before, which is all of the keys
/// for those that were popular from the start, so that the keys that decide most are not left
/// to chance. Which keys are the head is decided by the requests before, never by that which counts.
///
/// A cache that evicts before the time is over hits less, and is less stale.
/// Times are kept in milliseconds of 32 bits: a key that is asked for again after
/// 49 days may count as a hit.
#[derive(Debug)]
pub struct TtlEstimator {
    /// How many of the times to live are some; the others never end.
    lives: usize,
    ends_after: [u32; LIVES],
    max_keys: usize,
    /// Of all keys, and of those that are offered.
    rate: SampleRate,
    offered: SampleRate,
    scale: Scale,
    look_ups: u64,
    places: HashMap<u64, u32, ByItself>,
    followed: Vec<Followed>,
    head: Head,
    prior: Prior,
    has_loads: bool,
    comparisons: u64,
    /// After how many of them the prior is fitted to the keys again.
    fit_at: u64,
    counted: Counted,
    stale: Totals,
    judged: [Judged; LIVES],
    /// The squares of how many look-ups came between two loads of a key, together.
    clumps: f64,
}

/// So many comparisons make the rate of all keys known, and with it that of a key
/// that was not compared itself.
const KNOWN: u64 = 32;

/// How often the keys and the prior are settled by each other in a fit.
const ROUNDS: usize = 3;

/// What the followed keys were asked for, and missed.
#[derive(Debug, Clone)]
struct Counted {
    look_ups: Total,
    misses: Totals,
}

impl Counted {
    fn nothing() -> Self {
        Self { look_ups: Total::ZERO, misses: Totals::zero() }
    }

    fn add(&mut self, key: &Followed) {
        self.look_ups.count_many(key.hash, key.scale, f64::from(key.look_ups));
        self.misses.add(key.hash, key.scale, &key.misses.map(f64::from));
    }
}

impl TtlEstimator {
    /// Creates an estimator that knows nothing.
    pub fn new(options: &TtlOptions) -> Self {
        let mut lives: Vec<u32> =
            options.times.iter().take(LIVES).map(|time| milliseconds(*time).max(1)).collect();
        lives.sort_unstable();
        lives.dedup();
        Self {
            ends_after: std::array::from_fn(|life| lives.get(life).copied().unwrap_or(u32::MAX)),
            lives: lives.len(),
            max_keys: options.max_keys.max(1),
            rate: SampleRate::ALL,
            offered: SampleRate::ALL,
            scale: Scale::ONE,
            look_ups: 0,
            places: HashMap::default(),
            followed: Vec::new(),
            head: Head::nobody(),
            prior: Prior::NOTHING,
            has_loads: false,
            comparisons: 0,
            fit_at: KNOWN,
            counted: Counted::nothing(),
            stale: Totals::zero(),
            judged: [Judged::default(); LIVES],
            clumps: 0.0,
        }
    }

    /// Notes a look-up, whether it hit or not.
    #[inline]
    pub fn look_up(&mut self, hash: u64, at: Duration) {
        self.look_ups += 1;
        if self.may_follow(hash) {
            self.followed_look_up(hash, milliseconds(at));
        }
    }

    #[inline]
    fn may_follow(&self, hash: u64) -> bool {
        self.rate.takes(hash) || self.head.may_hold(hash)
    }

    fn followed_mut(&mut self, hash: u64) -> Option<&mut Followed> {
        let place = *self.places.get(&hash)?;
        self.followed.get_mut(place as usize)
    }

    /// Notes a real load of a key, and a hash of the value that it brought; 0 when
    /// there is none.
    pub fn load(&mut self, hash: u64, at: Duration, value: u32) {
        if value == 0 || !self.may_follow(hash) {
            return;
        }
        let at = milliseconds(at);
        self.has_loads = true;
        let mut prior = self.prior;
        let Some(key) = self.followed_mut(hash) else { return };
        let clump = key.scale.count() * f64::from(std::mem::take(&mut key.since_load));
        let last = key.last.replace((at, value));
        let Some((before, value_before)) = last else { return };
        let interval = f64::from(at.wrapping_sub(before));
        let changed = value != value_before;
        if changed {
            let rate = key.rate.mean(&prior).max(1e-12);
            let any = -(-rate * interval).exp_m1();
            for (loaded_at, fresh) in key.loaded_at.iter().zip(&mut key.fresh) {
                let since = f64::from(at.wrapping_sub(*loaded_at));
                // Loaded within the interval, a cache may have got the value from after the change.
                let later = if since < interval { -(-rate * (interval - since)).exp_m1() / any } else { 0.0 };
                *fresh = of_sure(later * (-rate * since).exp());
            }
        }
        key.rate.note(interval, changed, &mut prior);
        self.clumps += clump * clump;
        self.comparisons += 1;
        self.prior = prior;
        if self.comparisons >= self.fit_at {
            self.fit_at = self.comparisons + self.comparisons / 4;
            for _ in 0..ROUNDS {
                self.prior.fit(self.followed.iter_mut().map(|key| &mut key.rate));
            }
        }
    }

    /// Notes an access from a tap.
    pub fn feed(&mut self, access: &Access) {
        let at = Duration::from_millis(access.at_ms);
        match access.kind {
            AccessKind::Hit | AccessKind::Miss => self.look_up(access.key, at),
            AccessKind::Store { value, .. } => self.load(access.key, at, value),
            AccessKind::Delete => self.delete(access.key, milliseconds(at)),
        }
    }

    /// An application that deletes knows of a change: what is held dies everywhere.
    fn delete(&mut self, hash: u64, at: u32) {
        let ends_after = self.ends_after;
        if let Some(key) = self.followed_mut(hash) {
            key.loaded_at = std::array::from_fn(|life| at.wrapping_sub(ends_after[life]));
            key.last = None;
            key.rate = ChangeRate::UNKNOWN;
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
        self.counted = Counted::nothing();
        (self.stale, self.judged, self.clumps) = (Totals::zero(), [Judged::default(); LIVES], 0.0);
        for key in &mut self.followed {
            key.begin();
            key.popularity /= 2;
        }
    }

    /// Returns the highest hash that is sampled: for a tap.
    pub fn threshold(&self) -> u64 {
        self.rate.threshold()
    }

    /// Is told that no more than `rate` of the keys are offered from now on, those of the head
    /// among them; a higher one changes nothing.
    pub fn lower_to(&mut self, rate: SampleRate) {
        if rate < self.offered {
            self.offered = rate;
            self.follow_fewer(self.rate.min(rate));
        }
    }

    /// Follows no more than `rate` of the keys, and the head.
    fn follow_fewer(&mut self, rate: SampleRate) {
        self.followed.iter_mut().for_each(|key| self.counted.take(key));
        self.rate = rate;
        self.scale = Scale::at(rate.share());
        let (offered, scale) = (self.offered, self.scale);
        let least = self.least_popular_of_the_head();
        self.followed.retain_mut(|key| {
            let is_head = key.popularity > least;
            key.popularity -= key.popularity / 4;
            if is_head && offered.takes(key.hash) {
                if offered < key.chosen_at {
                    key.chosen_at = offered;
                    key.scale = Scale::at(offered.share());
                }
                return true;
            }
            (key.chosen_at, key.scale) = (rate, scale);
            rate.takes(key.hash)
        });
        self.head = Head::nobody();
        // Emptied and filled: keys taken out one by one would keep their places, and it grow for them.
        self.places.clear();
        for (place, key) in (0..).zip(&self.followed) {
            self.places.insert(key.hash, place);
            if !rate.takes(key.hash) {
                self.head.insert(key.hash);
            }
        }
    }

    /// Returns the popularity that the keys of the head surpass.
    fn least_popular_of_the_head(&self) -> u32 {
        let mut popularities: Vec<u32> = self.followed.iter().map(|key| key.popularity).collect();
        let size = HEAD.min(self.max_keys / 8);
        if popularities.len() <= size {
            return 0;
        }
        *popularities.select_nth_unstable_by(size, |one, other| other.cmp(one)).1
    }

    /// Returns the bytes that were asked of the allocator.
    pub fn memory(&self) -> Bytes {
        let places = self.places.capacity() * 8 / 7 * (size_of::<(u64, u32)>() + 1);
        let followed = self.followed.capacity() * size_of::<Followed>();
        let rest = size_of::<Self>() + Head::BYTES + 2 * Totals::BYTES;
        Bytes::new((places + followed + rest) as u64)
    }

    /// Returns the curve; no points before the first look-up.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn curve(&self) -> TtlCurve {
        let all = self.look_ups as f64;
        let mut counted = self.counted.clone();
        self.followed.iter().for_each(|key| counted.add(key));
        let sampled = &counted.look_ups;
        let point = |life: usize| {
            // What the sample has too many or too few of, in so far as it goes with misses.
            let misses = counted.misses.of(life);
            let (of_all, error) = misses.corrected_by(sampled, all);
            let hit_ratio = 1.0 - (of_all / all).clamp(0.0, 1.0);
            let (stale, stale_error) = self.stale.of(life).corrected_by(sampled, all);
            let judged = &self.judged[life];
            let early = judged.early * self.early_staleness(judged);
            // Hits that were not judged at all are taken to be as stale as those that were.
            let hits = sampled.estimate() - misses.estimate();
            let seen = judged.hits + judged.early;
            let share = if judged.hits > 0.0 { (hits / seen).max(1.0) / all } else { 0.0 };
            let chance = judged.chance / all.max(1.0) * self.clumps.sqrt();
            let off = (stale_error * stale_error + chance * chance).sqrt();
            TtlPoint {
                time_to_live: Duration::from_millis(u64::from(self.ends_after[life])),
                hit_ratio,
                hit_ratio_error: (BOUND * error / all).min(1.0),
                staleness: ((stale + early) * share).clamp(0.0, hit_ratio),
                staleness_error: ((BOUND * off + judged.rates) * share).min(1.0),
            }
        };
        let points = (0..self.lives).filter(|_| self.look_ups > 0).map(point).collect();
        TtlCurve { points, look_ups: self.look_ups, comparisons: self.comparisons }
    }

    /// Returns how many of the early hits were stale, by what is known of all keys since.
    fn early_staleness(&self, judged: &Judged) -> f64 {
        let age = judged.early_ages / judged.early.max(1.0);
        1.0 - ChangeRate::UNKNOWN.unchanged_for(age, &self.prior)
    }

    fn follow(&mut self, hash: u64, at: u32) {
        if self.followed.len() == self.followed.capacity() {
            // Doubled, but never past what there may be.
            let most = self.max_keys + 1;
            self.followed.reserve_exact(self.followed.len().max(16).min(most - self.followed.len()));
        }
        self.places.insert(hash, u32::try_from(self.followed.len()).unwrap_or(u32::MAX));
        self.followed.push(Followed {
            hash,
            scale: self.scale,
            chosen_at: self.rate,
            loaded_at: [at; LIVES],
            fresh: [SURE; LIVES],
            misses: [1; LIVES],
            look_ups: 1,
            since_load: 1,
            popularity: 1,
            last: None,
            rate: ChangeRate::UNKNOWN,
        });
        while self.followed.len() > self.max_keys {
            self.follow_fewer(SampleRate::of(self.rate.share() * STEP));
        }
    }

    fn followed_look_up(&mut self, hash: u64, at: u32) {
        let Some(place) = self.places.get(&hash) else {
            if self.rate.takes(hash) {
                self.follow(hash, at);
            }
            return;
        };
        let key = &mut self.followed[*place as usize];
        if key.look_ups == u16::MAX {
            self.counted.take(key);
        }
        if self.comparisons >= KNOWN || key.rate != ChangeRate::UNKNOWN {
            let stale = key.judge(at, &self.ends_after[..self.lives], &self.prior, &mut self.judged);
            self.stale.add(hash, key.scale, &stale);
        } else if self.has_loads {
            key.note_early(at, &self.ends_after, &mut self.judged);
        }
        key.look_up(at, &self.ends_after);
    }
}

impl Counted {
    /// Adds what a key was asked for, and begins anew with it.
    fn take(&mut self, key: &mut Followed) {
        self.add(key);
        key.begin();
    }
}

/// Milliseconds, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
fn milliseconds(time: Duration) -> u32 {
    (time.as_secs() as u32).wrapping_mul(1_000).wrapping_add(time.subsec_millis())
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
    fn what_is_deleted_dies_at_every_time_to_live() {
        let mut estimator = TtlEstimator::new(&TtlOptions::default());
        estimator.look_up(7, Duration::from_secs(1));
        estimator.delete(7, 1_000);
        (0..2).for_each(|_| estimator.look_up(7, Duration::from_secs(1)));
        let curve = estimator.curve();
        assert!(curve.points.iter().all(|point| (point.hit_ratio - 1.0 / 3.0).abs() < 1e-9), "{curve:?}");
    }

    #[test]
    fn popular_keys_are_followed_whatever_their_hash() {
        let options = TtlOptions { max_keys: 800, ..TtlOptions::default() };
        let mut estimator = TtlEstimator::new(&options);
        for look_up in 0..100_000_u64 {
            // Ten popular keys among many that come once.
            let key = if look_up % 2 == 0 { look_up / 2 % 10 } else { 100 + look_up };
            estimator.look_up(crate::sampling_hash(key), Duration::from_millis(look_up));
        }
        assert!(estimator.rate.share() < 0.05);
        assert!((0..10).all(|key| estimator.places.contains_key(&crate::sampling_hash(key))));
        let last = estimator.curve().points[LIVES - 1];
        assert!(
            (last.hit_ratio - (0.5 - 10.0 / 100_000.0)).abs() <= last.hit_ratio_error.max(1e-3),
            "{last:?}"
        );
        assert!(last.hit_ratio_error < 0.01, "{last:?}");
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

    #[test]
    fn a_namespace_in_production_takes_less_than_a_mebibyte() {
        let mut estimator = TtlEstimator::new(&TtlOptions { max_keys: 2_560, ..TtlOptions::default() });
        for key in 0..100_000 {
            estimator.look_up(crate::sampling_hash(key), Duration::from_millis(key));
        }
        assert!(estimator.memory().get() <= 1024 * 1024, "{:?}", estimator.memory());
    }
}
