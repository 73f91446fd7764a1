//! Stampedes: ten thousand who miss one key at once are one load.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::loads::cache;

const CALLERS: u64 = 10_000;

#[test]
fn ten_thousand_calls_of_sixty_four_threads_load_once() {
    const THREADS: u64 = 64;
    let (caches, cache) = cache();
    let (together, runs) = (Barrier::new(64), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, together, runs) = (&cache, &together, &runs);
            scope.spawn(move || {
                together.wait();
                for _ in (thread..CALLERS).step_by(64) {
                    let loaded = cache.get_or_compute("key", || runs.fetch_add(1, Ordering::SeqCst));
                    assert_eq!(loaded, 0);
                }
            });
        }
    });
    let statistics = caches.statistics();
    assert_eq!((runs.into_inner(), statistics.loads, statistics.sets), (1, 1, 1));
    assert_eq!((statistics.total_requests(), statistics.misses), (CALLERS, 1 + statistics.coalesced));
}

#[test]
fn ten_thousand_tasks_load_once() {
    let (caches, cache) = cache();
    let (caches, runs) = (Arc::new(caches), Arc::new(AtomicU64::new(0)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (caches, cache, runs) = (Arc::clone(&caches), cache.clone(), Arc::clone(&runs));
                tokio::spawn(async move {
                    let load = || async {
                        // Until everyone else has missed.
                        while caches.statistics().misses < CALLERS {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, Infallible>(runs.fetch_add(1, Ordering::SeqCst))
                    };
                    cache.get_or_load_async("key", load).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(0));
        }
    });
    let statistics = caches.statistics();
    assert_eq!((runs.load(Ordering::SeqCst), statistics.loads), (1, 1));
    assert_eq!((statistics.misses, statistics.coalesced), (CALLERS, CALLERS - 1));
}

#[test]
fn ten_thousand_threads_and_tasks_of_different_keys_load_each_once() {
    let (caches, cache) = cache();
    let runs = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let (cache, runs) = (&cache, &runs);
            scope.spawn(move || {
                for call in 0..CALLERS / 16 {
                    let key = (call + thread * 7) % 100;
                    assert_eq!(
                        cache.get_or_compute(&key, || {
                            runs.fetch_add(1, Ordering::SeqCst);
                            key
                        }),
                        key
                    );
                }
            });
        }
    });
    assert_eq!((runs.into_inner(), caches.statistics().loads), (100, 100));
}
