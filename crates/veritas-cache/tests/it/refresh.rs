//! Refreshes: values are renewed before or after their time, by one, and nobody waits.

use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use veritas_cache::{Cache, Caches, Loaded, NamespaceOptions, Spawn};
use veritas_model::Clock;
use veritas_testkit::{VirtualClock, wait_for};

use crate::{
    MIB, caches,
    loads::{PATIENCE, poll},
};

const TTL: Duration = Duration::from_secs(10);

fn options(stale: Duration, early_refresh: f64) -> NamespaceOptions {
    NamespaceOptions { ttl: Some(TTL), jitter: 0.0, stale, early_refresh, ..NamespaceOptions::default() }
}

/// A cache whose values may be served for ten seconds past their ten seconds.
fn stale_cache() -> (Caches, Cache<u64>, VirtualClock) {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace_with::<u64>("numbers", options(TTL, 0.0));
    (caches, cache, clock)
}

#[test]
fn one_caller_renews_a_stale_value_and_the_others_take_it_as_it_is() {
    let (caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    assert_eq!(cache.get("key"), None, "it is past its time for who does not renew it");
    let renewed = cache.get_or_compute("key", || {
        for _ in 0..3 {
            // The inner one asks for its own key; it is told the old value.
            assert_eq!(cache.get_or_compute("key", || unreachable!("it is being renewed")), 1);
        }
        2
    });
    assert_eq!((renewed, cache.get("key")), (2, Some(2)));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.refreshes, statistics.stale_serves), (1, 1, 4));
}

#[test]
fn beyond_its_last_time_a_value_is_not_served() {
    let (_caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(2 * TTL);
    assert_eq!(cache.get_or_compute("key", || 2), 2);
}

#[test]
fn a_refresh_that_fails_leaves_the_old_value_and_the_key_alone_for_a_while() {
    let (caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    let fail = || cache.get_or_load("key", || Err::<u64, _>("the source is down"));
    assert_eq!((fail(), fail()), (Ok(1), Ok(1)));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors, statistics.refreshes), (1, 1, 0));
    clock.advance(Duration::from_millis(100));
    assert_eq!(fail(), Ok(1));
    assert_eq!(caches.statistics().load_errors, 2);
    clock.advance(Duration::from_millis(100));
    assert_eq!(cache.get_or_compute("key", || 2), 2);
}

#[test]
fn a_refresh_that_finds_nothing_removes_the_old_value() {
    let (_caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    assert_eq!(cache.get_or_load_optional("key", || Ok::<_, Infallible>(None)), Ok(None));
    assert_eq!(cache.get_or_compute("key", || 3), 3);
}

#[test]
fn a_refresh_that_panics_is_an_error_and_the_next_one_renews() {
    let (caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    let panicked = catch_unwind(AssertUnwindSafe(|| cache.get_or_compute("key", || panic!("on purpose"))));
    assert!(panicked.is_err());
    assert_eq!(cache.get_or_compute("key", || 2), 2);
    assert_eq!(caches.statistics().load_errors, 1);
}

#[test]
fn nobody_waits_while_the_background_renews() {
    let (caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut loader = Some(move || {
        begun.send(()).unwrap();
        released.recv_timeout(PATIENCE).unwrap();
        Ok::<_, Infallible>(2)
    });
    let first = loader.take().unwrap();
    assert_eq!(cache.get_or_refresh("key", first), Ok(1));
    begins.recv_timeout(PATIENCE).unwrap();
    for _ in 0..100 {
        let twice = || -> Result<u64, Infallible> { unreachable!("it is being renewed") };
        assert_eq!(cache.get_or_refresh("key", twice), Ok(1));
    }
    release.send(()).unwrap();
    wait_for(PATIENCE, || cache.get("key") == Some(2));
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.refreshes, statistics.stale_serves), (1, 1, 101));
}

#[test]
fn a_refresh_that_raced_a_change_is_not_stored() {
    let (caches, cache, clock) = stale_cache();
    let kept = Arc::new(Kept::default());
    assert!(caches.set_spawn(Arc::clone(&kept) as Arc<dyn Spawn>));
    for change in [
        (&|cache: &Cache<u64>, _: &Caches| _ = cache.delete("key")) as &dyn Fn(&Cache<u64>, &Caches),
        &|cache, _| _ = cache.set_with_ttl("key", 7, Duration::from_secs(1)),
        &|_, caches| caches.flush("numbers"),
        &|cache, caches| _ = caches.invalidate("numbers", &cache.encoded_key("key")),
    ] {
        cache.set("key", 1);
        clock.advance(TTL);
        let mut polls = 0;
        let loader = move || {
            std::future::poll_fn(move |_| {
                polls += 1;
                if polls == 1 { Poll::Pending } else { Poll::Ready(Ok::<_, Infallible>(2)) }
            })
        };
        let loads = caches.statistics().loads;
        let mut reader = pin!(cache.get_or_refresh_async("key", loader));
        assert_eq!(poll(reader.as_mut()), Poll::Ready(Ok(1)));
        kept.poll_all();
        change(&cache, &caches);
        let after = cache.get("key");
        kept.poll_all();
        assert_eq!((caches.statistics().loads, kept.0.lock().unwrap().len()), (loads + 1, 0));
        assert_ne!(after, Some(1));
        assert_eq!(cache.get("key"), after);
    }
}

/// Keeps the futures that it is given until the test polls them.
#[derive(Default)]
struct Kept(Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Spawn for Kept {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.lock().expect("no panic").push(future);
    }
}

impl Kept {
    fn poll_all(&self) {
        let mut futures = std::mem::take(&mut *self.0.lock().expect("no panic"));
        let mut context = Context::from_waker(Waker::noop());
        futures.retain_mut(|future| future.as_mut().poll(&mut context).is_pending());
        self.0.lock().expect("no panic").append(&mut futures);
    }
}

/// Lets `readers` read every 20 ms of 50 times to live; a load takes 100 ms. Returns
/// the loads for each time to live. Nobody may ever wait but for the first load.
fn storm(stale: Duration, early_refresh: f64, readers: u32) -> f64 {
    const TICK: Duration = Duration::from_millis(20);
    const TTLS: u32 = 50;
    let (caches, clock) = caches(MIB);
    let kept = Arc::new(Kept::default());
    assert!(caches.set_spawn(Arc::clone(&kept) as Arc<dyn Spawn>));
    let cache = caches.namespace_with::<u64>("numbers", options(stale, early_refresh));
    let loads = Arc::new(AtomicU64::new(0));
    let load = {
        let (clock, loads) = (clock.clone(), Arc::clone(&loads));
        move || {
            let number = loads.fetch_add(1, Ordering::SeqCst);
            let (clock, begun) = (clock.clone(), clock.monotonic());
            std::future::poll_fn(move |_| {
                let over = clock.monotonic().since(begun) >= Duration::from_millis(100);
                if over { Poll::Ready(Ok::<_, Infallible>(number)) } else { Poll::Pending }
            })
        }
    };
    let mut first = pin!(cache.get_or_refresh_async("key", load.clone()));
    assert!(poll(first.as_mut()).is_pending());
    clock.advance(Duration::from_millis(100));
    assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(0)));
    for _ in 0..TTLS * 500 {
        clock.advance(TICK);
        kept.poll_all();
        for _ in 0..readers {
            let mut reader = pin!(cache.get_or_refresh_async("key", load.clone()));
            assert!(poll(reader.as_mut()).is_ready(), "a reader waits");
        }
    }
    let statistics = caches.statistics();
    assert_eq!(statistics.misses, 1);
    assert_eq!(statistics.hits, u64::from(TTLS * 500 * readers));
    assert!(statistics.stale_serves == 0 || !stale.is_zero());
    f64::from(u32::try_from(statistics.loads).expect("a few")) / f64::from(TTLS)
}

#[test]
fn in_an_expiry_storm_nobody_waits_and_few_load() {
    // 2,500 readers for each time to live: early refreshes, stale values, and both.
    for (stale, early_refresh) in [(Duration::ZERO, 1.0), (TTL, 0.0), (TTL, 1.0)] {
        let loads = storm(stale, early_refresh, 5);
        assert!(loads <= 1.1, "{loads} loads for each time to live");
        assert!(loads >= 0.9, "{loads}: the test must see refreshes");
    }
}

#[test]
fn without_a_runtime_the_reader_renews_the_value_itself() {
    let (_caches, cache, clock) = stale_cache();
    cache.set("key", 1);
    clock.advance(TTL);
    let mut reader = pin!(cache.get_or_refresh_async("key", || async { Ok::<_, Infallible>(2) }));
    assert_eq!(poll(reader.as_mut()), Poll::Ready(Ok(2)));
}

#[test]
fn who_misses_a_key_that_waits_to_be_renewed_loads_it_at_once() {
    let (caches, cache, clock) = stale_cache();
    let kept = Arc::new(Kept::default());
    assert!(caches.set_spawn(Arc::clone(&kept) as Arc<dyn Spawn>));
    cache.set("key", 1);
    clock.advance(TTL);
    let unused = || async { Err::<u64, _>("someone else loaded it") };
    let mut reader = pin!(cache.get_or_refresh_async("key", unused));
    assert_eq!(poll(reader.as_mut()), Poll::Ready(Ok(1)));
    // Before the renewal's turn comes the value dies.
    clock.advance(TTL);
    assert_eq!(cache.get_or_compute("key", || 2), 2);
    kept.poll_all();
    assert_eq!((cache.get("key"), caches.statistics().loads), (Some(2), 1));
    assert!(kept.0.lock().unwrap().is_empty());
}

#[test]
fn what_costs_nothing_is_not_renewed_early() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace_with::<u64>("numbers", options(Duration::ZERO, 1.0));
    assert_eq!(cache.get_or_compute("key", || 1), 1);
    clock.advance(TTL.saturating_sub(Duration::from_nanos(1)));
    assert_eq!(cache.get_or_compute("key", || 2), 1);
    assert_eq!(caches.statistics().loads, 1);
}

#[test]
fn what_is_dear_is_renewed_early_by_its_own_cost() {
    let (caches, clock) = caches(MIB);
    let cache = caches.namespace_with::<u64>("numbers", options(Duration::ZERO, 1.0));
    let dear = Loaded { cost: Some(Duration::from_secs(100)), ..Loaded::of(1) };
    assert_eq!(cache.fetch("key", || Ok::<_, Infallible>(dear)), Ok(Some(1)));
    clock.advance(TTL.saturating_sub(Duration::from_millis(1)));
    // Each of them draws, and says no once in a hundred thousand times.
    let answers = [2, 3].map(|value| cache.get_or_compute("key", || value));
    assert!(answers.contains(&2) || answers.contains(&3), "{answers:?}");
    assert!(caches.statistics().refreshes >= 1);
}
