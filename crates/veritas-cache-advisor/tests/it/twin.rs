//! The simulated engine beside the cache that production runs: the same requests, nearly the same misses.

use std::{sync::Arc, time::Duration};

use veritas_cache::{Access, AccessKind, CacheOptions, Caches, NamespaceOptions};
use veritas_cache_advisor::simulate::{Engine, Policy};
use veritas_model::{Bytes, Clock};
use veritas_testkit::{
    VirtualClock,
    workload::{Dice, Seed, Zipf},
};

const REQUESTS: usize = 80_000;

/// Asks a namespace of `capacity` for keys, each of `size` bytes, and the simulated engine of the
/// same capacity for the same ones. Returns the share that each missed, when both were warm.
fn miss_ratios(capacity: u64, size: usize, mut key: impl FnMut(usize) -> u64) -> (f64, f64) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let caches =
        Caches::new(CacheOptions { capacity: Bytes::new(64 << 20), ..CacheOptions::default() }, clock);
    let options = NamespaceOptions {
        ttl: Some(Duration::from_hours(10)),
        capacity: Some(Bytes::new(capacity)),
        ..NamespaceOptions::default()
    };
    let cache = caches.namespace_with::<Arc<[u8]>>("twin", options);
    let value: Arc<[u8]> = vec![0; size].into();
    let tap = caches.tap(64 * 1024);
    let mut engine: Option<Engine> = None;
    let mut accesses: Vec<Access> = Vec::new();
    let (mut weight, mut live, mut simulated, mut asked) = (0, 0_u32, 0_u32, 0_u32);
    for request in 0..REQUESTS {
        cache.get_or_compute(&key(request), || Arc::clone(&value));
        if request % 1_000 == 999 {
            assert_eq!(tap.drain(&mut accesses), 0, "nothing is dropped");
            // A miss is followed by its store.
            let stored = accesses.iter().find_map(|access| match access.kind {
                AccessKind::Store { weight, .. } => Some(weight),
                _ => None,
            });
            weight = stored.unwrap_or(weight);
            // Production expects what it meets, and the simulation what production holds.
            let engine = engine
                .get_or_insert_with(|| Engine::new(&Policy::BYTES.expecting(mean_weight(&caches)), capacity));
            for access in accesses.drain(..) {
                let live_hit = match access.kind {
                    AccessKind::Hit => true,
                    AccessKind::Miss => false,
                    _ => continue,
                };
                let hit = engine.request(access.key, weight);
                if request >= REQUESTS / 2 {
                    asked += 1;
                    live += u32::from(!live_hit);
                    simulated += u32::from(!hit);
                }
            }
        }
    }
    (f64::from(live) / f64::from(asked), f64::from(simulated) / f64::from(asked))
}

#[expect(clippy::cast_precision_loss, reason = "a test is small")]
fn mean_weight(caches: &Caches) -> Option<f64> {
    let reading = caches.namespaces().into_iter().next()?;
    Some(reading.weight.get() as f64 / reading.memory.entries as f64)
}

#[track_caller]
fn check(capacity: u64, size: usize, most: f64, key: impl FnMut(usize) -> u64) {
    let (live, simulated) = miss_ratios(capacity, size, key);
    assert!(
        (live - simulated).abs() <= most,
        "{capacity} bytes, values of {size}: live {live:.4}, simulated {simulated:.4}"
    );
}

#[test]
fn the_simulated_engine_misses_what_the_cache_misses() {
    for size in [40, 100, 400, 4_096] {
        let entries = 2_000;
        let capacity = entries * (size as u64 + 100);
        for exponent in [0.6, 1.1] {
            let (keys, mut dice) = (Zipf::new(10_000, exponent), Dice::new(Seed(5)));
            check(capacity, size, 0.01, |_| keys.draw(&mut dice) as u64);
        }
        // A working set that moves, and one that is scanned through beside it.
        let (keys, mut dice) = (Zipf::new(5_000, 0.9), Dice::new(Seed(6)));
        check(capacity, size, 0.01, |request| {
            let rank = keys.draw(&mut dice) as u64;
            if request % 4 == 0 { 1_000_000 + request as u64 } else { rank + (request / 20_000) as u64 * 100 }
        });
    }
}
