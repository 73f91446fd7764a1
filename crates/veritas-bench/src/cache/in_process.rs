//! Hits in the process: ours, the bare engine, moka and cached, interleaved.

use std::{hint::black_box, sync::Arc, time::Duration};

use cached::macros::concurrent_cached;
use veritas_cache::{CacheOptions, Caches, function};
use veritas_macros::cached;
use veritas_model::{Bytes, Clock, SystemClock};

use super::table::Table;

const KEYS: u64 = 64 * 1024;
const OPERATIONS: u64 = 200_000;
const DAY: Duration = Duration::from_hours(24);

#[cached(name = "bench_one", ttl = "1d", crate = veritas_cache)]
fn ours_of_one(id: u64) -> Arc<u64> {
    Arc::new(id)
}

#[cached(name = "bench_two", ttl = "1d", crate = veritas_cache)]
fn ours_of_two(id: u64, section: &str) -> Arc<u64> {
    Arc::new(id + section.len() as u64)
}

#[concurrent_cached(max_size = 262_144, ttl_secs = 86_400)]
fn theirs_of_one(id: u64) -> Arc<u64> {
    Arc::new(id)
}

type LookUp<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Measures nanoseconds a hit, on each of `threads` threads at once.
pub(crate) fn measure(threads: u32, rounds: usize) -> Table {
    let clock = Arc::new(SystemClock::new());
    let options = CacheOptions { capacity: Bytes::new(512 * 1024 * 1024), ..CacheOptions::default() };
    let caches = Arc::new(Caches::new(options, Arc::clone(&clock) as Arc<dyn Clock>));
    drop(function::install(Arc::clone(&caches)));
    let ours = caches.namespace::<Arc<u64>>("bench").with_ttl(DAY);
    let capacity = usize::try_from(KEYS * 4).unwrap_or(usize::MAX);
    let bare = quick_cache::sync::Cache::<u64, Arc<u64>>::new(capacity);
    let moka = moka::sync::Cache::builder().max_capacity(KEYS * 4).time_to_live(DAY).build();
    for key in 0..KEYS {
        ours.set(&key, Arc::new(key));
        bare.insert(key, Arc::new(key));
        moka.insert(key, Arc::new(key));
        black_box((ours_of_one(key), ours_of_two(key, "profile"), theirs_of_one(key)));
    }
    let contenders: [(&str, LookUp<'_>); 6] = [
        ("quick_cache, bare", &|key| bare.get(&key).is_some()),
        ("veritas-cache", &|key| ours.get(&key).is_some()),
        ("moka", &|key| moka.get(&key).is_some()),
        ("#[veritas::cached] fn(u64)", &|key| *ours_of_one(key) == key),
        ("#[veritas::cached] fn(u64, &str)", &|key| *ours_of_two(key, "profile") == key + 7),
        ("cached, #[concurrent_cached] fn(u64)", &|key| *theirs_of_one(key) == key),
    ];
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((_, look_up), times) in contenders.iter().zip(&mut times) {
            times.push(nanos_per_operation(&*clock, threads, *look_up));
        }
    }
    let mut table = Table::new(format!("a hit in the process, {threads} thread(s), a day to live"), "ns");
    for ((name, _), times) in contenders.iter().zip(times) {
        table.add(*name, times);
    }
    drop(function::uninstall());
    table
}

/// Runs the look-ups on each thread and returns the time that one took there.
#[expect(clippy::cast_precision_loss, reason = "a time per operation")]
fn nanos_per_operation(clock: &dyn Clock, threads: u32, look_up: LookUp<'_>) -> f64 {
    let start = clock.monotonic();
    std::thread::scope(|scope| {
        for thread in 0..u64::from(threads) {
            scope.spawn(move || {
                let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ thread;
                let mut hits = 0_u64;
                for _ in 0..OPERATIONS {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    // The smaller of two uniform draws, squared down: few keys take most look-ups.
                    let draw = (state & 0xffff).min(state >> 48);
                    hits += u64::from(look_up(black_box(draw * draw / KEYS)));
                }
                assert_eq!(hits, OPERATIONS, "every key is there");
            });
        }
    });
    clock.monotonic().since(start).as_nanos() as f64 / OPERATIONS as f64
}
