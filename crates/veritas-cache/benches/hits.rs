//! What a hit costs: ours beside bare `quick_cache` and `moka`, in one run and
//! interleaved, as nanoseconds an operation and as ratios to bare `quick_cache`.
//!
//! `cargo bench -p veritas-cache`. Keys are Zipf-like over 64 Ki, all of them
//! present; each figure is the median of the rounds, with the fastest and the slowest.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{hint::black_box, sync::Arc, time::Duration};

use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Bytes, Clock, SystemClock};

const KEYS: u64 = 64 * 1024;
const OPERATIONS: u64 = 200_000;
const ROUNDS: usize = 9;

fn main() {
    let clock = Arc::new(SystemClock::new());
    let options = CacheOptions { capacity: Bytes::new(512 * 1024 * 1024), ..CacheOptions::default() };
    let caches = Caches::new(options, Arc::clone(&clock) as Arc<dyn Clock>);
    let ours = caches.namespace::<Arc<u64>>("hits").with_ttl(Duration::from_hours(24));
    let endless = caches.namespace::<Arc<u64>>("endless").with_ttl(Duration::MAX);
    let bare =
        quick_cache::sync::Cache::<u64, Arc<u64>>::new(usize::try_from(KEYS * 4).unwrap_or(usize::MAX));
    let moka = moka::sync::Cache::builder()
        .max_capacity(KEYS * 4)
        .time_to_live(Duration::from_hours(24))
        .build_with_hasher(quick_cache::DefaultHashBuilder::default());
    for key in 0..KEYS {
        ours.set(&key, Arc::new(key));
        endless.set(&key, Arc::new(key));
        bare.insert(key, Arc::new(key));
        moka.insert(key, Arc::new(key));
    }
    let contenders: [(&str, &(dyn Fn(u64) -> bool + Sync)); 5] = [
        ("bare quick_cache", &|key| bare.get(&key).is_some()),
        ("veritas-cache, a day to live", &|key| ours.get(&key).is_some()),
        ("veritas-cache, endless", &|key| endless.get(&key).is_some()),
        ("veritas-cache, key (str, u64) missed", &|key| endless.get(&("user", key)).is_none()),
        ("moka, a day to live", &|key| moka.get(&key).is_some()),
    ];
    for threads in [1, 2] {
        let mut times = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for ((_, look_up), times) in contenders.iter().zip(&mut times) {
                times.push(nanos_per_operation(&*clock, threads, *look_up));
            }
        }
        println!("\n{threads} thread(s), {ROUNDS} rounds of {OPERATIONS} look-ups each:");
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        for (index, (name, _)) in contenders.iter().enumerate() {
            println!(
                "  {name:<38} {:>7.1} ns  ({:.1} to {:.1})  {:>5.2} x bare, {:>6.1} Mops/s",
                medians[index],
                times[index][0],
                times[index][ROUNDS - 1],
                medians[index] / medians[0],
                1e3 * f64::from(threads) / medians[index],
            );
        }
    }
}

/// Runs the look-ups on each of `threads` and returns the time that one took on its thread.
#[expect(clippy::cast_precision_loss, reason = "a time per operation")]
fn nanos_per_operation(clock: &dyn Clock, threads: u32, look_up: &(dyn Fn(u64) -> bool + Sync)) -> f64 {
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
                assert_eq!(hits, OPERATIONS);
            });
        }
    });
    clock.monotonic().since(start).as_nanos() as f64 / OPERATIONS as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
