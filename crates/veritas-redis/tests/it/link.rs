//! One server: what is written is read, and every key has its own outcome.

use std::{sync::Arc, time::Duration};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{RedisTier, SetEntry, TierError};
use veritas_testkit::{Redis, wait_for};

use crate::scene::{Held, LONG, connected, entry, options};

#[test]
fn what_is_written_is_read_until_it_is_removed() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(None));
    assert_eq!(tier.set_blocking(entry("veritas:a", "one")), Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"one".to_vec())));
    assert_eq!(tier.delete_blocking(b"veritas:a"), Ok(true));
    assert_eq!(tier.delete_blocking(b"veritas:a"), Ok(false));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(None));
    let counters = tier.counters();
    assert_eq!((counters.hits, counters.misses, counters.sets, counters.deletes), (1, 2, 1, 1));
    assert_eq!((counters.bytes_in, counters.bytes_out, counters.errors), (3, 3, 0));
}

#[test]
fn a_large_batch_keeps_its_order_and_any_bytes() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let keys: Vec<Vec<u8>> =
        (0..3_000_u32).map(|n| [b"veritas:\0\r\n", &n.to_be_bytes()[..]].concat()).collect();
    let values: Vec<Vec<u8>> = (0..3_000_u32).map(|n| vec![b'v'; n as usize % 700]).collect();
    let entries: Vec<_> =
        keys.iter().zip(&values).map(|(key, value)| SetEntry { key, value, ttl: None }).collect();
    assert!(tier.set_many_blocking(&entries).iter().all(Result::is_ok));
    let read = tier.get_many_blocking(&keys);
    assert!(read.iter().zip(&values).all(|(read, value)| read.as_ref() == Ok(&Some(value.clone()))));
    let removed = tier.delete_many_blocking(&keys[..2_000]);
    assert!(removed.iter().all(|removed| *removed == Ok(true)));
    assert_eq!(redis.cli(&["DBSIZE"]), "1000\n");
}

#[test]
fn a_life_is_kept_and_a_life_of_nothing_removes() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let set = |ttl| tier.set_blocking(SetEntry { key: b"veritas:a", value: b"v", ttl });
    assert_eq!(set(Some(Duration::from_micros(59_999_001))), Ok(()));
    let left: i64 = redis.cli(&["PTTL", "veritas:a"]).trim().parse().unwrap();
    assert!((50_000..=60_000).contains(&left), "{left}");
    for for_ever in [None, Some(Duration::MAX)] {
        assert_eq!(set(for_ever), Ok(()));
        assert_eq!(redis.cli(&["PTTL", "veritas:a"]), "-1\n");
    }
    assert_eq!(set(Some(Duration::ZERO)), Ok(()));
    assert_eq!(redis.cli(&["EXISTS", "veritas:a"]), "0\n");
}

#[test]
fn every_key_has_its_own_outcome() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~veritas:allowed*", "&*", "+@all"]);
    let url = format!("{}?user=app&pass=pass", redis.url());
    let tier = connected(options(&url));
    let outcomes = tier.set_many_blocking(&[
        entry("veritas:allowed1", "a"),
        entry("veritas:other", "b"),
        entry("veritas:allowed2", "c"),
    ]);
    assert_eq!(outcomes, [Ok(()), Err(TierError::Forbidden), Ok(())]);
    assert_eq!(tier.get_blocking(b"veritas:other"), Err(TierError::Forbidden));
    // The server refuses all keys of an MGET for the sake of one.
    let read = tier.get_many_blocking(&["veritas:allowed1", "veritas:other", "veritas:allowed3"]);
    assert_eq!(read, [Ok(Some(b"a".to_vec())), Err(TierError::Forbidden), Ok(None)]);
    assert_eq!(tier.counters().errors, 3);
}

#[test]
fn a_wrong_password_is_a_degraded_tier_that_shows_no_password() {
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let tier = RedisTier::connect(
        options(&format!("{}?pass=wrong-secret", redis.url())),
        Arc::new(SystemClock::new()),
    )
    .unwrap();
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    wait_for(LONG, || {
        let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
        assert!(!reason.contains("wrong-secret"), "{reason}");
        reason.contains("AuthenticationFailed") || reason.contains("password")
    });
}

#[test]
fn a_database_number_is_honoured() {
    let redis = Redis::start();
    let tier = connected(options(&format!("{}?db=3", redis.url())));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert_eq!(redis.cli(&["-n", "3", "EXISTS", "veritas:a"]), "1\n");
}

#[test]
fn concurrent_gets_travel_together() {
    let redis = Redis::start();
    let mut patient = options(&redis.url());
    patient.deadline = 6 * LONG;
    let tier = connected(patient);
    // As long as the server is held, they come together.
    let held = Held::stop(&redis);
    let keys: Vec<_> = (0..2_000).map(|number| format!("veritas:{number}")).collect();
    let mut gets: Vec<_> = keys.iter().map(|key| Box::pin(tier.get(key.as_bytes()))).collect();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(gets.iter_mut().all(|get| get.as_mut().poll(&mut context).is_pending()));
    drop(held);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for get in gets {
            assert_eq!(get.await, Ok(None));
        }
    });
    // Eight that went ahead, and the others 512 at a time, of which some were taken up late.
    let trips = tier.counters().read_trips;
    assert!(trips <= 20, "{trips} round trips for 2000 gets");
}

#[test]
fn the_last_handle_ends_the_thread_and_the_connection() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let clone = tier.clone();
    drop(tier);
    assert_eq!(clone.set_blocking(entry("veritas:a", "v")), Ok(()));
    drop(clone);
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 1);
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let redis = Redis::start();
    let mut small = options(&redis.url());
    small.queue = 1;
    // However long the server is held, its answer is waited for.
    small.deadline = 6 * LONG;
    let tier = connected(small);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let held = Held::stop(&redis);
        let mut first = Box::pin(tier.get(b"veritas:a"));
        let nobody = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(nobody);
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert_eq!(tier.get(b"veritas:b").await, Err(TierError::Full));
        drop(held);
        assert_eq!(first.await, Ok(None));
        assert_eq!(tier.get(b"veritas:b").await, Ok(None));
        // A batch of many chunks waits for its own part instead of failing.
        let keys = vec![b"veritas:c"; 2_000];
        assert!(tier.get_many(&keys).await.iter().all(|read| *read == Ok(None)));
    });
    assert_eq!(tier.counters().full, 1);
}

#[test]
fn an_application_s_own_connection_serves_too() {
    let redis = Redis::start();
    let client = redis::Client::open(redis.url()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connection = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let tier =
        RedisTier::over_connection(connection, options(&redis.url()), Arc::new(SystemClock::new())).unwrap();
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"v".to_vec())));
    assert!(!tier.is_coherent());
    assert!(matches!(tier.condition(), Condition::Degraded(reason) if reason.contains("does not tell")));
}

#[test]
fn an_application_s_client_is_enough() {
    let redis = Redis::start();
    let client = redis::Client::open(redis.url()).unwrap();
    let tier =
        RedisTier::from_client(&client, options("redis://nowhere.invalid"), Arc::new(SystemClock::new()))
            .unwrap();
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    wait_for(LONG, || tier.is_coherent());
}

#[test]
fn scanning_sees_every_key_below_its_prefix_and_no_other() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    let keys: Vec<_> = (0..500).map(|n| format!("veritas:[a]:{n}")).collect();
    let entries: Vec<_> = keys.iter().map(|key| entry(key, "v")).chain([entry("veritas:a:1", "v")]).collect();
    assert!(tier.set_many_blocking(&entries).iter().all(Result::is_ok));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = Some(veritas_redis::ScanCursor::default());
    while let Some(from) = cursor {
        let page = runtime.block_on(tier.scan(b"veritas:[a]:", from, 50)).unwrap();
        seen.extend(page.keys);
        cursor = page.next.map(|next| next.to_string().parse().unwrap());
    }
    assert_eq!(seen.len(), 500);
    let usages = runtime.block_on(tier.memory_usage(&["veritas:[a]:1", "veritas:gone"], 5));
    assert!(matches!(usages[0], Ok(Some(40..=200))), "{usages:?}");
    assert_eq!(usages[1], Ok(None));
    assert_eq!(runtime.block_on(tier.increment(b"veritas:n", Some(LONG))), Ok(1));
    assert_eq!(runtime.block_on(tier.increment(b"veritas:n", None)), Ok(2));
}

#[test]
fn a_write_whose_caller_gave_up_happens_and_holds_nobody_up() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    for number in 0..2_000 {
        let key = format!("veritas:{number}");
        let nobody = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(nobody);
        let mut set = Box::pin(tier.set(entry(&key, "v")));
        // Polled once, so that it is begun, and dropped.
        let begun = set.as_mut().poll(&mut context);
        drop(set);
        let mut get = Box::pin(tier.get(key.as_bytes()));
        let abandoned = get.as_mut().poll(&mut context);
        drop((begun, get, abandoned));
    }
    assert_eq!(tier.get_blocking(b"veritas:x"), Ok(None));
    wait_for(LONG, || redis.cli(&["DBSIZE"]) == "2000\n");
}

#[test]
fn a_forbidden_key_spoils_no_other_caller_s_keys() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~veritas:allowed*", "&*", "+@all"]);
    redis.cli(&["SET", "veritas:allowed", "v"]);
    let tier = connected(options(&format!("{}?user=app&pass=pass", redis.url())));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcomes = runtime.block_on(async {
        let mut gets = tokio::task::JoinSet::new();
        for number in 0..200 {
            let tier = tier.clone();
            let key: &[u8] = if number % 2 == 0 { b"veritas:allowed" } else { b"veritas:other" };
            gets.spawn(async move { (number % 2 == 0, tier.get(key).await) });
        }
        gets.join_all().await
    });
    for (allowed, outcome) in outcomes {
        let expected = if allowed { Ok(Some(b"v".to_vec())) } else { Err(TierError::Forbidden) };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn a_user_who_may_only_read_and_write_is_enough() {
    let redis = Redis::start();
    let few = ["+get", "+mget", "+set", "+psetex", "+unlink", "+eval"];
    redis.cli(&[&["ACL", "SETUSER", "app", "on", ">pass", "~veritas:*", "-@all"][..], &few].concat());
    let url = format!("{}?user=app&pass=pass", redis.url());
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "v")) == Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"v".to_vec())));
    assert!(!tier.is_coherent());
    let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
    assert!(reason.contains("CLIENT TRACKING was refused"), "{reason}");
    // The same user, allowed to hear of changes.
    redis.cli(&["ACL", "SETUSER", "app", "+client"]);
    redis.cli(&["CLIENT", "KILL", "USER", "app"]);
    wait_for(LONG, || tier.is_coherent());
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_user_with_the_documented_rights_has_all_that_tiered_caches_do() {
    let redis = Redis::start();
    let rights = [
        "+get",
        "+mget",
        "+set",
        "+psetex",
        "+unlink",
        "+eval",
        "+getrange",
        "+pexpire",
        "+del",
        "+strlen",
        "+time",
        "+client",
        "+ping",
        "+info",
    ];
    redis.cli(&[&["ACL", "SETUSER", "app", "on", ">pass", "~veritas:*", "-@all"][..], &rights].concat());
    let url = format!("{}?user=app&pass=pass", redis.url());
    let node = crate::nodes::Node::new(&url);
    let cache = node.texts("t");
    assert_eq!(cache.set_tagged_blocking(&1, "v".into(), &["tag"]), Ok(()));
    let load = || Ok::<_, std::io::Error>("loaded".to_owned());
    assert_eq!(cache.get_or_load_blocking(&2, load).unwrap(), "loaded");
    assert_eq!(cache.delete_blocking(&1), Ok(true));
    assert_eq!(cache.invalidate_tag_blocking("tag"), Ok(()));
    assert_eq!(cache.clear_blocking(), Ok(()));
    // What is dead in Redis is replaced by a script as well.
    assert_eq!(cache.get_or_load_blocking(&2, load).unwrap(), "loaded");
    assert!(node.tiered.redis().is_coherent());
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() <= 2);
    let denied = redis.cli(&["ACL", "LOG"]);
    assert!(denied.trim().is_empty(), "{denied}");
    assert_eq!(node.tiered.redis().counters().errors, 0);
}

#[test]
fn a_server_that_does_not_tell_the_time_is_asked_once() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-time"]);
    let node = crate::nodes::Node::new(&format!("{}?user=app&pass=pass", redis.url()));
    assert_eq!(node.texts("t").set_blocking(&1, "v".into()), Ok(()));
    for key in 2..20 {
        assert_eq!(node.texts("t").get_blocking(&key), None);
    }
    assert_eq!(node.tiered.redis().counters().errors, 1);
}
