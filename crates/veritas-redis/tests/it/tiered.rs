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
use veritas_redis::{Codec, LeaseOptions, StoreError, TierError, TieredOptions};
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
fn a_stale_value_serves_while_one_refreshes_it() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let nodes = [(), ()].map(|()| Node::with(options(&redis.url()), Arc::new(clock.clone())));
    let caches = nodes.each_ref().map(|node| {
        let namespace = NamespaceOptions { stale: Duration::from_secs(30), ..NamespaceOptions::default() };
        // However long a busy machine lets it stand, it is not lost.
        let lease = LeaseOptions { life: LONG, ..LeaseOptions::default() };
        let options = TieredOptions { namespace, lease, ..TieredOptions::default() };
        node.tiered.namespace::<String>("t", exact(options))
    });
    assert_eq!(caches[0].get_or_load_blocking(&1, || load("old")).unwrap(), "old");
    assert_eq!(caches[1].get_or_load_blocking(&1, || load("unused")).unwrap(), "old");
    clock.advance(Duration::from_secs(25));
    // A plain look-up refreshes nothing, so that for it the value is dead, in either tier.
    assert_eq!(caches[1].get_blocking(&1), None);
    assert_eq!(caches[1].get_many_blocking(&[1]), [Ok(None)]);
    // One refreshes it; the other, asking in the middle of that, gets the old value at once.
    let refreshed = caches[0].get_or_load_blocking(&1, || {
        assert_eq!(caches[1].get_or_load_blocking(&1, || load("unused")).unwrap(), "old");
        load("new")
    });
    assert_eq!(refreshed.unwrap(), "new");
    wait_for(LONG, || caches[1].get_or_load_blocking(&1, || load("unused")).unwrap() == "new");
}

#[test]
fn what_is_due_is_handed_out_while_the_background_renews_it() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    node.caches.set_spawn(Arc::new(OnRuntime(runtime.handle().clone())));
    let namespace = NamespaceOptions { stale: Duration::from_secs(30), ..NamespaceOptions::default() };
    let options = exact(TieredOptions { namespace, ..TieredOptions::default() });
    let cache = node.tiered.namespace::<String>("t", options);
    let ask = |text: &'static str| {
        runtime.block_on(cache.get_or_refresh(&1, move || std::future::ready(load(text)))).unwrap()
    };
    assert_eq!(ask("old"), "old");
    assert_eq!(ask("unused"), "old");
    clock.advance(Duration::from_secs(25));
    assert_eq!(ask("new"), "old", "the stale one, at once");
    wait_for(LONG, || ask("unused") == "new");
    wait_for(LONG, || Node::new(&redis.url()).texts("t").get_blocking(&1).as_deref() == Some("new"));
}

struct OnRuntime(tokio::runtime::Handle);

impl veritas_cache::Spawn for OnRuntime {
    fn spawn(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.spawn(future));
    }
}

#[test]
fn batches_answer_for_each_key() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let entries = (0..1_000_u32).map(|key| (key, format!("v{key}")));
    let stored = one.texts("t").set_many_blocking(entries);
    assert!(stored.iter().all(Result::is_ok) && stored.len() == 1_000);
    let keys: Vec<u32> = (0..1_010).collect();
    let read = other.texts("t").get_many_blocking(&keys);
    for (key, answer) in keys.iter().zip(&read) {
        let expected = (*key < 1_000).then(|| format!("v{key}"));
        assert_eq!(answer, &Ok(expected), "{key}");
    }
    assert_eq!((other.counts("t").hits, other.counts("t").misses), (1_000, 10));
    let deleted = one.texts("t").delete_many_blocking(&keys);
    assert_eq!(deleted.iter().filter(|answer| **answer == Ok(true)).count(), 1_000);
    wait_for(LONG, || other.texts("t").get_many_blocking(&keys).iter().all(|answer| *answer == Ok(None)));
}

#[test]
fn a_batch_loads_all_that_is_missing_with_one_call() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    assert_eq!(one.texts("t").set_blocking(&3_u32, "redis".into()), Ok(()));
    assert_eq!(other.texts("t").set_blocking(&4_u32, "process".into()), Ok(()));
    let mut calls = Vec::new();
    let keys = [1_u32, 2, 3, 4, 5, 2];
    let loaded = other.texts("t").get_or_load_many_blocking(&keys, |missing| {
        calls.push(missing.clone());
        let values = missing.iter().map(|key| (*key != 5).then(|| format!("loaded {key}")));
        Ok::<_, std::io::Error>(values.collect())
    });
    let loaded: Vec<Option<String>> = loaded.into_iter().map(Result::unwrap).collect();
    let expected =
        [Some("loaded 1"), Some("loaded 2"), Some("redis"), Some("process"), None, Some("loaded 2")];
    assert_eq!(loaded.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    assert_eq!(calls, [[1, 2, 5]]);
    wait_for(LONG, || one.texts("t").get_blocking(&2_u32).as_deref() == Some("loaded 2"));
    let failing = |_: Vec<u32>| Err::<Vec<Option<String>>, _>(std::io::Error::other("source down"));
    let failed = other.texts("t").get_or_load_many_blocking(&[1_u32, 7], failing);
    assert_eq!(failed[0].as_ref().unwrap().as_deref(), Some("loaded 1"));
    assert!(failed[1].is_err());
}

#[test]
fn a_key_twice_in_a_batch_whose_loader_fails_is_two_errors_and_no_wait() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let failing = |_: Vec<u32>| Err::<Vec<Option<String>>, _>(std::io::Error::other("source down"));
        let failed = node.texts("t").get_or_load_many_blocking(&[7_u32, 7], failing);
        sender.send(failed.iter().all(Result::is_err)).ok();
    });
    assert_eq!(receiver.recv_timeout(LONG), Ok(true));
}

#[test]
fn a_batch_counts_each_key_once_in_redis() {
    let redis = Redis::start();
    let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
    let stale = TieredOptions {
        namespace: NamespaceOptions { stale: Duration::from_secs(30), ..NamespaceOptions::default() },
        ..TieredOptions::default()
    };
    let clock = VirtualClock::new();
    let third = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let cache = third.tiered.namespace::<String>("t", exact(stale.clone()));
    assert_eq!(cache.get_or_load_blocking(&1_u32, || load("old")).unwrap(), "old");
    assert_eq!(one.texts("t").set_blocking(&2_u32, "two".into()), Ok(()));
    drop(one);
    let reader = other.tiered.namespace::<String>("t", exact(stale));
    let loaded = reader.get_or_load_many_blocking(&[1_u32, 2, 3], |missing| {
        Ok::<_, std::io::Error>(missing.iter().map(|key| Some(key.to_string())).collect())
    });
    assert!(loaded.iter().all(Result::is_ok));
    let counts = other.counts("t");
    assert_eq!((counts.hits, counts.misses, counts.sets), (2, 1, 1));
    // A stale one is handed to the form for one key, and counted there.
    clock.advance(Duration::from_secs(25));
    let before = third.counts("t");
    third.caches.flush("t");
    let again =
        cache.get_or_load_many_blocking(&[1_u32], |_| Ok::<_, std::io::Error>(vec![Some("new".into())]));
    assert_eq!(again[0].as_ref().unwrap().as_deref(), Some("new"));
    let after = third.counts("t");
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (1, 0));
}

#[test]
fn who_needs_a_value_gets_the_error_of_its_loader_while_an_absence_is_due() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let namespace = NamespaceOptions {
        negative_ttl: Some(Duration::from_secs(5)),
        early_refresh: 10.0,
        jitter: 0.0,
        ..NamespaceOptions::default()
    };
    let options = TieredOptions { namespace, ..TieredOptions::default() };
    let cache = node.tiered.namespace::<String>("t", options);
    for key in 0..20 {
        let nothing = || {
            clock.advance(Duration::from_secs(1));
            Ok::<_, std::io::Error>(None)
        };
        // The news of a value that a script stored comes to its own process too; the next read is kept.
        wait_for(LONG, || {
            assert_eq!(cache.get_or_load_optional_blocking(&key, nothing).unwrap(), None);
            cache.local().holds(&key)
        });
        // Dear as it was, the absence is due for a renewal at once, mostly.
        let failing = || Err::<String, _>(std::io::Error::other("source down"));
        assert_eq!(cache.get_or_load_blocking(&key, failing).unwrap_err().to_string(), "source down");
        assert_eq!(cache.get_or_load_blocking(&key, || load("v")).unwrap(), "v");
        assert_eq!(cache.get_blocking(&key).as_deref(), Some("v"));
    }
}

#[test]
fn a_background_renewal_of_an_absence_never_hides_the_value_that_was_needed() {
    let redis = Redis::start();
    let clock = VirtualClock::new();
    let node = Node::with(options(&redis.url()), Arc::new(clock.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    node.caches.set_spawn(Arc::new(OnRuntime(runtime.handle().clone())));
    let namespace = NamespaceOptions {
        negative_ttl: Some(Duration::from_secs(5)),
        early_refresh: 10.0,
        jitter: 0.0,
        ..NamespaceOptions::default()
    };
    let options = TieredOptions { namespace, ..TieredOptions::default() };
    let cache = node.tiered.namespace::<String>("t", options);
    for key in 0..20 {
        let nothing = || {
            clock.advance(Duration::from_secs(1));
            Ok::<_, std::io::Error>(None)
        };
        wait_for(LONG, || {
            assert_eq!(cache.get_or_load_optional_blocking(&key, nothing).unwrap(), None);
            cache.local().holds(&key)
        });
        let ask = cache.get_or_refresh(&key, || std::future::ready(load("v")));
        assert_eq!(runtime.block_on(ask).unwrap(), "v");
        for _ in 0..5 {
            assert_eq!(cache.get_blocking(&key).as_deref(), Some("v"));
        }
    }
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
