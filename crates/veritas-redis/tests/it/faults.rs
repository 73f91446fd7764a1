//! Failures: every one is a value and none is a wait; what comes back is used again.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, TierError};
use veritas_testkit::{Redis, wait_for};

use crate::scene::{LONG, connected, entry, options};

const CALLS: u32 = 100_000;

fn signal(redis: &Redis, signal: &str) {
    let status = Command::new("kill").args([signal, &redis.process().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_server_that_stops_answering_costs_five_calls_their_deadline_and_no_more() {
    let redis = Redis::start();
    let mut strict = RedisOptions::parse(&redis.url()).unwrap();
    strict.breaker.heartbeat = LONG; // the calls shall find out
    let tier = connected(strict);
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    signal(&redis, "-STOP");
    let mut outcomes = Vec::new();
    for _ in 0..200 {
        outcomes.push(tier.get_blocking(b"veritas:a"));
    }
    let waited = outcomes.iter().filter(|outcome| **outcome == Err(TierError::TimedOut)).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(TierError::Unavailable)).count();
    assert_eq!((waited, refused), (5, 195));
    assert!(!tier.is_coherent());
    signal(&redis, "-CONT");
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(b"v".to_vec())));
    assert!(tier.is_coherent());
    assert!(tier.counters().degraded > Duration::ZERO);
}

#[test]
fn silence_is_noticed_without_any_call() {
    let redis = Redis::start();
    let tier = connected(RedisOptions::parse(&redis.url()).unwrap());
    let generation = tier.generation();
    signal(&redis, "-STOP");
    wait_for(LONG, || !tier.is_coherent());
    assert!(tier.generation() > generation);
    assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::Unavailable));
    signal(&redis, "-CONT");
    wait_for(LONG, || tier.is_coherent());
}

#[test]
fn a_refused_call_costs_next_to_nothing() {
    let redis = Redis::start();
    let tier = connected(RedisOptions::parse(&redis.url()).unwrap());
    drop(redis);
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
    #[expect(clippy::disallowed_methods, reason = "the claim is about real time")]
    let start = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(tier.get_blocking(b"veritas:a"), Err(TierError::Unavailable));
    }
    // The claim is 1 µs in a release build; this bound only catches a network or a lock on the way.
    assert!(start.elapsed() < CALLS * Duration::from_micros(50));
    assert!(tier.get_many_blocking(&["veritas:a"; 3]).iter().all(|one| *one == Err(TierError::Unavailable)));
    assert!(tier.counters().refused >= u64::from(CALLS) + 3);
}

#[test]
fn a_server_that_was_never_there_is_no_error_and_is_used_when_it_comes() {
    let redis = Redis::start();
    let url = redis.url();
    drop(redis);
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "v")) == Err(TierError::Unavailable));
    let Condition::Degraded(reason) = tier.condition() else { panic!("ready") };
    assert!(reason.contains("has not been connected"), "{reason}");
}

#[test]
fn an_evicting_server_and_one_out_of_memory_are_values() {
    let redis = Redis::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let tier = connected(options(&redis.url()));
    let big = "x".repeat(100_000);
    let mut outcomes = Vec::new();
    for number in 0..40 {
        outcomes.push(tier.set_blocking(entry(&format!("veritas:{number}"), &big)));
    }
    assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(TierError::OutOfMemory)), "{outcomes:?}");
    assert_eq!(tier.condition(), Condition::Ready, "a full server still answers");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    for number in 0..40 {
        assert_eq!(tier.set_blocking(entry(&format!("veritas:{number}"), &big)), Ok(()));
    }
    assert_eq!(tier.get_blocking(b"veritas:0"), Ok(None));
}

#[test]
fn a_key_of_another_type_is_a_miss_and_can_be_overwritten() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    redis.cli(&["LPUSH", "veritas:list", "a"]);
    assert_eq!(tier.get_blocking(b"veritas:list"), Ok(None), "MGET has no error for it");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(tier.increment(b"veritas:list", None)), Err(TierError::WrongType));
    assert_eq!(tier.set_blocking(entry("veritas:list", "v")), Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:list"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_replica_reads_and_refuses_to_write() {
    let redis = Redis::start();
    let tier = connected(options(&redis.url()));
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    // A primary that is not there: what it has, it keeps.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(tier.set_blocking(entry("veritas:a", "w")), Err(TierError::ReadOnly));
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Ok(Some(b"v".to_vec())));
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "w")) == Ok(()));
}

#[test]
fn a_late_reply_answers_nobody() {
    let redis = Redis::start();
    let mut hasty = RedisOptions::parse(&redis.url()).unwrap();
    hasty.deadline = Duration::from_millis(20);
    hasty.breaker.heartbeat = LONG;
    let tier = connected(hasty);
    for number in 0..50 {
        let (key, value) = (format!("veritas:{number}"), format!("value {number}"));
        wait_for(LONG, || tier.set_blocking(entry(&key, &value)) == Ok(()));
    }
    for round in 0..20 {
        // The server sleeps longer than one call waits, so that replies come late, in the middle of others.
        let sleeper = std::thread::spawn({
            let tier = tier.clone();
            move || {
                let mut sleep = redis::cmd("DEBUG");
                sleep.arg("SLEEP").arg("0.03");
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(tier.command(sleep, None)).ok();
            }
        });
        for number in 0..50 {
            let number = (number + round) % 50;
            let key = format!("veritas:{number}");
            if let Ok(read) = tier.get_blocking(key.as_bytes()) {
                assert_eq!(read, Some(format!("value {number}").into_bytes()));
            }
        }
        sleeper.join().unwrap();
    }
}

#[test]
fn what_a_dead_connection_still_held_is_never_carried_out() {
    let redis = Redis::start();
    let mut hasty = RedisOptions::parse(&redis.url()).unwrap();
    hasty.breaker.failures = 1;
    let tier = connected(hasty);
    signal(&redis, "-STOP");
    // The server has these bytes, and will find them when it goes on.
    assert_eq!(tier.set_blocking(entry("veritas:a", "old")), Err(TierError::TimedOut));
    signal(&redis, "-CONT");
    wait_for(LONG, || tier.set_blocking(entry("veritas:a", "new")) == Ok(()));
    wait_for(LONG, || redis.cli(&["CLIENT", "LIST"]).lines().count() == 2);
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"new".to_vec())));
}
