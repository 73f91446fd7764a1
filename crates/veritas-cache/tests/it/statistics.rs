//! Statistics: exact, by key, over threads.

use crate::{MIB, caches};

#[test]
fn batches_count_keys_and_not_calls() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    assert_eq!(cache.set_many((0..10_u32).map(|id| (id, id * 2))), 10);
    let found = cache.get_many(&[1_u32, 50, 3]);
    assert_eq!(found, [Some(2), None, Some(6)]);
    assert_eq!(cache.delete_many(&[1_u32, 50]), 1);
    let statistics = caches.statistics();
    assert_eq!((statistics.sets, statistics.hits, statistics.misses, statistics.deletes), (10, 2, 1, 1));
    assert_eq!(statistics.total_requests(), 3);
}

#[test]
fn a_reset_zeroes_the_statistics_and_not_the_cache() {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u32>("numbers");
    cache.set(&1, 1);
    cache.get(&1);
    caches.reset_statistics();
    let statistics = caches.statistics();
    assert_eq!((statistics.hits, statistics.sets), (0, 0));
    assert!(statistics.registered);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(caches.statistics().hits, 1);
}

#[test]
fn no_count_is_lost_over_threads_and_readers_see_sums_that_fit() {
    const EACH: u64 = 20_000;
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("numbers");
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let cache = cache.clone();
            scope.spawn(move || {
                for step in 0..EACH {
                    let key = (step * 7 + thread) % 64;
                    if cache.get(&key).is_none() {
                        cache.set(&key, step);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                let statistics = caches.statistics();
                let rows: u64 = statistics.namespaces.iter().map(|(_, row)| row.total_requests()).sum();
                assert_eq!(statistics.total_requests(), rows);
            }
        });
    });
    assert_eq!(caches.statistics().total_requests(), 8 * EACH);
    assert_eq!(caches.statistics().misses, caches.statistics().sets);
}

#[test]
fn millions_of_operations_on_eight_threads_lose_no_count() {
    const EACH: u64 = if cfg!(debug_assertions) { 256_000 } else { 1_280_000 };
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("numbers");
    (0..64_u64).for_each(|id| _ = cache.set(&id, id));
    caches.reset_statistics();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let cache = cache.clone();
            scope.spawn(move || (0..EACH).for_each(|step| _ = cache.get(&((step + thread) % 128))));
        }
    });
    let statistics = caches.statistics();
    assert_eq!((statistics.hits, statistics.misses), (4 * EACH, 4 * EACH));
}
