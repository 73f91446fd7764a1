//! Hot keys and big keys: the few keys that take most of the look-ups or of the bytes.
//!
//! Look-ups are counted by *Space-Saving* (Metwally, Agrawal and El Abbadi, "Efficient
//! computation of frequent and top-k elements in data streams", ICDT 2005): with `k`
//! counters a key's count is never too low, and too high by at most the look-ups
//! divided by `k`; how far each one may be off is known.

use std::collections::HashMap;

/// How many keys are counted: those with more than 1/64 of the look-ups are never missed.
const COUNTED: usize = 64;
/// How many heavy values are remembered.
const REMEMBERED: usize = 16;

/// A key that is looked up often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotKey {
    /// The key's sampling hash.
    pub key: u64,
    /// Look-ups counted: never too few.
    pub count: u64,
    /// How many of them may be another key's.
    pub error: u64,
}

impl HotKey {
    /// Returns how often it was looked up for certain.
    pub const fn at_least(&self) -> u64 {
        self.count.saturating_sub(self.error)
    }
}

/// A key whose value is heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BigKey {
    /// The key's sampling hash.
    pub key: u64,
    /// What it weighs, in bytes.
    pub weight: u32,
    /// When it was stored, in milliseconds on the caches' monotonic clock.
    pub stored_ms: u64,
}

/// The keys looked up most, in fixed space: 64 counters, about 4 KiB.
///
/// Counts fade: [`Self::fade`] halves them, so that what was hot an hour ago is not
/// called hot today.
#[derive(Debug, Default)]
pub(crate) struct HotKeys {
    counters: Vec<HotKey>,
    places: HashMap<u64, usize>,
    /// Look-ups of all keys, counted or not.
    total: u64,
}

impl HotKeys {
    /// Counts one look-up. Costs a map's look-up, and a scan of 64 counters for a key
    /// that is not counted yet.
    pub(crate) fn count(&mut self, key: u64) {
        self.total += 1;
        if let Some(counter) = self.places.get(&key).and_then(|place| self.counters.get_mut(*place)) {
            counter.count += 1;
            return;
        }
        if self.counters.len() < COUNTED {
            self.places.insert(key, self.counters.len());
            self.counters.push(HotKey { key, count: 1, error: 0 });
            return;
        }
        let smallest = self.counters.iter_mut().enumerate().min_by_key(|(_, counter)| counter.count);
        if let Some((place, counter)) = smallest {
            self.places.remove(&counter.key);
            self.places.insert(key, place);
            *counter = HotKey { key, count: counter.count + 1, error: counter.count };
        }
    }

    /// Notes look-ups of keys that are not sampled: they are no part of any count, and are
    /// part of what the counts are a share of.
    pub(crate) fn skipped(&mut self, look_ups: u64) {
        self.total += look_ups;
    }

    /// Returns the keys, the most certain first.
    pub(crate) fn ranked(&self) -> Vec<HotKey> {
        let mut ranked = self.counters.clone();
        ranked.sort_by_key(|counter| (std::cmp::Reverse(counter.at_least()), counter.key));
        ranked
    }

    /// Returns how many look-ups of all keys there were, faded as the counts are.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Halves everything.
    pub(crate) fn fade(&mut self) {
        self.total /= 2;
        for counter in &mut self.counters {
            counter.count /= 2;
            counter.error /= 2;
        }
    }
}

/// The heaviest values, in fixed space.
#[derive(Debug, Default)]
pub(crate) struct BigKeys {
    /// Heaviest first.
    heaviest: Vec<BigKey>,
}

impl BigKeys {
    /// Notes what a key weighs now.
    pub(crate) fn stored(&mut self, key: u64, weight: u32, stored_ms: u64) {
        self.removed(key);
        let place = self.heaviest.partition_point(|known| known.weight >= weight);
        if place < REMEMBERED {
            self.heaviest.insert(place, BigKey { key, weight, stored_ms });
            self.heaviest.truncate(REMEMBERED);
        }
    }

    /// Forgets a key that was deleted.
    pub(crate) fn removed(&mut self, key: u64) {
        self.heaviest.retain(|known| known.key != key);
    }

    /// Forgets what was stored before a time: it has outlived its time to live.
    pub(crate) fn expire(&mut self, before_ms: u64) {
        self.heaviest.retain(|known| known.stored_ms >= before_ms);
    }

    /// Returns the keys, the heaviest first.
    pub(crate) fn ranked(&self) -> &[BigKey] {
        &self.heaviest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_with_a_large_share_is_never_missed() {
        let mut hot = HotKeys::default();
        for look_up in 0..100_000_u64 {
            // Every 20th is the hot one; the others never come again.
            hot.count(if look_up % 20 == 0 { 7 } else { 1_000 + look_up });
        }
        let first = hot.ranked()[0];
        assert_eq!(first.key, 7);
        assert!(first.count >= 5_000 && first.at_least() <= 5_000, "{first:?}");
        assert!(hot.counters.len() <= COUNTED && hot.places.len() <= COUNTED);
    }

    #[test]
    fn a_share_is_one_of_all_look_ups_and_not_of_the_sampled_ones() {
        let mut hot = HotKeys::default();
        (0..600).for_each(|_| hot.count(1));
        (0..400).for_each(|_| hot.count(2));
        hot.skipped(9_000);
        assert_eq!((hot.ranked()[0].at_least(), hot.total()), (600, 10_000));
    }

    #[test]
    fn what_is_no_longer_looked_up_fades() {
        let mut hot = HotKeys::default();
        (0..1_000).for_each(|_| hot.count(1));
        for _ in 0..10 {
            hot.fade();
            (0..100).for_each(|_| hot.count(2));
        }
        assert_eq!(hot.ranked()[0].key, 2);
        assert!(hot.total() < 300, "{}", hot.total());
    }

    #[test]
    fn the_heaviest_are_remembered_at_their_last_weight() {
        let mut big = BigKeys::default();
        (0..100).for_each(|key| big.stored(key, u32::try_from(key).unwrap() * 10, key));
        big.stored(99, 1, 100);
        big.removed(98);
        let ranked = big.ranked();
        assert_eq!(ranked[0], BigKey { key: 97, weight: 970, stored_ms: 97 });
        assert!(ranked.len() <= REMEMBERED);
        assert!(ranked.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
        big.expire(97);
        assert_eq!(big.ranked().len(), 2, "what has outlived its time is heavy no more");
    }

    proptest! {
        #[test]
        fn counts_bracket_the_truth(keys in proptest::collection::vec(0_u64..200, 1..2_000)) {
            let mut hot = HotKeys::default();
            let mut truth: HashMap<u64, u64> = HashMap::new();
            for key in &keys {
                hot.count(*key);
                *truth.entry(*key).or_default() += 1;
            }
            let bound = keys.len() as u64 / COUNTED as u64;
            for counter in hot.ranked() {
                let exact = truth[&counter.key];
                prop_assert!(counter.at_least() <= exact && exact <= counter.count);
                prop_assert!(counter.error <= bound);
            }
            for (key, exact) in truth {
                prop_assert!(exact <= bound || hot.places.contains_key(&key));
            }
        }
    }
}
