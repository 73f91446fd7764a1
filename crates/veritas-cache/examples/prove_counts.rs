//! Proves that no count is lost: 10⁸ operations (or as many as the first argument says)
//! over eight threads, and what one count costs.
//!
//! `cargo run --release -p veritas-cache --example prove_counts [OPERATIONS]`
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::sync::Arc;

use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Clock, SystemClock};

const THREADS: u64 = 8;

fn main() {
    let operations: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000_000);
    let clock = Arc::new(SystemClock::new());
    let caches = Caches::new(CacheOptions::default(), Arc::clone(&clock) as Arc<dyn Clock>);
    let cache = caches.namespace::<u64>("numbers");
    for id in 0..512_u64 {
        cache.set(&id, id);
    }
    caches.reset_statistics();
    let began = clock.monotonic();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let cache = cache.clone();
            scope.spawn(move || {
                for step in 0..operations / THREADS {
                    // Every second key is there; every 64th operation stores one of them.
                    let key = (step * 7 + thread) % 1_024;
                    if step % 64 == 63 {
                        cache.set(&(key / 2), step);
                    } else {
                        cache.get(&key);
                    }
                }
            });
        }
    });
    let took = clock.monotonic().since(began);
    let (statistics, each) = (caches.statistics(), operations / THREADS);
    let sets = each / 64 * THREADS;
    let gets = each * THREADS - sets;
    println!("{} operations on {THREADS} threads in {took:.1?}", each * THREADS);
    println!("look-ups: {gets} made, {} counted", statistics.total_requests());
    println!("sets:     {sets} made, {} counted", statistics.sets);
    let lost = gets.abs_diff(statistics.total_requests()) + sets.abs_diff(statistics.sets);
    println!("lost:     {lost}");
    assert_eq!(lost, 0, "no count may be lost");
}
