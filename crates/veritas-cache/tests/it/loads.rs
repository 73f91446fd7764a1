//! Loads: once for all, whatever happens to the one who loads.

use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use veritas_cache::{Cache, Caches};
use veritas_testkit::wait_for;

use crate::{MIB, caches};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn cache() -> (Caches, Cache<u64>) {
    let (caches, _clock) = caches(MIB);
    let cache = caches.namespace::<u64>("numbers");
    (caches, cache)
}

/// Lets `count` threads miss `key` while the first of them is loading.
fn burst<T: Send>(caches: &Caches, count: u64, ask: impl Fn(u64, &dyn Fn()) -> T + Sync) -> Vec<T> {
    // A loader that waits until everyone else has missed.
    let all_missed = || wait_for(PATIENCE, || caches.statistics().misses >= count);
    std::thread::scope(|scope| {
        let ask = &ask;
        let threads: Vec<_> = (0..count)
            .map(|index| {
                std::thread::Builder::new()
                    .stack_size(64 * 1024)
                    .spawn_scoped(scope, move || ask(index, &all_missed))
                    .expect("a thread")
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn a_thousand_threads_that_miss_together_load_once() {
    let (caches, cache) = cache();
    let runs = AtomicU64::new(0);
    let answers = burst(&caches, 1_000, |_, all_missed| {
        cache.get_or_compute("key", || {
            all_missed();
            runs.fetch_add(1, Ordering::SeqCst)
        })
    });
    assert!(answers.iter().all(|answer| *answer == 0));
    let statistics = caches.statistics();
    assert_eq!((runs.into_inner(), statistics.loads, statistics.sets), (1, 1, 1));
    assert_eq!((statistics.misses, statistics.coalesced), (1_000, 999));
}

#[test]
fn a_thousand_tasks_that_miss_together_load_once() {
    let (caches, cache) = cache();
    let runs = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..1_000)
            .map(|_| {
                let (cache, runs) = (cache.clone(), Arc::clone(&runs));
                tokio::spawn(async move {
                    cache
                        .get_or_load_async("key", || async {
                            for _ in 0..100 {
                                tokio::task::yield_now().await;
                            }
                            Ok::<_, Infallible>(runs.fetch_add(1, Ordering::SeqCst))
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), 0);
        }
    });
    let statistics = caches.statistics();
    assert_eq!((runs.load(Ordering::SeqCst), statistics.loads), (1, 1));
    assert_eq!(statistics.hits + statistics.coalesced, 999);
}

#[test]
fn an_error_goes_to_all_who_waited_and_is_not_stored() {
    let (caches, cache) = cache();
    let answers = burst(&caches, 50, |index, all_missed| {
        cache.get_or_load("key", || {
            all_missed();
            Err::<u64, _>(format!("failed for {index}"))
        })
    });
    let first = answers[0].as_ref().unwrap_err();
    assert!(answers.iter().all(|answer| Arc::ptr_eq(answer.as_ref().unwrap_err(), first)));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors, statistics.sets), (1, 1, 0));
    assert_eq!(cache.get_or_compute("key", || 7), 7);
}

#[test]
fn when_the_loader_panics_another_takes_over() {
    let (caches, cache) = cache();
    let panicked = AtomicU64::new(0);
    let answers = burst(&caches, 50, |index, all_missed| {
        catch_unwind(AssertUnwindSafe(|| {
            cache.get_or_compute("key", || {
                all_missed();
                assert!(panicked.fetch_add(1, Ordering::SeqCst) >= 3, "on purpose");
                index
            })
        }))
        .ok()
    });
    let loaded: Vec<u64> = answers.into_iter().flatten().collect();
    assert_eq!(loaded.len(), 47, "each of three panics went to its own caller");
    assert!(loaded.iter().all(|value| *value == loaded[0]));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors, statistics.sets), (4, 3, 1));
}

pub(crate) fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn when_the_loading_future_is_dropped_another_takes_over() {
    let (caches, cache) = cache();
    let mut follower = pin!(cache.get_or_load_async("key", || async { Ok::<_, Infallible>(2) }));
    {
        let never = || std::future::pending::<Result<u64, Infallible>>();
        let mut leader = pin!(cache.get_or_load_async("key", never));
        assert!(poll(leader.as_mut()).is_pending());
        assert!(poll(follower.as_mut()).is_pending());
    }
    assert_eq!(poll(follower.as_mut()), Poll::Ready(Ok(2)));
    assert_eq!(cache.get("key"), Some(2));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors), (2, 1));
}

#[test]
fn a_dropped_follower_is_not_missed() {
    let (_caches, cache) = cache();
    let (send, receive) = std::sync::mpsc::channel::<u64>();
    let mut receive = Some(receive);
    let mut ready = false;
    let mut leader = pin!(cache.get_or_load_async("key", || {
        let receive = receive.take().unwrap();
        std::future::poll_fn(move |_| match receive.try_recv() {
            Ok(value) => Poll::Ready(Ok::<_, Infallible>(value)),
            Err(_) => Poll::Pending,
        })
    }));
    assert!(poll(leader.as_mut()).is_pending());
    {
        let mut follower = pin!(cache.get_or_load_async("key", || async { Ok::<_, Infallible>(0) }));
        assert!(poll(follower.as_mut()).is_pending());
        assert!(poll(follower.as_mut()).is_pending());
    }
    send.send(5).unwrap();
    if let Poll::Ready(answer) = poll(leader.as_mut()) {
        ready = answer == Ok(5);
    }
    assert!(ready);
    assert_eq!(cache.get("key"), Some(5));
}

#[test]
fn threads_and_futures_share_a_load() {
    let (caches, cache) = cache();
    let (started, starts) = mpsc::channel::<()>();
    let (send, receive) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let loading = &cache;
        scope.spawn(move || {
            loading.get_or_compute("key", || {
                started.send(()).unwrap();
                receive.recv_timeout(PATIENCE).unwrap();
                9
            })
        });
        starts.recv_timeout(PATIENCE).unwrap();
        let mut follower = pin!(cache.get_or_load_async("key", || async { Ok::<_, Infallible>(0) }));
        assert!(poll(follower.as_mut()).is_pending());
        send.send(()).unwrap();
        let mut answer = Poll::Pending;
        wait_for(PATIENCE, || {
            answer = poll(follower.as_mut());
            answer.is_ready()
        });
        assert_eq!(answer, Poll::Ready(Ok(9)));
    });
    assert_eq!(caches.statistics().loads, 1);
}

#[test]
fn a_loader_that_asks_for_its_own_key_does_not_wait_for_itself() {
    fn nested(cache: &Cache<u64>, depth: u64) -> u64 {
        cache.get_or_compute("key", || if depth == 0 { 1 } else { nested(cache, depth - 1) + 1 })
    }
    let (caches, cache) = cache();
    assert_eq!(nested(&cache, 3), 4);
    assert_eq!(cache.get("key"), Some(4), "what the outermost loader returned is stored");
    assert_eq!(caches.statistics().sets, 1);

    let inner = cache.clone();
    let mut outer = pin!(cache.get_or_load_async("other", || async move {
        let inner = inner.get_or_load_async("other", || async { Ok::<_, Infallible>(20) }).await;
        Ok::<_, Infallible>(inner.unwrap() + 1)
    }));
    assert_eq!(poll(outer.as_mut()), Poll::Ready(Ok(21)));
}

#[test]
fn a_loader_may_load_other_keys() {
    fn fibonacci(cache: &Cache<u64>, n: u64) -> u64 {
        cache.get_or_compute(&n, || if n < 2 { n } else { fibonacci(cache, n - 1) + fibonacci(cache, n - 2) })
    }
    let (caches, cache) = cache();
    assert_eq!(fibonacci(&cache, 60), 1_548_008_755_920);
    assert_eq!(caches.statistics().loads, 61);
}

#[test]
fn a_ring_of_loads_does_not_wait_for_itself() {
    let (caches, cache) = cache();
    let both_lead = Barrier::new(2);
    std::thread::scope(|scope| {
        for (own, other) in [("a", "b"), ("b", "a")] {
            let (cache, both_lead) = (&cache, &both_lead);
            scope.spawn(move || {
                cache.get_or_compute(own, || {
                    both_lead.wait();
                    cache.get_or_compute(other, || 1) + 1
                })
            });
        }
    });
    // One of them waited, the other one loaded the last key by itself.
    let values = [cache.get("a"), cache.get("b")];
    assert!(values == [Some(2), Some(3)] || values == [Some(3), Some(2)], "{values:?}");
    assert_eq!(caches.statistics().loads, 3);
}

#[test]
fn a_load_never_overwrites_what_is_newer() {
    let (_caches, cache) = cache();
    for (overrule, expected) in [
        (&(|cache: &Cache<u64>| _ = cache.set("key", 2)) as &dyn Fn(&Cache<u64>), Some(2)),
        (&|cache| _ = cache.delete("key"), None),
        (&|cache| _ = cache.clear(), None),
    ] {
        cache.delete("key");
        let loaded = cache.get_or_compute("key", || {
            overrule(&cache);
            1
        });
        assert_eq!((loaded, cache.get("key")), (1, expected));
    }
}

#[test]
fn a_load_after_an_overruled_one_is_a_load_of_its_own() {
    let (_caches, cache) = cache();
    let never = || std::future::pending::<Result<u64, Infallible>>();
    let mut outdated = pin!(cache.get_or_load_async("key", never));
    assert!(poll(outdated.as_mut()).is_pending());
    cache.delete("key");
    assert_eq!(cache.get_or_compute("key", || 3), 3);
    assert_eq!(cache.get("key"), Some(3));
}
