//! Time to live, on a clock that the test moves.

use std::time::Duration;

use veritas_cache::NamespaceOptions;

use crate::{MIB, caches};

#[test]
fn an_entry_dies_exactly_at_its_deadline() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes");
    cache.set_with_ttl("a", 1, Duration::from_secs(5));
    clock.advance(Duration::from_nanos(4_999_999_999));
    assert_eq!(cache.get("a"), Some(1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.get("a"), None);
    let statistics = caches.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.expirations), (1, 1, 1));
    assert_eq!(caches.memory().entries, 0, "the dead are removed when they are seen");
}

#[test]
fn an_entry_lives_five_minutes_when_nobody_says_otherwise() {
    let (caches, clock) = caches(MIB);
    let options = NamespaceOptions { jitter: 0.0, ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<u8>("bytes", options);
    cache.set("a", 1);
    clock.advance(Duration::from_secs(299));
    assert_eq!(cache.get("a"), Some(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get("a"), None);
}

#[test]
fn jitter_spreads_the_deaths_of_what_was_stored_together_and_only_ever_shortens() {
    let (caches, clock) = caches(MIB);
    let options = NamespaceOptions { jitter: 0.2, ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<u32>("numbers", options);
    cache.set_many((0..1_000).map(|id| (id, id)));
    let alive = || (0..1_000_u32).filter(|id| cache.get(id).is_some()).count();
    clock.advance(Duration::from_secs(239));
    assert_eq!(alive(), 1_000);
    clock.advance(Duration::from_secs(31));
    let half = alive();
    assert!((400..600).contains(&half), "{half}");
    // The same keys die first each time.
    let first: Vec<u32> = (0..1_000).filter(|id| cache.get(id).is_none()).collect();
    caches.flush("numbers");
    cache.set_many((0..1_000).map(|id| (id, id)));
    clock.advance(Duration::from_secs(270));
    assert!((0..1_000).filter(|id| cache.get(id).is_none()).eq(first));
    clock.advance(Duration::from_secs(30));
    assert_eq!(alive(), 0);
}

#[test]
fn no_time_to_live_is_not_stored() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes").with_ttl(Duration::ZERO);
    assert!(!cache.set("a", 1));
    assert_eq!(cache.get_or_compute("a", || 2), 2);
    assert_eq!(cache.get("a"), None);
    assert_eq!(caches.statistics().sets, 0);
}

#[test]
fn a_huge_time_to_live_is_for_ever() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes").with_ttl(Duration::MAX);
    cache.set("a", 1);
    clock.advance(Duration::from_hours(24 * 365 * 500));
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn the_wall_clock_does_not_matter() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes");
    cache.set("a", 1);
    clock.jump_wall(i64::MAX / 2);
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn a_deleted_corpse_expired_and_was_not_deleted() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<u8>("bytes");
    cache.set("a", 1);
    clock.advance(Duration::from_mins(5));
    assert!(!cache.delete("a"));
    let statistics = caches.statistics();
    assert_eq!((statistics.deletes, statistics.expirations), (0, 1));
}
