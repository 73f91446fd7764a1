//! Memory: the figures against what the allocator was asked for.

use std::sync::Arc;

use veritas_model::Provenance;

use crate::{
    MIB,
    allocator::{allocations, net_bytes},
    caches,
};

/// Fills a cache, and returns how far off its figure is, and the bound it states.
#[track_caller]
fn off(entries: u64, value_bytes: usize) -> (f64, f64) {
    let (caches, _clock) = caches(512 * MIB);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    cache.get(&0); // makes this thread's counters
    let before = net_bytes();
    for id in 0..entries {
        assert!(cache.set(&("user", id), vec![7; value_bytes]));
    }
    #[expect(clippy::cast_precision_loss, reason = "relative errors")]
    let (held, told) = ((net_bytes() - before) as f64, caches.memory().bytes.get() as f64);
    assert_eq!(caches.memory().entries, entries);
    assert_eq!(caches.memory().provenance, Provenance::Estimated);
    #[expect(clippy::cast_precision_loss, reason = "relative errors")]
    let bound = caches.memory().error_bound.get() as f64;
    ((told - held) / held, bound / held)
}

#[test]
fn the_bytes_told_are_the_bytes_held_within_two_percent() {
    for entries in [1_500, 24_000, 100_000] {
        for value_bytes in [20, 200, 2_000] {
            let (off, bound) = off(entries, value_bytes);
            assert!(off.abs() <= 0.02, "{entries} entries of {value_bytes} bytes: {off} ({bound})");
        }
    }
}

#[test]
fn near_a_power_of_two_the_stated_bound_holds() {
    for entries in [1, 10, 100, 1_000, 8_000, 32_768, 33_000] {
        for value_bytes in [20, 500] {
            let (off, bound) = off(entries, value_bytes);
            assert!(off.abs() <= bound, "{entries} entries of {value_bytes} bytes: {off} ({bound})");
        }
    }
}

#[test]
fn a_full_cache_holds_about_its_capacity() {
    for value_bytes in [20, 200, 5_000] {
        let (caches, _clock) = caches(8 * MIB);
        let cache = caches.namespace::<Vec<u8>>("blobs");
        let before = net_bytes();
        for id in 0..100_000_u64 {
            cache.set(&id, vec![7; value_bytes]);
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let share = (net_bytes() - before) as f64 / (8 * MIB) as f64;
        assert!((0.85..=1.15).contains(&share), "{value_bytes}: {share}");
    }
}

#[test]
fn what_leaves_is_no_longer_told() {
    let (caches, clock) = caches(MIB);
    let (texts, numbers) = (caches.namespace::<String>("texts"), caches.namespace::<u64>("numbers"));
    for id in 0..100 {
        texts.set(&id, "x".repeat(1_000));
        texts.set(&id, "y".repeat(500));
        numbers.set(&id, id);
    }
    let of = |name: &str| {
        let memory = caches.memory();
        memory.namespaces.iter().find(|(other, _)| other == name).map(|(_, held)| *held).unwrap()
    };
    assert_eq!((of("texts").entries, of("numbers").entries), (100, 100));
    let bytes = of("texts").bytes.get();
    assert!((50_000..80_000).contains(&bytes), "{bytes}");
    assert_eq!(texts.clear(), 100);
    assert_eq!((of("texts").entries, of("texts").bytes.get()), (0, 0));
    assert_eq!(of("numbers").entries, 100);
    clock.advance(std::time::Duration::from_mins(5));
    assert_eq!(caches.purge_expired(), 100);
    assert_eq!(caches.memory().entries, 0);
}

#[test]
fn a_hit_allocates_nothing() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<Arc<str>>("texts");
    cache.set(&("user", 7_u64), Arc::from("value"));
    assert!(cache.get(&("user", 7_u64)).is_some());
    let before = allocations();
    for _ in 0..1_000 {
        assert!(cache.get(&("user", 7_u64)).is_some());
        assert!(cache.get(&("user", 8_u64)).is_none());
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn before_a_namespace_is_opened_nothing_is_known() {
    let (caches, _clock) = caches(MIB);
    assert_eq!(caches.memory().provenance, Provenance::Unavailable);
    assert!(!caches.statistics().registered);
}
