//! Loads of many keys at once.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use veritas_cache::{Loaded, NamespaceOptions};
use veritas_testkit::wait_for;

use crate::{
    MIB, caches,
    loads::{PATIENCE, cache, poll},
};

fn tens(missing: &[&u64]) -> Vec<Option<u64>> {
    missing.iter().map(|key| Some(**key * 10)).collect()
}

#[test]
fn the_loader_is_called_once_for_what_is_missing() {
    let (caches, cache) = cache();
    cache.set(&2, 0);
    let mut calls = Vec::new();
    let answers = cache.get_or_load_many(&[1, 2, 3, 1], |missing| {
        calls.push(missing.iter().map(|key| **key).collect::<Vec<u64>>());
        Ok::<_, Infallible>(tens(missing))
    });
    assert_eq!(answers, [Ok(Some(10)), Ok(Some(0)), Ok(Some(30)), Ok(Some(10))]);
    assert_eq!(calls, [[1, 3]], "each key once");
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(10), Some(0), Some(30)]);
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors, statistics.sets), (2, 0, 3));

    let answers = cache.get_or_load_many(&[3, 1], |_| Err::<_, &str>("not called"));
    assert_eq!(answers, [Ok(Some(30)), Ok(Some(10))]);
    assert_eq!(cache.get_or_load_many(&[], |_: &[&u64]| Err::<_, &str>("not called")), []);
}

#[test]
fn what_fails_leaves_the_rest_its_answers() {
    let (caches, cache) = cache();
    cache.set(&2, 20);
    let answers = cache.get_or_load_many(&[1, 2, 3], |_| Err("the source is down"));
    assert_eq!(
        answers,
        [Err(Arc::new("the source is down")), Ok(Some(20)), Err(Arc::new("the source is down"))]
    );
    assert_eq!((caches.statistics().loads, caches.statistics().load_errors), (2, 2));

    let answers = cache.fetch_many(&[1, 2, 3], |missing| {
        missing
            .iter()
            .map(|key| if **key == 1 { Err("no such key") } else { Ok(Loaded::of(**key)) })
            .collect()
    });
    assert_eq!(answers, [Err(Arc::new("no such key")), Ok(Some(20)), Ok(Some(3))]);
    assert_eq!(cache.get_many(&[1, 2, 3]), [None, Some(20), Some(3)]);
}

#[test]
fn what_the_loader_does_not_mention_is_nothing_and_not_remembered() {
    let (caches, _clock) = caches(MIB);
    let options =
        NamespaceOptions { negative_ttl: Some(Duration::from_secs(5)), ..NamespaceOptions::default() };
    let cache = caches.namespace_with::<u64>("numbers", options);
    let load =
        |missing: &[&u64]| Ok::<_, Infallible>(if missing.len() == 3 { vec![None] } else { tens(missing) });
    assert_eq!(cache.get_or_load_many(&[1, 2, 3], load), [Ok(None), Ok(None), Ok(None)]);
    assert_eq!(cache.get_or_load_many(&[1, 2, 3], load), [Ok(None), Ok(Some(20)), Ok(Some(30))]);
}

#[test]
fn batches_with_crossed_keys_do_not_wait_for_each_other() {
    let (caches, cache) = cache();
    let (lead, loaded) = (Barrier::new(2), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Each leads one key when the other comes for it.
        for keys in [[1, 2, 3], [3, 2, 1]] {
            let (cache, lead, loaded) = (&cache, &lead, &loaded);
            scope.spawn(move || {
                cache.get_or_load_many(&keys[..1], |missing| {
                    lead.wait();
                    let inner = cache.get_or_load_many(&keys[1..], |missing| {
                        loaded.fetch_add(missing.len() as u64, Ordering::SeqCst);
                        Ok::<_, Infallible>(tens(missing))
                    });
                    assert_eq!(inner, [Ok(Some(keys[1] * 10)), Ok(Some(keys[2] * 10))]);
                    Ok::<_, Infallible>(tens(missing))
                })
            });
        }
    });
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(10), Some(20), Some(30)]);
    assert!(loaded.into_inner() >= 2 && caches.statistics().load_errors == 0);
}

#[test]
fn many_batches_of_the_same_keys_in_any_order_end() {
    let (caches, cache) = cache();
    let together = Barrier::new(8);
    for round in 0..50_u64 {
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (cache, together) = (&cache, &together);
                scope.spawn(move || {
                    let mut keys: Vec<u64> = (0..16).map(|key| round * 16 + key).collect();
                    keys.rotate_left(usize::try_from(thread * 5 % 16).unwrap());
                    if thread % 2 == 0 {
                        keys.reverse();
                    }
                    together.wait();
                    let answers = cache.get_or_load_many(&keys, |missing| Ok::<_, Infallible>(tens(missing)));
                    let expected: Vec<_> = keys.iter().map(|key| Ok(Some(key * 10))).collect();
                    assert_eq!(answers, expected);
                });
            }
        });
    }
    assert_eq!(caches.statistics().loads, 50 * 16, "each key was loaded once");
}

#[test]
fn a_batch_waits_for_the_loads_of_others_and_takes_over_what_they_leave() {
    let (caches, cache) = cache();
    let calls = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (other, statistics) = (&cache, &caches);
        scope.spawn(move || {
            let panicking = || {
                wait_for(PATIENCE, || statistics.statistics().misses >= 3);
                panic!("on purpose")
            };
            let panicked = catch_unwind(AssertUnwindSafe(|| other.get_or_compute(&2, panicking)));
            drop(panicked);
        });
        wait_for(PATIENCE, || caches.statistics().misses == 1);
        let answers = cache.get_or_load_many(&[1, 2], |missing| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(tens(missing))
        });
        assert_eq!(answers, [Ok(Some(10)), Ok(Some(20))]);
    });
    // Once for both when the other had not begun yet.
    assert!((1..=2).contains(&calls.into_inner()));
}

#[test]
fn a_batch_in_a_loader_of_one_of_its_keys_does_not_wait_for_itself() {
    let (_caches, cache) = cache();
    let answer = cache.get_or_compute(&1, || {
        let inner = cache.get_or_load_many(&[1, 2], |missing| Ok::<_, Infallible>(tens(missing)));
        assert_eq!(inner, [Ok(Some(10)), Ok(Some(20))]);
        7
    });
    assert_eq!((answer, cache.get(&1), cache.get(&2)), (7, Some(7), Some(20)));
}

#[test]
fn a_batch_that_is_dropped_leaves_its_keys_to_others() {
    let (_caches, cache) = cache();
    let mut follower = pin!(cache.get_or_load_async(&2, || async { Ok::<_, Infallible>(2) }));
    {
        let never = |_: Vec<&u64>| std::future::pending::<Result<Vec<Option<u64>>, Infallible>>();
        let mut batch = pin!(cache.get_or_load_many_async(&[1, 2], never));
        assert!(poll(batch.as_mut()).is_pending());
        assert!(poll(follower.as_mut()).is_pending());
    }
    assert_eq!(poll(follower.as_mut()), Poll::Ready(Ok(2)));
    let mut batch = pin!(
        cache.get_or_load_many_async(&[1, 2], |missing| async move { Ok::<_, Infallible>(tens(&missing)) })
    );
    assert_eq!(poll(batch.as_mut()), Poll::Ready(vec![Ok(Some(10)), Ok(Some(2))]));
}
