//! The cache against a naive twin: a map with deadlines.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use crate::{MIB, caches};

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Set(u8, u16, u64),
    Load(u8, u16),
    Delete(u8),
    Advance(u64),
    Purge,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Step::Get),
        3 => (0..8_u8, any::<u16>(), 0..20_u64).prop_map(|(key, value, ttl)| Step::Set(key, value, ttl)),
        2 => (0..8_u8, any::<u16>()).prop_map(|(key, value)| Step::Load(key, value)),
        1 => (0..8_u8).prop_map(Step::Delete),
        2 => (0..10_u64).prop_map(Step::Advance),
        1 => Just(Step::Purge),
        1 => Just(Step::Clear),
    ]
}

/// What a cache without limits would hold, and what it would have counted.
#[derive(Default)]
struct Twin {
    entries: HashMap<u8, (u16, u64)>,
    now: u64,
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    expirations: u64,
    evictions: u64,
    loads: u64,
}

const DEFAULT_TTL: u64 = 7;

impl Twin {
    fn get(&mut self, key: u8) -> Option<u16> {
        let live = self.live(key);
        *(if live.is_some() { &mut self.hits } else { &mut self.misses }) += 1;
        live
    }

    fn live(&mut self, key: u8) -> Option<u16> {
        let (value, deadline) = *self.entries.get(&key)?;
        if self.now < deadline {
            return Some(value);
        }
        self.entries.remove(&key);
        self.expirations += 1;
        None
    }

    fn set(&mut self, key: u8, value: u16, ttl: u64) -> bool {
        // What is replaced or outdated when it is dead already has expired.
        let before = self.live(key);
        self.entries.remove(&key);
        if ttl == 0 {
            self.evictions += u64::from(before.is_some());
            return false;
        }
        self.entries.insert(key, (value, self.now + ttl));
        self.sets += 1;
        true
    }

    fn delete(&mut self, key: u8) -> bool {
        let deleted = self.live(key).is_some();
        self.entries.remove(&key);
        self.deletes += u64::from(deleted);
        deleted
    }

    fn purge(&mut self) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, (_, deadline)| self.now < *deadline);
        let purged = (before - self.entries.len()) as u64;
        self.expirations += purged;
        purged
    }
}

proptest! {
    #[test]
    fn the_cache_does_what_a_map_with_deadlines_does(steps in prop::collection::vec(step(), 1..200)) {
        let (caches, clock) = caches(8 * MIB);
        let cache = caches.namespace::<u16>("model").with_ttl(Duration::from_secs(DEFAULT_TTL));
        let mut twin = Twin::default();
        for step in steps {
            match step {
                Step::Get(key) => prop_assert_eq!(cache.get(&key), twin.get(key)),
                Step::Set(key, value, ttl) => {
                    let stored = cache.set_with_ttl(&key, value, Duration::from_secs(ttl));
                    prop_assert_eq!(stored, twin.set(key, value, ttl));
                }
                Step::Load(key, value) => {
                    let expected = twin.get(key).unwrap_or_else(|| {
                        twin.loads += 1;
                        twin.set(key, value, DEFAULT_TTL);
                        value
                    });
                    prop_assert_eq!(cache.get_or_compute(&key, || value), expected);
                }
                Step::Delete(key) => prop_assert_eq!(cache.delete(&key), twin.delete(key)),
                Step::Advance(seconds) => {
                    clock.advance(Duration::from_secs(seconds));
                    twin.now += seconds;
                }
                Step::Purge => prop_assert_eq!(caches.purge_expired(), twin.purge()),
                Step::Clear => {
                    twin.purge();
                    prop_assert_eq!(cache.clear(), twin.entries.len() as u64);
                    twin.deletes += twin.entries.len() as u64;
                    twin.entries.clear();
                }
            }
            let counted = caches.statistics();
            prop_assert_eq!(
                [counted.hits, counted.misses, counted.sets, counted.deletes, counted.expirations, counted.evictions],
                [twin.hits, twin.misses, twin.sets, twin.deletes, twin.expirations, twin.evictions]
            );
            prop_assert_eq!((counted.loads, counted.load_errors, counted.coalesced), (twin.loads, 0, 0));
            prop_assert_eq!(caches.memory().entries, twin.entries.len() as u64);
        }
    }
}
