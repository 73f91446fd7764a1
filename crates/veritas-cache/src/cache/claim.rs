//! Claims: the right to store what was read elsewhere, unless something newer came in between.
//!
//! A tier below asks its server and stores the answer here. Between the question and
//! the answer the key may be set, deleted or invalidated, and then the answer is
//! outdated. So who asks claims the key first: a claim is a load that is under way,
//! with all that this means. Others who miss the key wait for it, whatever changes
//! the key takes the claim away, and a claim that is dropped leaves the load to the
//! next one.

use std::time::Duration;

use super::{Cache, Loaded, load::Wants};
use crate::{
    KeyPart, Tuning,
    flights::{Landed, Lead, Part},
};

/// The right to store a value under one key, until something changes the key.
pub struct Claim<'a, V> {
    cache: &'a Cache<V>,
    lead: Lead<Landed<V>>,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Claims a key that was missed, before a tier below is asked for it. `None`:
    /// someone else loads it, or it is there by now.
    pub fn claim<K: KeyPart + ?Sized>(&self, key: &K) -> Option<Claim<'_, V>> {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let Part::Lead(lead) = self.join(&key, self.began()) else { return None };
        self.look_again(&key, Wants::AValue).is_none().then_some(Claim { cache: self, lead })
    }

    /// Removes a key and claims it, before a tier below is told of its new value:
    /// loads under way will not be stored, and who misses the key waits for the
    /// value that is published.
    pub fn overwrite<K: KeyPart + ?Sized>(&self, key: &K) -> Claim<'_, V> {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let remove = || self.store.remove(&key);
        let (lead, removed) = self.store.flights.overtake(key.in_flight(), self.began(), remove);
        if let Some((_, removed)) = removed {
            self.store.count_gone(&removed, self.shared.clock.exact(), None);
        }
        Claim { cache: self, lead }
    }

    /// Returns whether there is an entry that could be served, fresh or stale. Counts nothing.
    pub fn holds<K: KeyPart + ?Sized>(&self, key: &K) -> bool {
        let encoded = self.encode(key);
        let now = self.shared.clock.exact();
        self.store
            .peek(&self.key_ref(&encoded), |entry| !self.store.life(entry, now).is_dead())
            .unwrap_or(false)
    }

    /// Returns the options in force: the application's, with what was tuned since.
    pub fn tuning(&self) -> Tuning {
        self.namespace().settings.tuning()
    }

    /// Returns what a load took on average, or `None` before the first one. Cost: a microsecond.
    pub fn mean_load_time(&self) -> Option<Duration> {
        let read = self.namespace().counters.read();
        let loads = u32::try_from(read.loads).ok().filter(|loads| *loads > 0)?;
        Some(read.load_time / loads)
    }
}

impl<V: Clone + Send + Sync + 'static> Claim<'_, V> {
    /// Stores the value, unless something changed the key since it was claimed, and
    /// hands it to those who wait. Returns whether it was stored.
    pub fn publish(self, loaded: Loaded<V>) -> bool {
        let cost = loaded.cost.unwrap_or_default();
        self.cache.publish(self.lead, false, cost, loaded).1
    }
}

impl<V> std::fmt::Debug for Claim<'_, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{CacheOptions, Caches, TagVersion};

    fn cache() -> (Caches, Cache<u32>) {
        let caches = Caches::new(CacheOptions::default(), Arc::new(veritas_testkit::VirtualClock::new()));
        let cache = caches.namespace("t");
        (caches, cache)
    }

    #[test]
    fn what_was_claimed_is_stored_unless_the_key_changed() {
        let (caches, cache) = cache();
        let changes: [&dyn Fn(); 5] = [
            &|| (),
            &|| _ = cache.delete(&1),
            &|| _ = cache.set(&1, 9),
            &|| _ = caches.invalidate("t", &cache.encoded_key(&1)),
            &|| caches.flush("t"),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let claim = cache.claim(&1).unwrap();
            assert!(cache.claim(&1).is_none(), "it is taken");
            change();
            assert_eq!(claim.publish(Loaded::of(7)), index == 0);
            assert_ne!(cache.get(&1) == Some(7), index != 0);
            cache.delete(&1);
        }
    }

    #[test]
    fn a_tag_that_died_since_the_claim_takes_the_value_along() {
        let (caches, cache) = cache();
        let mut loaded = Loaded::of(7);
        loaded.tags = vec![TagVersion::of("a")];
        let claim = cache.claim(&1).unwrap();
        caches.invalidate_tag("t", "a");
        claim.publish(loaded.clone());
        assert_eq!(cache.get(&1), None);
        cache.overwrite(&1).publish(loaded);
        assert_eq!(cache.get(&1), Some(7));
        caches.invalidate_tag("t", "a");
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn who_overwrites_takes_the_key_from_whoever_loads_it() {
        let (_caches, cache) = cache();
        cache.set(&1, 1);
        let early = cache.overwrite(&1);
        assert!(!cache.holds(&1));
        let late = cache.overwrite(&1);
        assert!(late.publish(Loaded::of(2)));
        assert!(!early.publish(Loaded::of(3)), "it was overruled");
        assert_eq!(cache.get(&1), Some(2));
    }

    #[test]
    fn what_is_overwritten_after_its_time_has_expired() {
        let clock = veritas_testkit::VirtualClock::new();
        let caches = Caches::new(CacheOptions::default(), Arc::new(clock.clone()));
        let cache = caches.namespace::<u32>("t");
        cache.set_with_ttl(&1, 1, Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        drop(cache.overwrite(&1));
        let statistics = caches.statistics();
        assert_eq!((statistics.expirations, statistics.deletes, statistics.evictions), (1, 0, 0));
    }

    #[test]
    fn a_dropped_claim_leaves_the_load_to_the_next() {
        let (_caches, cache) = cache();
        drop(cache.claim(&1).unwrap());
        assert_eq!(cache.get_or_compute(&1, || 5), 5);
    }
}
