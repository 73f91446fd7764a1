//! The tap: what is asked of the caches, sampled by key.

use std::{convert::Infallible, time::Duration};

use veritas_cache::{Access, AccessKind, CacheKey, Caches, Knob, Tap};

use crate::{MIB, allocator::allocations, caches};

fn drained(tap: &Tap) -> Vec<Access> {
    let mut accesses = Vec::new();
    assert_eq!(tap.drain(&mut accesses), 0);
    accesses
}

fn id(caches: &Caches, name: &str) -> veritas_cache::NamespaceId {
    let readings = caches.namespaces();
    readings.iter().find(|reading| reading.name == name).map(|reading| reading.id).expect("it is open")
}

#[test]
fn every_access_is_seen_in_order_with_its_hash_and_its_time() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u64>("numbers").with_digest(|value| u32::try_from(*value).unwrap());
    let tap = caches.tap(1 << 10);
    cache.get(&7);
    cache.set(&7, 42);
    clock.advance(Duration::from_millis(1_500));
    cache.get(&7);
    cache.delete(&7);
    let seen = drained(&tap);
    let kinds: Vec<AccessKind> = seen.iter().map(|access| access.kind).collect();
    let [
        AccessKind::Miss,
        AccessKind::Store { weight, cost_us: 0, value: 42 },
        AccessKind::Hit,
        AccessKind::Delete,
    ] = kinds[..]
    else {
        panic!("{kinds:?}")
    };
    assert!((50..500).contains(&weight), "{weight}");
    let hash = CacheKey::of(&7).sampling_hash();
    let namespace = id(&caches, "numbers");
    assert!(seen.iter().all(|access| access.key == hash && access.namespace == namespace));
    assert_eq!(seen[2].at_ms - seen[0].at_ms, 1_500);
}

#[test]
fn keys_are_kept_by_their_hash_whole_and_for_each_namespace() {
    let (caches, _clock) = caches(MIB);
    let (some, none) = (caches.namespace::<u32>("some"), caches.namespace::<u32>("none"));
    let tap = caches.tap(1 << 16);
    let threshold = u64::MAX / 10;
    tap.set_threshold(id(&caches, "some"), threshold);
    tap.set_threshold(id(&caches, "none"), 0);
    for _ in 0..3 {
        for key in 0..1_000_u32 {
            some.get(&key);
            none.get(&key);
        }
    }
    let seen = drained(&tap);
    let chosen = (0..1_000_u32).filter(|key| CacheKey::of(key).sampling_hash() <= threshold).count();
    assert!((60..140).contains(&chosen), "{chosen}");
    assert_eq!(seen.len(), 3 * chosen);
    assert!(seen.iter().all(|access| access.namespace == id(&caches, "some")));
    // One that is opened later is seen from its first access on.
    caches.namespace::<u32>("later").get(&1);
    assert_eq!(drained(&tap).len(), 1);
}

#[test]
fn without_a_tap_and_after_it_nothing_is_kept() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    let tap = caches.tap(100);
    drop(tap);
    (0..1_000).for_each(|key| _ = cache.get(&key));
    let tap = caches.tap(100);
    assert_eq!(drained(&tap), []);
    cache.get(&1);
    assert_eq!(drained(&tap).len(), 1);
}

#[test]
fn a_bypassed_namespace_is_seen_as_if_it_stored() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    caches.tune("numbers", &Knob::Bypass(true)).unwrap();
    let tap = caches.tap(1 << 10);
    assert!(!cache.set(&1, 1));
    assert_eq!(cache.get(&1), None);
    let kinds: Vec<AccessKind> = drained(&tap).iter().map(|access| access.kind).collect();
    assert!(matches!(kinds[..], [AccessKind::Store { .. }, AccessKind::Miss]), "{kinds:?}");

    // So is a load, by whatever way: that is what a dormant function is judged by.
    assert_eq!(cache.get_or_compute(&2, || 2), 2);
    let many = cache
        .get_or_load_many::<_, Infallible>(&[3, 4], |keys| Ok(keys.iter().map(|key| Some(**key)).collect()));
    assert_eq!(many.len(), 2);
    let (mut misses, mut stores) = (0, 0);
    for access in drained(&tap) {
        match access.kind {
            AccessKind::Miss => misses += 1,
            AccessKind::Store { weight, .. } => stores += u32::from(weight > 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((misses, stores, caches.memory().entries), (3, 3, 0));
}

#[test]
fn what_is_tapped_allocates_nothing() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    let _tap = caches.tap(1 << 10);
    cache.set(&1, 1);
    cache.get(&1);
    let before = allocations();
    (0..10_000).for_each(|_| assert_eq!(cache.get(&1), Some(1)));
    assert_eq!(allocations() - before, 0);
}

#[test]
fn what_a_peer_changed_is_seen_as_a_delete() {
    let (caches, _clock) = caches(MIB);
    let (cache, other) = (caches.namespace::<u32>("numbers"), caches.namespace::<u32>("other"));
    let tap = caches.tap(1 << 10);
    tap.set_threshold(id(&caches, "other"), 0);
    caches.invalidate("numbers", &cache.encoded_key(&7));
    caches.invalidate("other", &other.encoded_key(&7));
    let seen = drained(&tap);
    let expected = (CacheKey::of(&7).sampling_hash(), AccessKind::Delete, id(&caches, "numbers"));
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].key, seen[0].kind, seen[0].namespace), expected);
}
