//! Cached functions over Redis: one result for all processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use veritas::{
    cache::{CacheOptions, Caches},
    cached,
    model::{Clock, SystemClock},
    redis::{RedisOptions, RedisTier, TieredCaches, TieredOptions},
};
use veritas_testkit::Redis;

/// What a process has: caches of its own, over the Redis of all.
fn process(redis: &Redis) -> TieredCaches {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock)));
    // However busy the machine is: who gives up on Redis loads for himself.
    let options =
        RedisOptions { deadline: Duration::from_secs(30), ..RedisOptions::parse(&redis.url()).unwrap() };
    let tier = RedisTier::connect(options, Arc::clone(&clock)).unwrap();
    TieredCaches::new(caches, tier, clock)
}

#[cached(
    "tiered user",
    ttl = "1h",
    negative_ttl = "1h",
    tags("user:{id}"),
    in = tiered,
    ignore(tiered, runs)
)]
fn user(tiered: &TieredCaches, runs: &AtomicU32, id: u32) -> Result<Option<String>, String> {
    let run = runs.fetch_add(1, Ordering::SeqCst);
    match id {
        0 => Err("failed".to_owned()),
        1 => Ok(None),
        _ => Ok(Some(format!("user {id} of run {run}"))),
    }
}

#[cached("tiered name", ttl = "1h", version = 2, in = tiered, ignore(tiered, runs))]
async fn name(tiered: &TieredCaches, runs: &AtomicU32, id: u32) -> String {
    runs.fetch_add(1, Ordering::SeqCst);
    format!("name of {id}")
}

#[test]
fn processes_share_the_results_of_a_function() {
    let redis = Redis::start();
    let (one, other) = (process(&redis), process(&redis));
    let runs = AtomicU32::new(0);
    let first = user(&one, &runs, 7).unwrap();
    assert_eq!(first.as_deref(), Some("user 7 of run 0"));
    assert_eq!(user(&other, &runs, 7).unwrap(), first);
    assert_eq!((user(&one, &runs, 1), user(&other, &runs, 1)), (Ok(None), Ok(None)));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert!(user(&one, &runs, 0).is_err() && user(&other, &runs, 0).is_err());
    assert_eq!(runs.load(Ordering::SeqCst), 4, "an error is shared with nobody who comes later");

    // A tag kills it, whatever the options of the handle that invalidates it; so does a clear.
    let users = one.namespace::<String>("tiered user", TieredOptions::default());
    users.invalidate_tag_blocking("user:7").unwrap();
    let second = user(&one, &runs, 7).unwrap();
    assert_ne!(second, first);
    users.clear_blocking().unwrap();
    assert_ne!(user(&one, &runs, 7).unwrap(), second);

    let runs = AtomicU32::new(0);
    let future = name(&one, &runs, 1);
    assert_eq!(block_on(is_send(future)), block_on(name(&other, &runs, 1)));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

fn is_send<T: Send>(future: T) -> T {
    future
}

/// Runs a future that waits for the thread of the connections.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
