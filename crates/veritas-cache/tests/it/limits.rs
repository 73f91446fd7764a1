//! Limits: of bytes, of values, of namespaces.

use std::{num::NonZeroUsize, sync::Arc};

use veritas_cache::{CacheOptions, Caches, OVERFLOW};
use veritas_testkit::VirtualClock;

use crate::{MIB, caches};

#[test]
fn the_capacity_is_never_exceeded() {
    for capacity in [0, 1, 100, 10_000, MIB, 8 * MIB + 7] {
        let (caches, _clock) = caches(capacity);
        let cache = caches.namespace::<Vec<u8>>("blobs");
        for id in 0..20_000_u32 {
            cache.set(&id, vec![0; (id as usize * 37) % 2_000]);
            if id % 100 == 0 {
                // Keys, values and our overhead count; the engine's tables are bounded by it.
                let held = caches.memory();
                let weight = held.namespaces[0].1.entries * 128;
                assert!(weight <= capacity, "{weight} of {capacity}");
            }
        }
        let statistics = caches.statistics();
        assert_eq!(statistics.sets, caches.memory().entries + statistics.evictions);
    }
}

#[test]
fn with_no_capacity_nothing_is_stored() {
    let (caches, _clock) = caches(0);
    let cache = caches.namespace::<u8>("bytes");
    assert!(!cache.set("a", 1));
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.get_or_compute("a", || 2), 2);
    let statistics = caches.statistics();
    assert_eq!((statistics.sets, statistics.misses, statistics.loads), (0, 2, 1));
    assert_eq!(caches.memory().entries, 0);
}

#[test]
fn a_value_that_is_too_heavy_is_refused_and_its_predecessor_goes() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    assert!(cache.set("a", vec![1; 1_000]));
    assert!(!cache.set("a", vec![2; 2 << 20]));
    assert_eq!(cache.get("a"), None);
    let statistics = caches.statistics();
    assert_eq!((statistics.sets, statistics.evictions), (1, 1));
}

#[test]
fn a_million_namespaces_are_counted_in_bounded_room() {
    let options = CacheOptions { max_namespaces: NonZeroUsize::new(100).unwrap(), ..CacheOptions::default() };
    let caches = Caches::new(options, Arc::new(VirtualClock::new()));
    let mut wrong = 0_u32;
    for index in 0..1_000_000_u32 {
        let cache = caches.namespace::<u32>(&format!("namespace {index}"));
        if index % 1_000 == 0 {
            cache.set("key", index);
        }
    }
    for index in (0..1_000_000_u32).step_by(1_000) {
        let cache = caches.namespace::<u32>(&format!("namespace {index}"));
        wrong += u32::from(cache.get("key") != Some(index));
    }
    assert_eq!(wrong, 0, "keys of namespaces that are counted together stay apart");
    let statistics = caches.statistics();
    assert_eq!(statistics.namespaces.len(), 101);
    // 999 900 names opened once, and 999 of these once more.
    assert_eq!(statistics.overflowed_namespaces, 999_900 + 999);
    let overflow = statistics.namespaces.iter().find(|(name, _)| name == OVERFLOW).unwrap().1;
    assert_eq!((overflow.sets, overflow.hits), (999, 999));
    assert_eq!(statistics.hits, 1_000);
}

#[test]
fn two_types_under_one_name_never_meet() {
    let (caches, _clock) = caches(MIB);
    let (numbers, texts) = (caches.namespace::<u64>("mixed"), caches.namespace::<String>("mixed"));
    numbers.set("key", 7);
    assert_eq!(texts.get("key"), None);
    texts.set("key", "seven".to_owned());
    assert_eq!((numbers.get("key"), texts.get("key").as_deref()), (Some(7), Some("seven")));
    assert_eq!(caches.statistics().namespaces.len(), 1);
}
