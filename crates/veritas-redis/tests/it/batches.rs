//! Batches through both tiers: an answer for each key, one load for all that is missing.

use std::{sync::Arc, time::Duration};

use veritas_cache::NamespaceOptions;
use veritas_redis::TieredOptions;
use veritas_testkit::{Redis, VirtualClock, wait_for};

use crate::{
    nodes::{Node, exact, load},
    scene::{LONG, options},
};

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
