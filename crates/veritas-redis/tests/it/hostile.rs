//! Hostile neighbours: whatever stands under our keys, it is a value of ours or a counted miss.

use std::time::Duration;

use veritas_cache::CacheKey;
use veritas_redis::{LeaseOptions, RedisTier, SetEntry, TieredOptions};
use veritas_testkit::{Redis, wait_for};

use crate::{
    nodes::{Node, exact, load},
    scene::LONG,
};

/// Returns where the value of a key of the namespace `t` stands.
fn place(key: u32) -> Vec<u8> {
    [b"veritas:t:v0:", CacheKey::of(&key).as_bytes()].concat()
}

fn write(redis: &RedisTier, key: &[u8], value: &[u8]) {
    assert_eq!(redis.set_blocking(SetEntry { key, value, ttl: Some(LONG) }), Ok(()));
}

/// Returns the frame of a value that another process stored.
fn frame_of(redis: &Redis, value: &str) -> Vec<u8> {
    let writer = Node::new(&redis.url());
    assert_eq!(writer.texts("t").set_blocking(&1, value.to_owned()), Ok(()));
    writer.tiered.redis().get_blocking(&place(1)).unwrap().unwrap()
}

#[test]
fn bytes_that_are_no_frame_are_a_counted_miss_and_are_removed() {
    let redis = Redis::start();
    let good = frame_of(&redis, "the value");
    let node = Node::new(&redis.url());
    let raw = node.tiered.redis();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let bad: [&[u8]; 7] =
        [b"", b"hello", &good[..good.len() - 1], &good[1..], &flipped, &[0xff; 1_000], &good.repeat(2)];
    for (turn, bytes) in bad.into_iter().enumerate() {
        write(raw, &place(1), bytes);
        assert_eq!(node.texts("t").get_blocking(&1), None, "{bytes:?}");
        assert_eq!(node.counts("t").corrupted, turn as u64 + 1);
        assert_eq!(raw.get_blocking(&place(1)), Ok(None), "it is removed");
    }
    assert_eq!((node.counts("t").hits, node.counts("t").misses), (0, 7));
    write(raw, &place(1), &good);
    assert_eq!(node.texts("t").get_blocking(&1).as_deref(), Some("the value"), "the good one is good");
}

#[test]
fn one_keys_value_does_not_answer_for_another() {
    let redis = Redis::start();
    let good = frame_of(&redis, "of key 1");
    let node = Node::new(&redis.url());
    write(node.tiered.redis(), &place(2), &good);
    assert_eq!(node.texts("t").get_blocking(&2), None);
    assert_eq!(node.counts("t").corrupted, 1);
}

#[test]
fn mutated_frames_never_become_another_value() {
    let redis = Redis::start();
    let good = frame_of(&redis, &"the value ".repeat(300));
    let node = Node::new(&redis.url());
    let cache = node.texts("t");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for turn in 0..300_u32 {
        let mut mutated = good.clone();
        match turn % 3 {
            0 => mutated[random() % good.len()] ^= 1 << (random() % 8),
            1 => mutated.truncate(random() % good.len()),
            _ => mutated.insert(random() % good.len(), 7),
        }
        write(node.tiered.redis(), &place(1), &mutated);
        assert_eq!(cache.get_blocking(&1), None, "turn {turn}");
    }
    assert_eq!(node.counts("t").corrupted, 300);
}

#[test]
fn a_key_that_holds_another_type_is_a_counted_miss_and_is_removed() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    redis.cli(&["EVAL", "return redis.call('RPUSH', KEYS[1], 'x')", "1", "veritas:t:v0:"]);
    // The key whose canonical form is empty: `redis-cli` takes no other.
    let empty = CacheKey::of(&NoParts);
    assert_eq!(empty.as_bytes(), b"");
    // A look-up takes it for nothing there; a load makes room, and a set overwrites it.
    assert_eq!(node.texts("t").get_blocking(&empty), None);
    assert_eq!(node.texts("t").get_or_load_blocking(&empty, || load("v")).unwrap(), "v");
    assert_eq!(node.counts("t").corrupted, 1);
    assert_eq!(redis.cli(&["TYPE", "veritas:t:v0:"]), "string\n");
}

struct NoParts;

impl veritas_cache::KeyPart for NoParts {
    fn encode(&self, _: &mut veritas_cache::KeyEncoder) {}
}

#[test]
fn a_lease_that_never_ends_costs_the_patience_once() {
    let redis = Redis::start();
    let node = Node::new(&redis.url());
    let options = TieredOptions {
        lease: LeaseOptions { patience: Duration::from_millis(100), ..LeaseOptions::default() },
        ..exact(TieredOptions::default())
    };
    let cache = node.tiered.namespace::<String>("t", options);
    let endless = SetEntry { key: &place(1), value: b"L\xc5\x01hostile!", ttl: None };
    assert_eq!(node.tiered.redis().set_blocking(endless), Ok(()));
    assert_eq!(cache.get_or_load_blocking(&1, || load("v")).unwrap(), "v");
    assert_eq!(node.counts("t").lease_failures, 1);
    // It was taken over: the value stands in its place.
    assert_eq!(Node::new(&redis.url()).texts("t").get_blocking(&1).as_deref(), Some("v"));
}

#[test]
fn versions_that_are_not_ours_are_replaced() {
    let redis = Redis::start();
    for spoil in [["SET", "veritas:t:g", "nonsense!"], ["LPUSH", "veritas:t:g", "x"]] {
        redis.cli(&["DEL", "veritas:t:g"]);
        redis.cli(&spoil);
        let (one, other) = (Node::new(&redis.url()), Node::new(&redis.url()));
        assert_eq!(one.texts("t").set_blocking(&1, "v".into()), Ok(()));
        wait_for(LONG, || other.texts("t").get_blocking(&1).as_deref() == Some("v"));
    }
}

#[test]
fn a_frame_of_the_far_future_lives_no_longer_than_it_was_made_for() {
    let redis = Redis::start();
    let good = frame_of(&redis, "v");
    // Both times of its life moved a century ahead, and sealed again, as a host does whose clock is wrong.
    let mut ahead = good[..good.len() - 8].to_vec();
    for at in [10, 18, 26] {
        let ms = u64::from_le_bytes(ahead[at..at + 8].try_into().unwrap()) + 3_155_760_000_000;
        ahead[at..at + 8].copy_from_slice(&ms.to_le_bytes());
    }
    let seal = xxhash_rust::xxh3::xxh3_64(&ahead);
    ahead.extend_from_slice(&seal.to_le_bytes());
    let clock = veritas_testkit::VirtualClock::new();
    let node = Node::with(crate::scene::options(&redis.url()), std::sync::Arc::new(clock.clone()));
    write(node.tiered.redis(), &place(1), &ahead);
    assert_eq!(node.texts("t").get_blocking(&1).as_deref(), Some("v"));
    clock.advance(Duration::from_secs(21));
    let deleted = node.tiered.redis().delete_blocking(&place(1));
    assert_eq!(deleted, Ok(true));
    assert_eq!(node.texts("t").get_blocking(&1), None, "its own twenty seconds are over");
}
