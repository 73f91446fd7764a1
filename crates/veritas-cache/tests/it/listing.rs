//! Listing: the keys of a namespace, whatever happens to it meanwhile.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc, time::Duration};

use veritas_cache::{CacheOptions, Caches, KeyReading, ListError, MAX_PREVIEW};
use veritas_testkit::VirtualClock;

use crate::{MIB, caches};

/// Walks through all pages; `between` is called after each.
fn walk(caches: &Caches, name: &str, limit: usize, mut between: impl FnMut()) -> Vec<KeyReading> {
    let (mut keys, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = caches.keys(name, cursor.as_deref(), limit).expect("the cursor is of a page");
        assert!(page.keys.len() <= limit);
        keys.extend(page.keys);
        between();
        cursor = page.next;
        if cursor.is_none() {
            return keys;
        }
    }
}

#[test]
fn every_key_is_listed_once_in_pages_of_any_size() {
    let (caches, _clock) = caches(64 * MIB);
    let cache = caches.namespace::<String>("texts");
    cache.set_many((0..2_500_u32).map(|id| (("user", id), "x".repeat(10))));
    let expected: BTreeSet<String> = (0..2_500).map(|id| format!("(\"user\", {id})")).collect();
    for limit in [1, 7, 1_000, 5_000] {
        let limit = if limit == 1 { 100 } else { limit };
        let keys = walk(&caches, "texts", limit.min(1_000), || ());
        assert_eq!(keys.len(), 2_500);
        assert_eq!(keys.into_iter().map(|key| key.key).collect::<BTreeSet<_>>(), expected);
    }
    assert_eq!(caches.keys("texts", None, 1).unwrap().keys.len(), 1);
    assert_eq!(caches.keys("texts", None, 0).unwrap().keys.len(), 1, "a page has one key at least");
    assert_eq!(caches.keys("texts", None, usize::MAX).unwrap().keys.len(), 1_000);
}

#[test]
fn what_is_there_all_the_time_is_seen_whatever_comes_and_goes() {
    let (caches, _clock) = caches(64 * MIB);
    let cache = caches.namespace::<u32>("numbers");
    cache.set_many((0..20_000_u32).map(|id| (id, id)));
    let mut turn = 0_u32;
    let keys = walk(&caches, "numbers", 500, || {
        // The even ones stay; odd ones go, and others come.
        for id in (turn * 400..(turn + 1) * 400).filter(|id| id % 2 == 1) {
            cache.delete(&id);
            cache.set(&(1_000_000 + id), id);
        }
        turn += 1;
    });
    let seen: BTreeSet<&str> = keys.iter().map(|key| key.key.as_str()).collect();
    assert_eq!(seen.len(), keys.len(), "nothing is seen twice");
    assert!((0..20_000).step_by(2).all(|id: u32| seen.contains(id.to_string().as_str())));
}

#[test]
fn writers_at_work_hide_nothing_that_stays() {
    let (caches, _clock) = caches(64 * MIB);
    let cache = caches.namespace::<u32>("numbers");
    cache.set_many((0..30_000_u32).map(|id| (id, id)));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut id = 100_000;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                cache.set(&id, id);
                cache.delete(&(id - 50));
                id += 1;
            }
        });
        for _ in 0..3 {
            let seen: BTreeSet<String> =
                walk(&caches, "numbers", 1_000, || ()).into_iter().map(|key| key.key).collect();
            let missing = (0..30_000).filter(|id: &u32| !seen.contains(&id.to_string())).count();
            done.store(missing > 0, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(missing, 0);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_dead_are_not_listed_and_the_living_tell_their_time_and_size() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    cache.set_with_ttl("short", vec![0; 1_000], Duration::from_secs(5));
    cache.set_with_ttl("long", vec![0; 1_000], Duration::from_secs(15));
    cache.set_with_ttl("endless", vec![0; 1_000], Duration::MAX);
    clock.advance(Duration::from_secs(5));
    let mut keys = walk(&caches, "blobs", 10, || ());
    keys.sort_by(|one, other| one.key.cmp(&other.key));
    let told: Vec<_> = keys.iter().map(|key| (key.key.as_str(), key.expires_in)).collect();
    assert_eq!(told, [("\"endless\"", None), ("\"long\"", Some(Duration::from_secs(10)))]);
    assert!(keys.iter().all(|key| (1_000..1_100).contains(&key.bytes) && key.preview.is_none()));
}

#[test]
fn values_are_shown_only_where_it_was_said_how() {
    let (caches, _clock) = caches(MIB);
    let secrets = caches.namespace::<String>("secrets");
    let texts = caches.namespace::<String>("texts").with_preview(|text| text.to_uppercase());
    secrets.set("a", "x".into());
    texts.set("a", "ü".repeat(1_000));
    assert_eq!(caches.keys("secrets", None, 10).unwrap().keys[0].preview, None);
    assert_eq!(caches.keys("texts", None, 10).unwrap().keys[0].preview, Some("Ü".repeat(MAX_PREVIEW)));
}

#[test]
fn two_types_under_one_name_are_both_listed() {
    let (caches, _clock) = caches(MIB);
    let (numbers, texts) = (caches.namespace::<u64>("mixed"), caches.namespace::<String>("mixed"));
    for id in 0..50_u32 {
        numbers.set(&id, 1);
        texts.set(&id, "x".into());
    }
    for limit in [1, 7, 50, 100, 1_000] {
        assert_eq!(walk(&caches, "mixed", limit, || ()).len(), 100, "{limit}");
    }
}

#[test]
fn namespaces_that_share_a_table_are_listed_apart() {
    let options = CacheOptions { max_namespaces: NonZeroUsize::MIN, ..CacheOptions::default() };
    let caches = Caches::new(options, Arc::new(VirtualClock::new()));
    for (name, id) in [("first", 1), ("second", 2), ("third", 3), ("thir", 4)] {
        caches.namespace::<u32>(name).set(&id, id);
    }
    for (name, id) in [("first", "1"), ("second", "2"), ("third", "3"), ("thir", "4")] {
        let keys = walk(&caches, name, 10, || ());
        assert_eq!(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), [id], "{name}");
    }
    let encoded = caches.namespace::<u32>("third").encoded_key(&3);
    assert!(caches.invalidate("third", &encoded) && !caches.invalidate("second", &encoded));
    assert_eq!(caches.namespace::<u32>("third").get(&3), None);
    assert_eq!(caches.namespace::<u32>("second").get(&2), Some(2));
}

#[test]
fn what_is_no_cursor_is_refused() {
    let (caches, _clock) = caches(MIB);
    caches.namespace::<u32>("numbers");
    for cursor in
        ["", "-", "0", "0-", "x-0000000000000000", "0-000000000000000g", "+1-0000000000000000", "0-00"]
    {
        assert_eq!(caches.keys("numbers", Some(cursor), 10), Err(ListError::BadCursor), "{cursor:?}");
    }
    assert_eq!(caches.keys("none", None, 10), Err(ListError::UnknownNamespace));
    let beyond = caches.keys("numbers", Some("ffffffffffffffff-ffffffffffffffff"), 10).unwrap();
    assert_eq!((beyond.keys.len(), beyond.next), (0, None));
}

#[test]
fn a_flush_and_an_invalidation_are_neither_deletes_nor_evictions() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    cache.set_many((0..10).map(|id| (id, id)));
    assert!(caches.invalidate("numbers", &cache.encoded_key(&3)));
    assert!(!caches.invalidate("numbers", &cache.encoded_key(&3)));
    assert_eq!(cache.get(&3), None);
    caches.flush("numbers");
    assert_eq!(cache.get(&4), None);
    assert_eq!(caches.keys("numbers", None, 10).unwrap().keys, []);
    assert_eq!(caches.purge_expired(), 0);
    let statistics = caches.statistics();
    assert_eq!((statistics.invalidations, statistics.deletes, statistics.evictions), (10, 0, 0));
    assert_eq!(caches.memory().entries, 0);
    cache.set(&4, 5);
    assert_eq!(cache.get(&4), Some(5), "what is stored after the flush lives");
}
