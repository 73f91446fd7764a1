//! What batches cost: ours beside bare redis-rs, in one run and interleaved, as keys
//! per second and as ratios to the bare client; and how soon a peer's change is heard.
//!
//! `cargo bench -p veritas-redis --bench batches`, on a Unix socket and on loopback TCP, values of
//! 200 bytes, 1000 keys a batch; each figure is the median of the rounds, with the
//! slowest and the fastest; on a busy machine the fastest rounds tell more. The bare client has a server of its own, which tells
//! nobody of changes; ours has one with tracking and one that refuses it. Telling costs the server
//! about as much again as a write. The servers and this program share the processors.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::{sync::Arc, time::Duration};

use redis::aio::MultiplexedConnection;
use veritas_model::{Clock, Condition, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, SetEntry};
use veritas_testkit::{Redis, wait_for};

const KEYS: usize = 1000;
const ROUNDS: usize = 15;
const CALLS: usize = 20;
const CHANGES: usize = 5_000;

struct Bench {
    clock: Arc<SystemClock>,
    keys: Vec<String>,
    value: Vec<u8>,
}

fn main() {
    let bench = Bench {
        clock: Arc::new(SystemClock::new()),
        keys: (0..KEYS).map(|n| format!("veritas:bench:v1:{n:08}")).collect(),
        value: vec![b'v'; 200],
    };
    for start in [Redis::start, Redis::start_tcp] {
        let redis = start();
        println!("{}", redis.url().split(':').next().unwrap_or_default());
        bench.batches(&redis, &start(), &start());
        bench.hear(&redis);
        bench.refuse(&redis);
    }
}

impl Bench {
    fn connect(&self, url: &str) -> RedisTier {
        let mut options = RedisOptions::parse(url).unwrap();
        options.deadline = Duration::from_secs(5);
        let tier = RedisTier::connect(options, self.clock.clone()).unwrap();
        wait_for(Duration::from_secs(10), || tier.get_blocking(b"veritas:x").is_ok());
        tier
    }

    fn batches(&self, redis: &Redis, untracked: &Redis, bare: &Redis) {
        let tier = self.connect(&redis.url());
        untracked.cli(&["ACL", "SETUSER", "default", "-client|tracking"]);
        let deaf = self.connect(&untracked.url());
        assert_eq!(tier.condition(), Condition::Ready);
        assert!(!deaf.is_coherent());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = redis::Client::open(bare.url()).unwrap();
        let mut bare = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        let entries: Vec<_> = self
            .keys
            .iter()
            .map(|key| SetEntry {
                key: key.as_bytes(),
                value: &self.value,
                ttl: Some(Duration::from_mins(5)),
            })
            .collect();

        let mut figures: [(&str, usize, Vec<f64>); 9] = [
            ("redis-rs, pipeline of SET PX", 0, Vec::new()),
            ("ours, set_many, tracked", 0, Vec::new()),
            ("ours, set_many, untracked", 0, Vec::new()),
            ("redis-rs, MGET", 3, Vec::new()),
            ("redis-rs, pipeline of GET", 3, Vec::new()),
            ("ours, get_many", 3, Vec::new()),
            ("ours, get_many_blocking", 3, Vec::new()),
            ("redis-rs, 1000 concurrent GET", 7, Vec::new()),
            ("ours, 1000 concurrent get", 7, Vec::new()),
        ];
        for _ in 0..ROUNDS {
            let mut push = |index: usize, seconds: f64| figures[index].2.push(seconds);
            push(0, self.time(|| runtime.block_on(bare_sets(&mut bare, &entries))));
            push(
                1,
                self.time(|| assert!(runtime.block_on(tier.set_many(&entries)).iter().all(Result::is_ok))),
            );
            push(
                2,
                self.time(|| assert!(runtime.block_on(deaf.set_many(&entries)).iter().all(Result::is_ok))),
            );
            push(3, self.time(|| runtime.block_on(bare_mget(&mut bare, &self.keys))));
            push(4, self.time(|| runtime.block_on(bare_gets(&mut bare, &self.keys))));
            push(
                5,
                self.time(|| assert!(runtime.block_on(tier.get_many(&self.keys)).iter().all(Result::is_ok))),
            );
            push(6, self.time(|| assert!(tier.get_many_blocking(&self.keys).iter().all(Result::is_ok))));
            push(7, self.time(|| runtime.block_on(concurrent_bare(&bare, &self.keys))));
            push(8, self.time(|| runtime.block_on(concurrent_ours(&tier, &self.keys))));
        }
        let one = self.keys[0].as_bytes();
        let mut alone = [Vec::new(), Vec::new()];
        for _ in 0..2_000 {
            let start = self.clock.monotonic();
            runtime.block_on(bare_mget(&mut bare, &self.keys[..1]));
            let middle = self.clock.monotonic();
            assert!(tier.get_blocking(one).is_ok());
            alone[0].push(middle.since(start));
            alone[1].push(self.clock.monotonic().since(middle));
        }
        for waits in &mut alone {
            waits.sort();
        }
        println!("  one key at a time: redis-rs {:?}, ours {:?} (p50)", alone[0][1_000], alone[1][1_000]);
        let medians: Vec<_> = figures.iter_mut().map(|(_, _, seconds)| median(seconds)).collect();
        for (index, (name, reference, seconds)) in figures.iter().enumerate() {
            let rate = |seconds: f64| 1e-6 / seconds;
            println!(
                "  {name:32} {:6.3} M keys/s ({:.3} to {:.3}), {:5.2} x, fastest {:5.2} x",
                rate(medians[index]),
                rate(seconds[seconds.len() - 1]),
                rate(seconds[0]),
                medians[*reference] / medians[index],
                figures[*reference].2[0] / seconds[0],
            );
        }
    }

    /// Returns the seconds that one key takes.
    fn time(&self, mut call: impl FnMut()) -> f64 {
        let start = self.clock.monotonic();
        for _ in 0..CALLS {
            call();
        }
        self.clock.monotonic().since(start).as_secs_f64() / count(CALLS * KEYS)
    }

    /// How long after a peer's write, measured from before it, its news is here.
    fn hear(&self, redis: &Redis) {
        let (tier, peer) = (self.connect(&redis.url()), self.connect(&redis.url()));
        let (sender, heard) = std::sync::mpsc::channel();
        let clock = Arc::clone(&self.clock);
        tier.subscribe(Arc::new(move |_| sender.send(clock.monotonic()).unwrap_or_default()));
        let mut waits: Vec<_> = (0..CHANGES)
            .map(|_| {
                let start = self.clock.monotonic();
                peer.set_blocking(SetEntry { key: b"veritas:heard", value: b"v", ttl: None }).unwrap();
                heard.recv().unwrap().since(start)
            })
            .collect();
        waits.sort();
        let at = |share: usize| waits[waits.len() * share / 1000];
        println!(
            "  a peer's change is heard after {:?} (p50), {:?} (p99), {:?} (p99.9)",
            at(500),
            at(990),
            at(999)
        );
    }

    /// What a call costs when the server is gone.
    fn refuse(&self, redis: &Redis) {
        let tier = self.connect(&redis.url());
        redis.kill();
        wait_for(Duration::from_secs(10), || !tier.is_available());
        let key = self.keys[0].as_bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let start = self.clock.monotonic();
        runtime.block_on(async {
            for _ in 0..1_000_000 {
                assert!(tier.get(key).await.is_err());
            }
        });
        let each = self.clock.monotonic().since(start) / 1_000_000;
        println!("  a call that is refused costs {each:?}");
        redis.restart();
        let start = self.clock.monotonic();
        wait_for(Duration::from_secs(10), || tier.get_blocking(key).is_ok());
        println!("  used again {:?} after its return", self.clock.monotonic().since(start));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn count(number: usize) -> f64 {
    number as f64
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

async fn bare_sets(bare: &mut MultiplexedConnection, entries: &[SetEntry<'_>]) {
    let mut pipeline = redis::pipe();
    for entry in entries {
        pipeline.cmd("SET").arg(entry.key).arg(entry.value).arg("PX").arg(300_000).ignore();
    }
    pipeline.query_async::<()>(bare).await.unwrap();
}

async fn bare_mget(bare: &mut MultiplexedConnection, keys: &[String]) {
    let values: Vec<Option<Vec<u8>>> = redis::cmd("MGET").arg(keys).query_async(bare).await.unwrap();
    assert_eq!(values.len(), keys.len());
}

async fn bare_gets(bare: &mut MultiplexedConnection, keys: &[String]) {
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("GET").arg(key);
    }
    let values: Vec<Option<Vec<u8>>> = pipeline.query_async(bare).await.unwrap();
    assert_eq!(values.len(), keys.len());
}

async fn concurrent_bare(bare: &MultiplexedConnection, keys: &[String]) {
    let mut gets = tokio::task::JoinSet::new();
    for key in keys {
        let (mut bare, key) = (bare.clone(), key.clone());
        gets.spawn(async move {
            redis::cmd("GET").arg(key).query_async::<Option<Vec<u8>>>(&mut bare).await.is_ok()
        });
    }
    while let Some(answered) = gets.join_next().await {
        assert!(answered.unwrap());
    }
}

async fn concurrent_ours(tier: &RedisTier, keys: &[String]) {
    let mut gets = tokio::task::JoinSet::new();
    for key in keys {
        let (tier, key) = (tier.clone(), key.clone());
        gets.spawn(async move { tier.get(key.as_bytes()).await.is_ok() });
    }
    while let Some(answered) = gets.join_next().await {
        assert!(answered.unwrap());
    }
}
