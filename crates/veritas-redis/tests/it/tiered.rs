//! Tiered caches: what one process stores another finds, and what dies is dead in both tiers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use veritas_cache::{HeapSize, Knob, NamespaceOptions};
use veritas_model::Bytes;
use veritas_redis::{Codec, StoreError, TierError, TieredOptions};
use veritas_testkit::{Redis, VirtualClock, wait_for};

use crate::{
    nodes::{Node, exact, load},
    scene::{LONG, options},
};

#[test]
fn what_one_process_stores_another_finds() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    assert_eq!(one.texts("t").set_blocking(&("user", 7), "Ada".into()), Ok(()));
    assert_eq!(one.texts("t").get_blocking(&("user", 7)).as_deref(), Some("Ada"));
    assert_eq!(other.texts("t").get_blocking(&("user", 7)).as_deref(), Some("Ada"));
    assert_eq!((other.counts("t").hits, other.counts("t").misses), (1, 0));
    // From now on the other one has it in the process. (The news of the set itself
    // may come after the first read, and costs a second one.)
    wait_for(LONG, || {
        let read = other.counts("t");
        assert_eq!(other.texts("t").get_blocking(&("user", 7)).as_deref(), Some("Ada"));
        other.counts("t").hits == read.hits
    });
    assert_eq!(one.counts("t").sets, 1);
    assert_eq!(one.counts("t").hits, 0, "its own value is in the process");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
}

impl HeapSize for User {
    fn heap_size(&self) -> usize {
        self.name.heap_size() + self.tags.heap_size()
    }
}

#[test]
fn every_codec_brings_back_what_it_took_compressed_or_not() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    for codec in [Codec::Postcard, Codec::MessagePack] {
        for length in [1, 5_000] {
            let user = User { id: 7, name: "Ada ".repeat(length), tags: vec!["a".into(), "b".into()] };
            let options = exact(TieredOptions { codec, ..TieredOptions::default() });
            let name = format!("{codec:?}-{length}");
            let cache = one.tiered.namespace::<User>(&name, options.clone());
            assert_eq!(cache.set_blocking(&1, user.clone()), Ok(()));
            assert_eq!(other.tiered.namespace::<User>(&name, options).get_blocking(&1), Some(user));
            let bytes = one.counts(&name).bytes_out;
            assert!(bytes < 1_000, "{bytes} bytes: twenty thousand are a few hundred compressed");
        }
    }
}

#[test]
fn an_entry_in_the_process_dies_with_the_frame_that_it_came_from() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let one = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let other = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let ttl = Duration::from_secs(10);
    assert_eq!(other.texts("t").get_blocking(&2), None, "it has read the server's clock");
    assert_eq!(one.texts("t").set_with_ttl_blocking(&1, "v".into(), ttl), Ok(()));
    clock.advance(Duration::from_secs(9));
    // Read after nine of its ten seconds, it does not live for another minute.
    assert_eq!(other.texts("t").get_blocking(&1).as_deref(), Some("v"));
    // Long enough for what they read of the server's clock one after the other to differ.
    clock.advance(Duration::from_secs(6));
    assert_eq!(other.texts("t").get_blocking(&1), None);
    assert_eq!(one.texts("t").get_blocking(&1), None);
}

#[test]
fn hosts_that_disagree_about_the_time_agree_about_the_deadline() {
    let redis = Redis::start();
    let (early, late) = (VirtualClock::new(), VirtualClock::new());
    early.jump_wall(-3_600_000_000_000);
    late.jump_wall(3_600_000_000_000);
    let one = Node::with(options(&redis.url()), Arc::new(early.clone()));
    let other = Node::with(options(&redis.url()), Arc::new(late.clone()));
    let ttl = Duration::from_secs(10);
    assert_eq!(one.texts("t").set_with_ttl_blocking(&1, "v".into(), ttl), Ok(()));
    assert_eq!(other.texts("t").get_blocking(&1).as_deref(), Some("v"), "two hours ahead");
    late.advance(Duration::from_secs(11));
    assert_eq!(other.texts("t").get_blocking(&1), None);
    assert_eq!(other.texts("t").set_with_ttl_blocking(&2, "v".into(), ttl), Ok(()));
    assert!(one.texts("t").get_blocking(&2).is_none_or(|value| value == "v"));
}

#[test]
fn a_time_to_live_of_any_length_is_kept() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let cache = node.texts("t");
    assert_eq!(cache.set_blocking(&1, "old".into()), Ok(()));
    assert_eq!(cache.set_with_ttl_blocking(&1, "new".into(), Duration::ZERO), Err(StoreError::NoTime));
    assert_eq!(cache.get_blocking(&1), None, "what was there is outdated");
    assert_eq!(cache.set_with_ttl_blocking(&2, "v".into(), Duration::MAX), Ok(()));
    assert_eq!(Node::new(&redis.url()).texts("t").get_blocking(&2).as_deref(), Some("v"));
}

#[test]
fn a_load_is_stored_in_both_tiers() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    assert_eq!(one.texts("t").get_or_load_blocking(&1, || load("loaded")).unwrap(), "loaded");
    let unused = || -> Result<String, std::io::Error> { panic!("it is in redis") };
    assert_eq!(other.texts("t").get_or_load_blocking(&1, unused).unwrap(), "loaded");
    let local = other.caches.statistics().namespaces;
    assert_eq!(local[0].1.loads, 0, "what redis had is no load");
    assert_eq!(one.counts("t").sets, 1);
}

#[test]
fn a_failed_load_is_stored_nowhere_and_gives_its_lease_back() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let failing = || Err(std::io::Error::other("source down"));
    assert!(one.texts("t").get_or_load_blocking(&1, failing).is_err());
    let loaded = other.texts("t").get_or_load_blocking(&1, || load("v"));
    assert_eq!(loaded.unwrap(), "v");
    assert_eq!(one.texts("t").get_or_load_blocking(&1, || load("w")).unwrap(), "v");
}

#[test]
fn that_there_is_nothing_is_remembered_in_both_tiers_for_its_own_time() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let nodes = [(), ()].map(|()| Node::with(options(&redis.url()), Arc::new(clock.clone())));
    let caches = nodes.each_ref().map(|node| {
        let namespace =
            NamespaceOptions { negative_ttl: Some(Duration::from_secs(5)), ..NamespaceOptions::default() };
        node.tiered.namespace::<String>("t", exact(TieredOptions { namespace, ..TieredOptions::default() }))
    });
    let loads = AtomicU32::new(0);
    let nothing = || {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(None)
    };
    for _ in 0..2 {
        for cache in &caches {
            assert_eq!(cache.get_or_load_optional_blocking(&1, nothing).unwrap(), None);
        }
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    clock.advance(Duration::from_secs(6));
    assert_eq!(caches[1].get_or_load_optional_blocking(&1, nothing).unwrap(), None);
    assert_eq!(loads.load(Ordering::Relaxed), 2);
    // Who needs a value is not content with that.
    assert_eq!(caches[0].get_or_load_blocking(&1, || load("v")).unwrap(), "v");
    wait_for(LONG, || caches[1].get_blocking(&1).as_deref() == Some("v"));
}

#[test]
fn a_set_or_delete_is_read_at_once_here_and_soon_elsewhere() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let (mine, theirs) = (one.texts("t"), other.texts("t"));
    for turn in 0..200 {
        let value = format!("v{turn}");
        assert_eq!(mine.set_blocking(&1, value.clone()), Ok(()));
        assert_eq!(mine.get_blocking(&1).as_ref(), Some(&value));
        wait_for(LONG, || theirs.get_blocking(&1).as_ref() == Some(&value));
        if turn % 10 == 9 {
            assert_eq!(mine.delete_blocking(&1), Ok(true));
            assert_eq!(mine.get_blocking(&1), None);
            wait_for(LONG, || theirs.get_blocking(&1).is_none());
        }
    }
    assert!(other.counts("t").invalidations > 0);
}

#[test]
fn keys_too_long_to_stand_in_redis_are_invalidated_like_others() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let (long, bystander) = ("x".repeat(500), "y".repeat(500));
    for key in [&long, &bystander] {
        assert_eq!(one.texts("t").set_blocking(key.as_str(), "old".into()), Ok(()));
        assert_eq!(other.texts("t").get_blocking(key.as_str()).as_deref(), Some("old"));
    }
    assert_eq!(one.texts("t").set_blocking(long.as_str(), "new".into()), Ok(()));
    wait_for(LONG, || other.texts("t").get_blocking(long.as_str()).as_deref() == Some("new"));
    // Read once more where the news of its own set came with the answer, it is kept from then on.
    wait_for(LONG, || {
        let read = other.counts("t");
        assert_eq!(other.texts("t").get_blocking(bystander.as_str()).as_deref(), Some("old"));
        other.counts("t") == read
    });
}

#[test]
fn a_tag_dies_in_every_process_and_in_redis_with_one_write() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let (mine, theirs) = (one.texts("t"), other.texts("t"));
    assert_eq!(mine.set_tagged_blocking(&1, "a".into(), &["users", "admins"]), Ok(()));
    assert_eq!(mine.set_tagged_blocking(&2, "b".into(), &["groups"]), Ok(()));
    let tagged = theirs.get_or_load_tagged_blocking(&3, &["users"], || load("c"));
    assert_eq!(tagged.unwrap(), "c");
    for cache in [&mine, &theirs] {
        for (key, value) in [(1, "a"), (2, "b"), (3, "c")] {
            assert_eq!(cache.get_blocking(&key).as_deref(), Some(value));
        }
    }
    assert_eq!(mine.invalidate_tag_blocking("users"), Ok(()));
    assert_eq!([1, 2, 3].map(|key| mine.get_blocking(&key).is_some()), [false, true, false]);
    wait_for(LONG, || [1, 2, 3].map(|key| theirs.get_blocking(&key).is_some()) == [false, true, false]);
    // Nor does a process that starts now believe them.
    let third = Node::new(&redis.url()).texts("t");
    assert_eq!([1, 2, 3].map(|key| third.get_blocking(&key).is_some()), [false, true, false]);
    // What is stored from now on lives.
    assert_eq!(mine.set_tagged_blocking(&1, "new".into(), &["users"]), Ok(()));
    wait_for(LONG, || theirs.get_blocking(&1).as_deref() == Some("new"));
}

#[test]
fn a_cleared_namespace_is_empty_everywhere_and_others_are_not() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    for name in ["t", "u"] {
        for key in 0..50 {
            assert_eq!(one.texts(name).set_blocking(&key, "v".into()), Ok(()));
            assert!(other.texts(name).get_blocking(&key).is_some());
        }
    }
    assert_eq!(one.texts("t").clear_blocking(), Ok(()));
    assert!((0..50).all(|key| one.texts("t").get_blocking(&key).is_none()));
    wait_for(LONG, || (0..50).all(|key| other.texts("t").get_blocking(&key).is_none()));
    assert!((0..50).all(|key| other.texts("u").get_blocking(&key).is_some()));
    assert_eq!(one.texts("t").set_blocking(&1, "new".into()), Ok(()));
    wait_for(LONG, || other.texts("t").get_blocking(&1).as_deref() == Some("new"));
    // What is dead in Redis does not stand in the way of a load, one by one or many at once.
    assert_eq!(one.texts("t").get_or_load_blocking(&2, || load("loaded")).unwrap(), "loaded");
    let many = one.texts("t").get_or_load_many_blocking(&[3, 4], |missing| {
        Ok::<_, std::io::Error>(missing.iter().map(|key| Some(key.to_string())).collect())
    });
    assert!(many.iter().all(Result::is_ok));
    let third = Node::new(&redis.url()).texts("t");
    assert_eq!(
        [2, 3, 4].map(|key| third.get_blocking(&key)),
        ["loaded", "3", "4"].map(|v| Some(v.to_owned()))
    );
    assert_eq!(one.counts("t").lease_waits, 0);
}

#[test]
fn a_load_that_a_delete_overtook_is_stored_nowhere() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    for (who, deleter) in [("peer", &other), ("itself", &one)] {
        let cache = one.texts("t");
        let loaded = cache.get_or_load_blocking(&1, || {
            // The source changes and the key is deleted while the old value is on its way.
            assert!(deleter.texts("t").delete_blocking(&1).is_ok());
            load("old")
        });
        assert_eq!(loaded.unwrap(), "old");
        let third = Node::new(&redis.url());
        assert_eq!(third.texts("t").get_blocking(&1), None, "deleted by {who}");
        assert_eq!(cache.get_blocking(&1), None, "deleted by {who}");
    }
}

#[test]
fn a_load_that_a_tag_overtook_is_dead_on_arrival() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let loaded = one.texts("t").get_or_load_tagged_blocking(&1, &["users"], || {
        assert_eq!(other.texts("t").invalidate_tag_blocking("users"), Ok(()));
        load("old")
    });
    assert_eq!(loaded.unwrap(), "old");
    wait_for(LONG, || one.texts("t").get_blocking(&1).is_none());
    assert_eq!(other.texts("t").get_blocking(&1), None);
}

#[test]
fn a_value_over_the_limit_is_refused_counted_and_replaces_what_was_there() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let namespace = NamespaceOptions { max_value: Some(Bytes::new(1_000)), ..NamespaceOptions::default() };
    let options = exact(TieredOptions { namespace, ..TieredOptions::default() });
    let cache = node.tiered.namespace::<String>("t", options.clone());
    assert_eq!(cache.set_blocking(&1, "small".into()), Ok(()));
    assert_eq!(cache.set_blocking(&1, "x".repeat(1_001)), Err(StoreError::TooLarge));
    assert_eq!((node.counts("t").sets, node.counts("t").refused), (1, 1));
    let other = Node::new(&redis.url());
    assert_eq!(other.tiered.namespace::<String>("t", options).get_blocking(&1), None);
    let several = cache.set_many_blocking([(1, "a".to_owned()), (2, "x".repeat(2_000)), (3, "c".into())]);
    assert_eq!(several, [Ok(()), Err(StoreError::TooLarge), Ok(())], "each by itself");
}

#[test]
fn another_schema_is_another_set_of_entries() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let of_schema = |schema| {
        let namespace = NamespaceOptions { schema, ..NamespaceOptions::default() };
        exact(TieredOptions { namespace, ..TieredOptions::default() })
    };
    assert_eq!(node.tiered.namespace::<String>("t", of_schema(1)).set_blocking(&1, "text".into()), Ok(()));
    let other = Node::new(&redis.url());
    assert_eq!(other.tiered.namespace::<u64>("t", of_schema(2)).get_blocking(&1), None);
    assert_eq!(other.counts("t").corrupted, 0);
    // The same schema for another type is a mistake that is seen, and costs the entry.
    assert_eq!(other.tiered.namespace::<User>("t", of_schema(1)).get_blocking(&1), None);
    assert_eq!(other.counts("t").corrupted, 1);
}

#[test]
fn namespaces_beyond_the_limit_are_counted_together_and_live_briefly_in_the_process() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let [one, other] = [(), ()].map(|()| Node::with(options(&redis.url()), Arc::new(clock.clone())));
    for number in 0..4_097 {
        drop(other.texts(&format!("n{number}")));
    }
    let (mine, theirs) = (one.texts("n4096"), other.texts("n4096"));
    assert_eq!(mine.set_blocking(&1, "old".into()), Ok(()));
    assert_eq!(theirs.get_blocking(&1).as_deref(), Some("old"));
    assert_eq!(mine.set_blocking(&1, "new".into()), Ok(()));
    clock.advance(Duration::from_millis(1_001));
    assert_eq!(theirs.get_blocking(&1).as_deref(), Some("new"), "not told, it asks again");
    assert_eq!(mine.clear_blocking(), Ok(()));
    clock.advance(Duration::from_millis(1_001));
    assert_eq!(theirs.get_blocking(&1), None);
    assert_eq!(theirs.set_blocking(&2, "v".into()), Ok(()));
    assert_eq!(mine.get_blocking(&2).as_deref(), Some("v"));
    let statistics = other.caches.tiers()[0].statistics();
    assert_eq!(statistics.namespaces.len(), 4_097);
    assert_eq!(other.counts(veritas_cache::OVERFLOW).hits, 2);
    other.caches.tiers()[0].reset_statistics();
    assert_eq!(other.counts(veritas_cache::OVERFLOW).hits, 0);
}

#[test]
fn a_bypassed_namespace_asks_nobody() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let cache = node.texts("t");
    assert_eq!(cache.set_blocking(&1, "v".into()), Ok(()));
    node.caches.tune("t", &Knob::Bypass(true)).unwrap();
    assert_eq!(cache.get_blocking(&1), None);
    assert_eq!(cache.get_or_load_blocking(&1, || load("loaded")).unwrap(), "loaded");
    assert_eq!(cache.get_or_load_blocking(&1, || load("again")).unwrap(), "again");
    assert_eq!(cache.set_blocking(&1, "new".into()), Err(StoreError::NoTime));
    node.caches.tune("t", &Knob::Bypass(false)).unwrap();
    assert_eq!(cache.get_blocking(&1), None, "what was there when it was set is outdated");
}

#[test]
fn without_a_server_nothing_fails_and_each_process_loads_once() {
    let redis = Redis::start();
    let url = redis.url();
    drop(redis);
    // Its clock stands: what serves for a moment does so to the end.
    let node = Node::unconnected(options(&url), Arc::new(VirtualClock::new()));
    let cache = node.texts("t");
    assert_eq!(cache.get_blocking(&1), None);
    let loads = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let loaded = cache.get_or_load_blocking(&1, || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    load("v")
                });
                assert_eq!(loaded.unwrap(), "v");
            });
        }
    });
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    assert!(matches!(cache.set_blocking(&2, "w".into()), Err(StoreError::Tier(_))));
    assert_eq!(cache.get_blocking(&2).as_deref(), Some("w"), "it serves here for a moment");
    assert!(cache.delete_blocking(&2).is_err());
    assert_eq!(cache.get_blocking(&2), None);
    assert!(cache.clear_blocking().is_err() && cache.invalidate_tag_blocking("x").is_err());
    assert!(matches!(
        cache.get_many_blocking(&[1, 3])[1],
        Err(TierError::Unavailable | TierError::Disconnected)
    ));
    let many = cache.get_or_load_many_blocking(&[5, 6], |missing| {
        Ok::<_, std::io::Error>(missing.iter().map(|key| Some(key.to_string())).collect())
    });
    assert_eq!(many[1].as_ref().unwrap().as_deref(), Some("6"));
}

#[test]
fn futures_may_be_sent_between_threads() {
    fn sendable<T: Send>(_: T) {}
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let cache = node.texts("t");
    sendable(cache.get(&1));
    sendable(cache.set(&1, String::new()));
    sendable(cache.delete(&1));
    sendable(cache.get_or_load(&1, || async { load("v") }));
    sendable(cache.get_many(&[1]));
    sendable(cache.clear());
}
