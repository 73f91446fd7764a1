//! The cluster: keys find their nodes, and find them again when slots move and nodes die.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use veritas_redis::{Invalidation, RedisOptions, RedisTier, ScanCursor, SetEntry, TierError};
use veritas_testkit::{Fault, RedisCluster, wait_for};

use crate::scene::{LONG, connected, entry, options};

fn url(cluster: &RedisCluster) -> String {
    let addresses: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    format!("redis-cluster://{}", addresses.join(","))
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("veritas:{number}")).collect()
}

fn write_all(tier: &RedisTier, keys: &[String]) {
    let entries: Vec<_> = keys.iter().map(|key| entry(key, key)).collect();
    let outcomes = tier.set_many_blocking(&entries);
    assert!(outcomes.iter().all(Result::is_ok), "{:?}", outcomes.iter().find(|outcome| outcome.is_err()));
}

/// Returns a key of the node.
fn key_of(cluster: &RedisCluster, node: usize) -> String {
    keys(100).into_iter().find(|key| cluster.owner_of(cluster.slot_of(key)) == node).unwrap()
}

#[test]
fn a_batch_is_split_by_node_and_answered_in_order() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    assert!(tier.is_coherent());
    let keys = keys(3_000);
    write_all(&tier, &keys);
    for node in 0..3 {
        let size: usize = cluster.node(node).cli(&["DBSIZE"]).trim().parse().unwrap();
        assert!(size > 700, "node {node} has {size} keys");
    }
    let read = tier.get_many_blocking(&keys);
    assert!(read.iter().zip(&keys).all(|(read, key)| read.as_ref() == Ok(&Some(key.clone().into_bytes()))));
    assert_eq!(tier.get_blocking(b"veritas:7"), Ok(Some(b"veritas:7".to_vec())));
    assert!(tier.delete_many_blocking(&keys).iter().all(|removed| *removed == Ok(true)));
    assert_eq!(tier.counters().redirects, 0);
}

#[test]
fn pages_of_keys_and_commands_reach_every_node() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    let keys = keys(300);
    write_all(&tier, &keys);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = Some(ScanCursor::default());
    while let Some(from) = cursor {
        let page = runtime.block_on(tier.scan(b"veritas:", from, 100)).unwrap();
        seen.extend(page.keys);
        cursor = page.next;
    }
    assert_eq!(seen.len(), keys.len());
    let answers = runtime.block_on(tier.command_on_nodes(&redis::cmd("DBSIZE"), LONG));
    let sizes: BTreeMap<_, _> = answers.into_iter().collect();
    assert_eq!(sizes.len(), 3);
    let total: i64 =
        sizes.values().map(|size| if let Ok(redis::Value::Int(size)) = size { *size } else { 0 }).sum();
    assert_eq!(total, 300);
}

#[test]
fn changes_on_every_node_are_heard() {
    let cluster = RedisCluster::start();
    let (tier, peer) = (connected(options(&url(&cluster))), connected(options(&url(&cluster))));
    let heard = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let log = Arc::clone(&heard);
    tier.subscribe(Arc::new(move |invalidation| {
        if let Invalidation::Key(key) = invalidation {
            log.lock().unwrap().insert(key.to_vec());
        }
    }));
    let keys = keys(100);
    write_all(&peer, &keys);
    wait_for(LONG, || keys.iter().all(|key| heard.lock().unwrap().contains(key.as_bytes())));
}

#[test]
fn keys_are_served_all_through_the_moving_of_their_slot() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    let key = "veritas:{moving}:1";
    let slot = cluster.slot_of(key);
    let from = cluster.owner_of(slot);
    let to = (from + 1) % 3;
    assert_eq!(tier.set_blocking(entry(key, "v")), Ok(()));
    let generation = tier.generation();
    let moving = cluster.begin_move(slot, to);
    // A key that is not there is asked of the new owner, the others still of the old one.
    assert_eq!(tier.get_blocking(b"veritas:{moving}:2"), Ok(None));
    assert_eq!(tier.set_blocking(entry("veritas:{moving}:2", "w")), Ok(()));
    assert_eq!(tier.get_blocking(key.as_bytes()), Ok(Some(b"v".to_vec())));
    assert_eq!(tier.get_blocking(b"veritas:{moving}:2"), Ok(Some(b"w".to_vec())));
    moving.move_keys();
    assert_eq!(tier.get_blocking(key.as_bytes()), Ok(Some(b"v".to_vec())));
    moving.finish();
    let both = tier.get_many_blocking(&[key, "veritas:{moving}:2"]);
    assert_eq!(both, [Ok(Some(b"v".to_vec())), Ok(Some(b"w".to_vec()))]);
    assert!(tier.counters().redirects > 0);
    assert!(tier.generation() > generation, "whose slot moved is not known to be told of everything");
    let redirects = tier.counters().redirects;
    assert_eq!(tier.get_blocking(key.as_bytes()), Ok(Some(b"v".to_vec())));
    assert_eq!(tier.counters().redirects, redirects, "the new owner is known");
}

#[test]
fn no_value_is_lost_or_mixed_up_while_slots_move_under_load() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    let keys = keys(500);
    // Without an end: on a busy machine the moves take longer than other tests' values live.
    let entries: Vec<_> = keys.iter().map(|key| SetEntry { ttl: None, ..entry(key, key) }).collect();
    assert!(tier.set_many_blocking(&entries).iter().all(Result::is_ok));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut read, mut refused) = (0, 0);
            while !done.load(Ordering::Relaxed) || read == 0 {
                for (key, answer) in keys.iter().zip(tier.get_many_blocking(&keys)) {
                    match answer {
                        Ok(value) => {
                            assert_eq!(value, Some(key.clone().into_bytes()));
                            read += 1;
                        }
                        // Nodes of a busy machine may take each other for dead for a while.
                        Err(TierError::ClusterDown | TierError::TimedOut | TierError::Unavailable) => {
                            refused += 1;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            (read, refused)
        });
        for key in &keys[..10] {
            let slot = cluster.slot_of(key);
            agreed(&cluster);
            cluster.move_slot(slot, (cluster.owner_of(slot) + 1) % 3);
        }
        done.store(true, Ordering::Relaxed);
        let (read, refused) = reader.join().unwrap();
        assert!(read > 10 * refused, "{refused} of {read} reads had no answer");
    });
    let expected: Vec<_> = keys.iter().map(|key| Ok(Some(key.clone().into_bytes()))).collect();
    wait_for(LONG, || tier.get_many_blocking(&keys) == expected);
}

/// Waits until all nodes know the latest epoch. A node that takes a slot claims it under
/// an epoch above all that it knows; where it does not know the latest one, the slot's
/// former owner takes it back, and each of the two names the other for ever.
fn agreed(cluster: &RedisCluster) {
    wait_for(6 * LONG, || {
        let epochs = (0..3).map(|node| {
            let info = cluster.node(node).cli(&["CLUSTER", "INFO"]);
            info.lines().find(|line| line.starts_with("cluster_current_epoch")).map(str::to_owned)
        });
        let epochs: std::collections::BTreeSet<_> = epochs.collect();
        epochs.len() == 1 && !epochs.contains(&None)
    });
}

#[test]
fn a_dead_node_takes_only_its_own_keys_and_is_used_again() {
    let cluster = RedisCluster::start_with(&["--cluster-require-full-coverage", "no"]);
    let tier = connected(RedisOptions::parse(&url(&cluster)).unwrap());
    let (dead, alive) = (key_of(&cluster, 1), key_of(&cluster, 2));
    wait_for(LONG, || tier.set_blocking(entry(&alive, "v")) == Ok(()));
    let generation = tier.generation();
    cluster.kill(1);
    wait_for(LONG, || tier.get_blocking(dead.as_bytes()) == Err(TierError::Unavailable));
    assert!(tier.generation() > generation);
    assert!(!tier.is_coherent());
    let both = [Ok(Some(b"v".to_vec())), Err(TierError::Unavailable)];
    wait_for(LONG, || tier.get_many_blocking(&[&alive, &dead]) == both);
    cluster.restart(1);
    wait_for(LONG, || tier.set_blocking(entry(&dead, "v")) == Ok(()));
    wait_for(LONG, || tier.is_coherent());
}

#[test]
fn a_replica_that_takes_over_is_found() {
    let cluster = RedisCluster::start_with_replicas();
    let tier = connected(options(&url(&cluster)));
    let keys = keys(100);
    write_all(&tier, &keys);
    let key = key_of(&cluster, 0);
    let generation = tier.generation();
    // Nodes 3 to 5 are the replicas.
    let replica = (3..6)
        .find(|index| cluster.node(*index).cli(&["ROLE"]).contains(&port(&cluster, 0)))
        .expect("node 0 has a replica");
    cluster.failover(replica);
    wait_for(LONG, || tier.set_blocking(entry(&key, "after")) == Ok(()));
    assert_eq!(tier.get_blocking(key.as_bytes()), Ok(Some(b"after".to_vec())));
    wait_for(LONG, || tier.is_coherent());
    assert!(tier.generation() > generation);
}

fn port(cluster: &RedisCluster, node: usize) -> String {
    cluster.addresses()[node].port().to_string()
}

#[test]
fn a_black_hole_before_one_node_costs_its_keys_five_waits_and_the_others_none() {
    let cluster = RedisCluster::start_behind_proxies();
    let mut strict = options(&url(&cluster));
    strict.deadline = Duration::from_millis(500);
    strict.breaker.heartbeat = LONG;
    let tier = connected(strict);
    let (lost, alive) = (key_of(&cluster, 0), key_of(&cluster, 1));
    wait_for(LONG, || tier.set_blocking(entry(&lost, "v")) == Ok(()));
    wait_for(LONG, || tier.set_blocking(entry(&alive, "v")) == Ok(()));
    cluster.proxy(0).set(Fault::BlackHole);
    let mut waited = 0;
    while tier.get_blocking(lost.as_bytes()) != Err(TierError::Unavailable) {
        waited += 1;
        wait_for(LONG, || tier.get_blocking(alive.as_bytes()) == Ok(Some(b"v".to_vec())));
    }
    assert!((1..=5).contains(&waited), "{waited}");
    cluster.proxy(0).set(Fault::Pass);
    wait_for(LONG, || tier.get_blocking(lost.as_bytes()) == Ok(Some(b"v".to_vec())));
}

#[test]
fn a_cluster_that_is_not_there_is_no_error() {
    let tier = RedisTier::connect(
        options("redis-cluster://127.0.0.1:1,127.0.0.1:2"),
        Arc::new(veritas_model::SystemClock::new()),
    )
    .unwrap();
    let set =
        || tier.set_blocking(SetEntry { key: b"veritas:a", value: b"v", ttl: Some(Duration::from_secs(1)) });
    wait_for(LONG, || set() == Err(TierError::Unavailable));
    assert!(!tier.is_available() && !tier.is_coherent());
}

#[test]
fn leases_work_on_a_cluster() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for key in keys(20) {
        let held = runtime.block_on(tier.hold(key.as_bytes(), 1, LONG, LONG)).unwrap().unwrap();
        assert_eq!(runtime.block_on(tier.lease(key.as_bytes(), 2, LONG)), Ok(false));
        assert_eq!(runtime.block_on(held.release()), Ok(true));
    }
}

#[test]
fn a_cluster_that_is_down_as_a_whole_costs_no_deadlines_and_is_used_again() {
    let cluster = RedisCluster::start();
    let tier = connected(options(&url(&cluster)));
    let alive = key_of(&cluster, 2);
    wait_for(LONG, || tier.set_blocking(entry(&alive, "v")) == Ok(()));
    cluster.kill(1);
    // Once the others take it for dead, they serve nothing either.
    wait_for(6 * LONG, || tier.get_blocking(alive.as_bytes()) == Err(TierError::ClusterDown));
    let waited = tier.counters().timeouts;
    for _ in 0..500 {
        assert!(tier.get_blocking(alive.as_bytes()).is_err());
    }
    let waited = tier.counters().timeouts - waited;
    assert!(waited <= 10, "{waited} of 500 calls had no answer in time");
    cluster.restart(1);
    wait_for(LONG, || tier.get_blocking(alive.as_bytes()) == Ok(Some(b"v".to_vec())));
}
