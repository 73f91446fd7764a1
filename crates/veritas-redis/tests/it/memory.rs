//! Memory and listing: what the second tier says it holds, beside what the server gave up for it.

use std::{sync::Arc, time::Duration};

use veritas_cache::{ListError, NamespaceOptions, TierMemory};
use veritas_model::SystemClock;
use veritas_redis::{TieredCache, TieredOptions};
use veritas_testkit::{Redis, wait_for};

use crate::{
    nodes::{Node, exact},
    scene::{LONG, options},
};

/// A process that has as long as it takes to fill a server with megabytes.
fn patient(redis: &Redis) -> Node {
    let mut patient = options(&redis.url());
    patient.deadline = 6 * LONG;
    Node::with(patient, Arc::new(SystemClock::new()))
}

/// Opens a namespace of texts that outlive the test.
fn texts(node: &Node, name: &str) -> TieredCache<String> {
    let exact = exact(TieredOptions::default());
    let namespace = NamespaceOptions { ttl: Some(Duration::from_hours(1)), ..exact.namespace };
    node.tiered.namespace(name, TieredOptions { namespace, ..exact })
}

fn field(redis: &Redis, section: &str, name: &str) -> f64 {
    let info = redis.cli(&["INFO", section]);
    info.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
}

/// Returns what the server uses beyond what it started with, once all clients and
/// their buffers are gone.
fn used(redis: &Redis) -> f64 {
    wait_for(LONG, || field(redis, "clients", "connected_clients:") == 1.0);
    field(redis, "memory", "used_memory:") - field(redis, "memory", "used_memory_startup:")
}

fn measured(node: &Node) -> TierMemory {
    node.tiered.measure_memory_blocking(LONG).unwrap()
}

/// Fills a namespace from a process that ends then.
fn fill(redis: &Redis, name: &str, keys: u32, length: usize) {
    let node = patient(redis);
    let cache = texts(&node, name);
    // Not a text that compresses to nothing.
    let mut state = 1_u64;
    let mut text = String::new();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push(char::from(b' ' + u8::try_from(state >> 57).unwrap() % 95));
    }
    let keys: Vec<u32> = (0..keys).collect();
    for chunk in keys.chunks(1_000) {
        let stored = cache.set_many_blocking(chunk.iter().map(|key| (*key, text.clone())));
        assert!(stored.iter().all(Result::is_ok));
    }
}

#[test]
fn the_memory_of_each_namespace_is_within_three_percent_of_what_the_server_gave_up() {
    for length in [20, 200, 2_000, 20_000] {
        let redis = Redis::start();
        let keys = if length > 10_000 { 2_000 } else { 20_000 };
        fill(&redis, "t", keys, length);
        let truth = used(&redis);
        let node = patient(&redis);
        drop(texts(&node, "t"));
        let memory = measured(&node);
        let row = memory.namespaces[0].1;
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        let (bytes, bound) = (row.bytes.get() as f64, row.error_bound.get() as f64);
        let limit = if length >= 100 { 0.03 } else { 0.05 };
        let off = (bytes - truth).abs() / truth;
        println!("{length} B: {bytes} of {truth}, off {off:.4}, bound {:.4}", bound / bytes);
        assert!(off <= limit, "{length} B: {bytes} is {off} off {truth}");
        assert!(
            row.entries.abs_diff(u64::from(keys)) <= 1,
            "the namespace's version is a key too: {}",
            row.entries
        );
        assert!(memory.sampled <= 400);
    }
}

#[test]
fn namespaces_that_share_a_server_are_told_apart() {
    let redis = Redis::start();
    let sizes = [("small", 20_000, 100), ("middle", 10_000, 1_000), ("large", 1_000, 10_000)];
    let mut truths = Vec::new();
    for (name, keys, length) in sizes {
        let before = used(&redis);
        fill(&redis, name, keys, length);
        truths.push((name, f64::from(keys), used(&redis) - before));
    }
    let node = patient(&redis);
    for (name, ..) in sizes {
        drop(texts(&node, name));
    }
    let memory = measured(&node);
    // The tables grow in leaps, which fall to whoever comes last: all share them by their keys.
    let per_key: f64 = truths.iter().map(|(_, keys, _)| keys).sum();
    let total: f64 = truths.iter().map(|(_, _, truth)| truth).sum();
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let sum = memory.bytes.get() as f64;
    assert!((sum - total).abs() <= 0.03 * total, "{sum} of {total} over {per_key} keys");
    for (name, keys, truth) in truths {
        let row = memory.namespaces.iter().find(|(row, _)| row == name).unwrap().1;
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        let bytes = row.bytes.get() as f64;
        let off = (bytes - truth).abs() / truth;
        println!("{name}: {bytes} of {truth} for {keys} keys, off {off:.4}");
        // A leap of both tables may fall on one namespace or pass it by: 32 bytes a key.
        assert!((bytes - truth).abs() <= 0.03 * truth + 32.0 * keys, "{name}: {bytes} of {truth}");
    }
}

#[test]
fn the_second_tier_tells_its_memory_without_waiting() {
    let redis = Redis::start();
    let node = patient(&redis);
    let tier = node.caches.tiers().remove(0);
    assert_eq!(texts(&node, "t").set_blocking(&1, "v".into()), Ok(()));
    // The first question begins a reading.
    let memory = wait_for(LONG, || tier.memory());
    assert_eq!((memory.entries, memory.namespaces.len()), (1, 1));
    assert!(memory.bytes.get() > 100 && memory.error_bound.get() > 0);
}

#[test]
fn keys_are_listed_readably_page_by_page() {
    let redis = Redis::start();
    let node = patient(&redis);
    let cache = texts(&node, "t");
    assert!(
        cache
            .set_many_blocking((0..250_u32).map(|key| (("user", key), "v".to_owned())))
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(cache.set_blocking("x".repeat(300).as_str(), "v".into()), Ok(()));
    fill(&redis, "other", 500, 20);
    let tier = node.caches.tiers().remove(0);
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = tier.keys("t", cursor.as_deref(), 100).unwrap();
        for key in page.keys {
            assert!(key.bytes > 20 && key.expires_in.is_some() && key.age.is_some() && key.preview.is_none());
            seen.insert(key.key);
        }
        let Some(next) = page.next else { break };
        cursor = Some(next);
    }
    assert_eq!(seen.len(), 251);
    assert!(seen.contains(r#"("user", 7)"#), "{:?}", seen.first());
    assert!(seen.iter().any(|key| key.contains("xxxxxxxx")), "long keys are read out of their frames");
    assert_eq!(tier.keys("nowhere", None, 10), Err(ListError::UnknownNamespace));
    assert_eq!(tier.keys("t", Some("junk"), 10), Err(ListError::BadCursor));
    drop(redis);
    wait_for(LONG, || matches!(tier.keys("t", None, 10), Err(ListError::Unavailable(_))));
}
