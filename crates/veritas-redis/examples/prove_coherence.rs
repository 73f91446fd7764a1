//! Proves how soon a change in one process is seen in another, over loopback: one
//! process sets or deletes, the other reads as fast as it can; and that no read that
//! begins after that ever finds the old value again. Prints the quantiles.
//!
//! Needs `redis-server`. Run it in release:
//! `cargo run --release -p veritas-redis --example prove_coherence [ROUNDS]`.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Clock, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, TieredCache, TieredCaches, TieredOptions};
use veritas_testkit::Redis;

fn process(url: &str, clock: &Arc<SystemClock>) -> TieredCache<u64> {
    let caches = Arc::new(Caches::new(CacheOptions::default(), clock.clone()));
    let options = RedisOptions::parse(url).expect("it is an address");
    let redis = RedisTier::connect(options, clock.clone()).expect("the options are good");
    TieredCaches::new(caches, redis, clock.clone()).namespace("coherence", TieredOptions::default())
}

fn nanos(clock: &SystemClock) -> i64 {
    i64::try_from(clock.monotonic().since_origin().as_nanos()).unwrap_or(i64::MAX)
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).map_or(5_000, |rounds| rounds.parse().expect("a number"));
    let redis = Redis::start_tcp();
    let clock = Arc::new(SystemClock::new());
    let (writer, reader) = (process(&redis.url(), &clock), process(&redis.url(), &clock));
    writer.set_blocking(&1, 0).expect("redis runs");
    // What the writer was told is done, and when.
    let (acknowledged, acknowledged_at) = (AtomicU64::new(0), AtomicI64::new(0));
    let seen = AtomicU64::new(0);
    let mut delays: Vec<i64> = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut delays = Vec::new();
            let (mut last, mut reads) = (0, 0_u64);
            while last < rounds {
                let Some(value) = reader.get_blocking(&1) else { continue };
                reads += 1;
                let now = nanos(&clock);
                assert!(value >= last, "{value} was read after {last}: an old value came back");
                if value > last {
                    // Not yet acknowledged is as good as no delay.
                    let known = acknowledged.load(Ordering::Acquire) >= value;
                    delays.push(if known { now - acknowledged_at.load(Ordering::Acquire) } else { 0 });
                    last = value;
                    seen.store(value, Ordering::Release);
                }
            }
            println!("{reads} reads, 0 of an older value than the one before");
            delays
        });
        for round in 1..=rounds {
            writer.set_blocking(&1, round).expect("redis runs");
            acknowledged_at.store(nanos(&clock), Ordering::Release);
            acknowledged.store(round, Ordering::Release);
            while seen.load(Ordering::Acquire) < round {
                std::thread::yield_now();
            }
        }
        reading.join().expect("no old value came back")
    });
    delays.sort_unstable();
    let at = |share: usize| {
        let nanos = delays[(delays.len() - 1) * share / 1_000];
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(0))
    };
    println!(
        "a peer's set is seen after its acknowledgement: p50 {:?}, p99 {:?}, p99.9 {:?}, most {:?} ({} sets)",
        at(500),
        at(990),
        at(999),
        at(1_000),
        delays.len()
    );
    assert!(at(990) <= Duration::from_millis(5), "the goal is 5 ms");
}
