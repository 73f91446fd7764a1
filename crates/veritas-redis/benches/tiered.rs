//! What two tiers cost: a hit in the process beside the plain cache, and a hit in
//! Redis beside a bare redis-rs `GET`, in one run and interleaved.
//!
//! `cargo bench -p veritas-redis --bench tiered`, on a Unix socket, values of 200 bytes.
//! Each figure is the median of the rounds with the fastest and the slowest. A hit in
//! Redis is a namespace's first look-up of a key in the process: the `GET`, the
//! frame's checks, decoding, and storing it in the process. The server and this program
//! share the processors.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::{hint::black_box, sync::Arc, time::Duration};

use redis::AsyncCommands;
use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Clock, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, TieredCaches, TieredOptions};
use veritas_testkit::Redis;

const ROUNDS: usize = 15;
const HITS: u32 = 200_000;
const READS: u32 = 2_000;
const KEYS: u32 = 1_024;

fn main() {
    let redis = Redis::start();
    let clock = Arc::new(SystemClock::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let process = || {
        let caches = Arc::new(Caches::new(CacheOptions::default(), clock.clone()));
        let options = RedisOptions::parse(&redis.url()).unwrap();
        TieredCaches::new(caches, RedisTier::connect(options, clock.clone()).unwrap(), clock.clone())
    };
    let (one, other) = (process(), process());
    let value: Arc<str> = "v".repeat(200).into();
    let cache = one.namespace::<String>("bench", TieredOptions::default());
    let plain = one.caches().namespace::<String>("plain");
    for key in 0..READS {
        cache.set_blocking(&key, value.to_string()).unwrap();
        plain.set(&key, value.to_string());
    }
    let time = |count: u32, work: &mut dyn FnMut(u32)| {
        let began = clock.monotonic();
        (0..count).for_each(&mut *work);
        clock.monotonic().since(began) / count
    };
    let bare = redis::Client::open(redis.url()).unwrap();
    let mut bare = runtime.block_on(bare.get_multiplexed_async_connection()).unwrap();
    for turn in 0..READS {
        runtime.block_on(bare.set::<_, _, ()>(format!("bare:{turn}"), &*value)).unwrap();
    }
    let mut figures: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        figures[0].push(time(HITS, &mut |turn| drop(black_box(plain.get(&(turn % KEYS))))));
        figures[1].push(time(HITS, &mut |turn| drop(black_box(cache.get_blocking(&(turn % KEYS))))));
        figures[2].push(runtime.block_on(async {
            let began = clock.monotonic();
            for turn in 0..HITS {
                drop(black_box(cache.get(&(turn % KEYS)).await));
            }
            clock.monotonic().since(began) / HITS
        }));
        figures[3].push(runtime.block_on(async {
            let began = clock.monotonic();
            for turn in 0..READS {
                let found: Option<Vec<u8>> = bare.get(format!("bare:{turn}")).await.unwrap();
                drop(black_box(found));
            }
            clock.monotonic().since(began) / READS
        }));
        let reader = other.namespace::<String>("bench", TieredOptions::default());
        other.caches().flush("bench");
        figures[4].push(runtime.block_on(async {
            let began = clock.monotonic();
            for turn in 0..READS {
                assert!(black_box(reader.get(&turn).await).is_some());
            }
            clock.monotonic().since(began) / READS
        }));
    }
    let names = [
        "in process, plain cache",
        "in process, tiered, blocking form",
        "in process, tiered, future",
        "bare redis-rs GET",
        "in redis, tiered",
    ];
    for (name, mut rounds) in names.into_iter().zip(figures) {
        rounds.sort_unstable();
        println!("{name:<34} {:>10?}   {:?} to {:?}", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    }
    let statistics = one.caches().statistics();
    println!("{} hits, {} misses in the process", statistics.hits, statistics.misses);
    let began = clock.monotonic();
    let memory = one.measure_memory_blocking(Duration::from_millis(35)).unwrap();
    let took = clock.monotonic().since(began);
    println!("memory of {} entries measured in {took:?} with {} samples", memory.entries, memory.sampled);
}
