//! Batches over Redis: keys per second of one caller.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use veritas_model::{Clock, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, SetEntry};
use veritas_testkit::Redis;

use super::{peers, table::Table};

const ROUNDS: usize = 15;
/// As long as the values of the Python peers.
const VALUE: [u8; 200] = [b'x'; 200];
const TTL: Duration = Duration::from_mins(5);

/// Measures `get_many` and `set_many` of `count` keys, beside the bare client and the Python peers.
pub(crate) fn measure(redis: &Redis, python: &Path, count: usize) -> anyhow::Result<[Table; 2]> {
    let port = redis.address().context("Redis listens on TCP")?.port().to_string();
    let clock = Arc::new(SystemClock::new());
    let mut get = Table::new(format!("get_many of {count} values of 200 bytes"), "keys/s");
    let mut set = Table::new(format!("set_many of {count} values of 200 bytes for 5 minutes"), "keys/s");

    let keys: Vec<Vec<u8>> =
        (0..count).map(|number| format!("veritas:bench:{number}").into_bytes()).collect();
    let entries: Vec<SetEntry<'_>> =
        keys.iter().map(|key| SetEntry { key, value: &VALUE, ttl: Some(TTL) }).collect();
    let options = RedisOptions::parse(&redis.url())?;
    let tier = RedisTier::connect(options, Arc::clone(&clock) as Arc<dyn Clock>)?;
    ensure!(tier.set_many_blocking(&entries).iter().all(Result::is_ok), "the values were not set");
    set.add(
        "veritas-redis",
        rounds(&*clock, count, || tier.set_many_blocking(&entries).iter().all(Result::is_ok))?,
    );
    get.add(
        "veritas-redis",
        rounds(&*clock, count, || {
            tier.get_many_blocking(&keys).iter().all(|got| matches!(got, Ok(Some(_))))
        })?,
    );

    let mut bare = redis::Client::open(redis.url())?.get_connection()?;
    set.add(
        "redis-rs, a pipeline of SET EX",
        rounds(&*clock, count, || {
            let mut pipeline = redis::pipe();
            for key in &keys {
                pipeline.cmd("SET").arg(key).arg(&VALUE).arg("EX").arg(TTL.as_secs()).ignore();
            }
            pipeline.query::<()>(&mut bare).is_ok()
        })?,
    );
    get.add(
        "redis-rs, one MGET",
        rounds(&*clock, count, || {
            let got: redis::RedisResult<Vec<Vec<u8>>> = redis::cmd("MGET").arg(&keys).query(&mut bare);
            got.is_ok_and(|got| got.len() == count)
        })?,
    );

    let figures = peers::run(python, &["batches", "--port", &port, "--count", &count.to_string()])?;
    for (name, rates) in figures["keys_per_second"].as_object().context("there are figures of batches")? {
        for (table, kind) in [(&mut get, "get"), (&mut set, "set")] {
            if let Some(rate) = rates[kind].as_f64() {
                table.add(name, vec![rate]);
            }
        }
    }
    Ok([get, set])
}

#[expect(clippy::cast_precision_loss, reason = "keys of a batch")]
fn rounds(clock: &dyn Clock, count: usize, mut batch: impl FnMut() -> bool) -> anyhow::Result<Vec<f64>> {
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = clock.monotonic();
        ensure!(batch(), "a batch failed");
        rates.push(count as f64 / clock.monotonic().since(start).as_secs_f64());
    }
    Ok(rates)
}
