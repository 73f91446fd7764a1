//! Tuning: knobs that are turned while the namespace runs, and before it is opened.

use std::time::Duration;

use veritas_cache::{Knob, KnobName, NamespaceOptions, TuneError};

use crate::{MIB, caches};

#[test]
fn a_time_to_live_is_tuned_and_taken_back() {
    let (caches, clock) = caches(MIB);
    let options = NamespaceOptions { jitter: 0.0, ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<u8>("bytes", options);
    let inverse = caches.tune("bytes", &Knob::Ttl(Duration::from_secs(10))).unwrap();
    cache.set("a", 1);
    clock.advance(Duration::from_secs(10));
    assert_eq!(cache.get("a"), None);
    assert_eq!(inverse.to_string(), "ttl=configured");
    assert_eq!(caches.tune("bytes", &inverse).unwrap().to_string(), "ttl=10s");
    cache.set("a", 1);
    clock.advance(Duration::from_secs(299));
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn what_is_bypassed_is_neither_stored_nor_served_but_counted() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes");
    cache.set("a", 1);
    caches.tune("bytes", &Knob::Bypass(true)).unwrap();
    assert_eq!(caches.memory().entries, 0, "its room is given back");
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.get_or_compute("a", || 2), 2);
    assert_eq!(cache.get_or_compute("a", || 3), 3);
    let statistics = caches.statistics();
    assert_eq!((statistics.misses, statistics.bypassed, statistics.loads), (3, 3, 2));
    assert_eq!((statistics.sets, statistics.invalidations), (1, 1));
    caches.tune("bytes", &Knob::Bypass(false)).unwrap();
    assert_eq!(cache.get("a"), None, "what was there before is gone");
    assert_eq!(cache.get_or_compute("a", || 4), 4);
    assert_eq!(cache.get("a"), Some(4));
}

#[test]
fn a_namespace_may_begin_bypassed() {
    let (caches, _clock) = caches(MIB);
    let options = NamespaceOptions { start_bypassed: true, ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<u8>("bytes", options);
    assert!(!cache.set("a", 1));
    caches.tune("bytes", &Knob::Bypass(false)).unwrap();
    assert!(cache.set("a", 1));
    assert_eq!(caches.tuning("bytes").unwrap().tuned, [KnobName::Bypass]);
}

#[test]
fn a_capacity_that_is_lowered_is_kept_at_once() {
    let (caches, _clock) = caches(8 * MIB);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    (0..5_000_u32).for_each(|id| _ = cache.set(&id, vec![0; 1_000]));
    let before = caches.memory().entries;
    assert_eq!(before, 5_000);
    let knob = "capacity=1000000".parse().unwrap();
    let inverse = caches.tune("blobs", &knob).unwrap();
    let reading = &caches.namespaces()[0];
    assert!(reading.weight.get() <= 1_000_000 && reading.weight.get() > 600_000, "{:?}", reading.weight);
    assert_eq!(caches.statistics().evictions, 5_000 - caches.memory().entries);
    caches.tune("blobs", &inverse).unwrap();
    (0..5_000_u32).for_each(|id| _ = cache.set(&id, vec![0; 1_000]));
    assert_eq!(caches.memory().entries, 5_000);
}

#[test]
fn what_was_tuned_before_is_in_force_when_the_namespace_is_opened() {
    let (caches, _clock) = caches(MIB);
    let ttl = Knob::Ttl(Duration::from_millis(1_500));
    assert_eq!(caches.tune("later", &ttl), Ok(Knob::AsConfigured(KnobName::Ttl)));
    assert_eq!(caches.tune("later", &Knob::Bypass(true)), Ok(Knob::AsConfigured(KnobName::Bypass)));
    assert_eq!(caches.tuning("later"), None);
    let _cache = caches.namespace::<u8>("later");
    let tuning = caches.tuning("later").unwrap();
    assert_eq!((tuning.ttl, tuning.bypass), (Duration::from_millis(1_500), true));
    assert_eq!(tuning.tuned, [KnobName::Ttl, KnobName::Bypass]);
    assert_eq!(caches.tune("later", &Knob::AsConfigured(KnobName::Ttl)), Ok(ttl));
}

#[test]
fn changes_for_namespaces_that_never_come_are_bounded() {
    let (caches, _clock) = caches(MIB);
    let knob = Knob::Bypass(true);
    for index in 0..1_024 {
        assert!(caches.tune(&format!("never {index}"), &knob).is_ok());
    }
    assert_eq!(caches.tune("one more", &knob), Err(TuneError::TooMany(1_024)));
    caches.tune("never 7", &Knob::AsConfigured(KnobName::Bypass)).unwrap();
    assert!(caches.tune("one more", &knob).is_ok());
    assert!(matches!(caches.tune("x", &Knob::Jitter(f64::NAN)), Err(TuneError::OutOfRange { .. })));
}

#[test]
fn values_heavier_than_the_namespace_admits_are_refused() {
    let (caches, _clock) = caches(MIB);
    let max_value = Some(veritas_model::Bytes::new(1_000));
    let options = NamespaceOptions { max_value, ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<Vec<u8>>("blobs", options);
    assert!(cache.set("a", vec![0; 900]));
    assert!(!cache.set("a", vec![0; 1_001]));
    assert_eq!(cache.get("a"), None);
}
