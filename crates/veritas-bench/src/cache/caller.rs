//! One process of a stampede: many threads that ask for one key at the same time.

use std::{
    io::Write as _,
    sync::{Arc, Barrier},
    time::Duration,
};

use anyhow::ensure;
use clap::Args;
use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Clock, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, TieredCaches, TieredOptions};

/// What the process says when it is connected.
pub(crate) const READY: &str = "ready";
/// What it is told then.
pub(crate) const GO: &str = "go";
/// The key under which loads are counted.
pub(crate) const LOADS: &str = "loads";

const LOAD: Duration = Duration::from_millis(300);

/// One process of a stampede; the benchmark starts it.
#[derive(Debug, Args)]
pub(crate) struct Caller {
    /// Redis.
    url: String,
    /// Threads that ask.
    #[arg(long)]
    callers: usize,
}

/// Says that it is ready, waits to be let go, asks with all threads, and prints the seconds that took.
#[expect(clippy::print_stdout, reason = "this is how the benchmark hears of it")]
pub(crate) fn run(caller: &Caller) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock) as Arc<dyn Clock>));
    let redis = RedisTier::connect(RedisOptions::parse(&caller.url)?, Arc::clone(&clock) as Arc<dyn Clock>)?;
    // The first call waits for the connection.
    ensure!(redis.get_blocking(b"veritas:warm").is_ok(), "Redis is not there");
    let tiered = TieredCaches::new(caches, redis, Arc::clone(&clock) as Arc<dyn Clock>);
    let values = tiered.namespace::<String>("stampede", TieredOptions::default());
    let counting = redis::Client::open(caller.url.as_str())?;

    println!("{READY}");
    std::io::stdout().flush()?;
    let mut told = String::new();
    std::io::stdin().read_line(&mut told)?;
    ensure!(told.trim() == GO, "told something else than {GO}");

    let start = clock.monotonic();
    let barrier = Barrier::new(caller.callers);
    let answered = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..caller.callers)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    values.get_or_load_blocking("value", || load(&counting)).is_ok()
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|answered| *answered).count()
    });
    ensure!(answered == caller.callers, "only {answered} callers were answered");
    println!("{}", clock.monotonic().since(start).as_secs_f64());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a slow source")]
fn load(counting: &redis::Client) -> redis::RedisResult<String> {
    redis::cmd("INCR").arg(LOADS).query::<u64>(&mut counting.get_connection()?)?;
    std::thread::sleep(LOAD);
    Ok("x".repeat(200))
}
