//! What a look-up costs: ours beside bare `quick_cache`, `moka` and `cached`, in one run and interleaved.
//!
//! `cargo bench -p veritas-cache --bench hits`. Keys are Zipf 0.99 over 1 Ki (which stay in the
//! processor's second cache) and over 64 Ki (which do not), all present; the
//! sequence is drawn before. Look-ups are timed in batches of 64, of each of which
//! the mean is taken; p50 and p99 are quantiles of these means, over all rounds. On a machine
//! that has other things to do the p50 stays comparable, since a batch takes microseconds.
//! The throughput is that of all threads together in the median round, by wall time: from
//! the first look-up to the end of the slowest thread, the clock readings of the batches included.
//!
//! `-- --only NAME` runs one contender alone for 2,000,000 look-ups over 1 Ki keys, for callgrind:
//! `valgrind --tool=callgrind target/release/deps/hits-… --only ours`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    hint::black_box,
    sync::{Arc, Barrier, Mutex},
    time::Duration,
};

use cached::{ConcurrentCached, stores::ShardedLruTtlCache};
use veritas_cache::{CacheOptions, Caches, NamespaceOptions};
use veritas_model::{Bytes, Clock, SystemClock};
use veritas_statistics::Rng;

const SEQUENCE: usize = 1 << 16;
const BATCH: usize = 64;
const ROUNDS: usize = 15;
const A_DAY: Duration = Duration::from_hours(24);

type LookUp<'a> = Box<dyn Fn(&[u32]) -> usize + Sync + 'a>;

fn main() {
    for keys in [1_024, 65_536] {
        compare(keys);
        if std::env::args().any(|argument| argument == "--only") {
            return;
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a list of contenders, all over the same keys")]
fn compare(keys: usize) {
    let clock = Arc::new(SystemClock::new());
    let options = CacheOptions { capacity: Bytes::new(512 << 20), ..CacheOptions::default() };
    let caches = |name: &str| {
        let caches = Caches::new(options.clone(), Arc::clone(&clock) as Arc<dyn Clock>);
        let ours = caches.namespace_with::<Arc<u64>>(name, NamespaceOptions::default()).with_ttl(A_DAY);
        (caches, ours)
    };
    let (_plain, ours) = caches("hits");
    let (tapped, sampled) = caches("sampled");
    let (all_tapped, all_sampled) = caches("all sampled");
    let bare = quick_cache::sync::Cache::<u64, Arc<u64>>::new(keys * 4);
    let texts = caches("texts").1;
    let bare_texts = quick_cache::sync::Cache::<String, Arc<u64>>::new(keys * 4);
    let moka = moka::sync::Cache::builder()
        .max_capacity(keys as u64 * 4)
        .time_to_live(A_DAY)
        .build_with_hasher(quick_cache::DefaultHashBuilder::default());
    let sharded = ShardedLruTtlCache::<u64, Arc<u64>>::builder().max_size(keys * 4).ttl(A_DAY).build();
    let Ok(sharded) = sharded else { return };
    let names: Vec<String> = (0..keys).map(|key| format!("content:{key:08}")).collect();
    for key in 0..keys as u64 {
        ours.set(&key, Arc::new(key));
        sampled.set(&key, Arc::new(key));
        all_sampled.set(&key, Arc::new(key));
        bare.insert(key, Arc::new(key));
        moka.insert(key, Arc::new(key));
        drop(sharded.cache_set(key, Arc::new(key)));
    }
    for (key, name) in names.iter().enumerate() {
        texts.set(name.as_str(), Arc::new(key as u64));
        bare_texts.insert(name.clone(), Arc::new(key as u64));
    }
    let tap = tapped.tap(1 << 16);
    for reading in tapped.namespaces() {
        tap.set_threshold(reading.id, u64::MAX / 100);
    }
    let tap_of_all = all_tapped.tap(1 << 16);
    let drained = Mutex::new(Vec::new());

    macro_rules! hits {
        (|$key:ident| $found:expr) => {
            Box::new(|keys: &[u32]| {
                let mut hits = 0;
                for key in keys {
                    let $key = u64::from(black_box(*key));
                    hits += usize::from($found);
                }
                hits
            })
        };
    }
    #[expect(clippy::cast_possible_truncation, reason = "an index of 16 Ki")]
    let contenders: Vec<(&str, LookUp<'_>)> = vec![
        ("nothing", hits!(|key| black_box(key) < u64::MAX)),
        ("bare quick_cache", hits!(|key| bare.get(&key).is_some())),
        ("ours", hits!(|key| ours.get(&key).is_some())),
        ("ours, tap of 1 %", hits!(|key| sampled.get(&key).is_some())),
        ("ours, tap of all", hits!(|key| all_sampled.get(&key).is_some())),
        ("bare quick_cache, text of 16", hits!(|key| bare_texts.get(names[key as usize].as_str()).is_some())),
        ("ours, text of 16", hits!(|key| texts.get(names[key as usize].as_str()).is_some())),
        ("ours, (text, u64) missed", hits!(|key| ours.get(&("user", key)).is_none())),
        ("moka", hits!(|key| moka.get(&key).is_some())),
        (
            "cached, sharded LRU with a TTL",
            hits!(|key| sharded.cache_get(&key).is_ok_and(|found| found.is_some())),
        ),
    ];
    let sequence = zipf(keys, 0.99);
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        for (_, look_up) in
            contenders.iter().filter(|(name, _)| Some(*name) == arguments.get(at + 1).map(String::as_str))
        {
            for _ in 0..31 {
                black_box(look_up(&sequence));
            }
        }
        return;
    }
    for threads in [1, 2] {
        let mut batches = vec![Vec::new(); contenders.len()];
        let mut walls = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for (((_, look_up), batches), walls) in contenders.iter().zip(&mut batches).zip(&mut walls) {
                walls.push(time_batches(&*clock, threads, &sequence, look_up, batches));
                let mut drained = drained.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                drained.clear();
                tap.drain(&mut drained);
                tap_of_all.drain(&mut drained);
            }
        }
        println!("\n{keys} keys, {threads} thread(s), {ROUNDS} rounds of {SEQUENCE} look-ups a thread:");
        let quantile = |batches: &mut Vec<f64>, part: f64| {
            batches.sort_by(f64::total_cmp);
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index"
            )]
            batches[(batches.len() as f64 * part) as usize]
        };
        let bare = quantile(&mut batches[1], 0.5);
        for (((name, _), batches), walls) in contenders.iter().zip(&mut batches).zip(&mut walls) {
            let (p50, p99) = (quantile(batches, 0.5), quantile(batches, 0.99));
            walls.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let look_ups = f64::from(threads) * SEQUENCE as f64;
            println!(
                "  {name:<32} p50 {p50:>6.1} ns  p99 {p99:>7.1} ns  {:>5.2} x bare  {:>6.1} Mops/s",
                p50 / bare,
                look_ups / walls[ROUNDS / 2].as_secs_f64() / 1e6,
            );
        }
    }
    for reading in tapped.namespaces() {
        println!("\nthe cache's own estimate of its hit: {:?} ns", reading.hit_cost_ns);
    }
}

/// Times batches of look-ups on each of `threads` at once; appends nanoseconds a look-up.
/// Returns how long the slowest thread took.
#[expect(clippy::cast_precision_loss, reason = "a time per operation")]
fn time_batches(
    clock: &dyn Clock,
    threads: u32,
    sequence: &[u32],
    look_up: &LookUp<'_>,
    out: &mut Vec<f64>,
) -> Duration {
    let (start, all) = (Barrier::new(threads as usize), Mutex::new((out, Duration::ZERO)));
    std::thread::scope(|scope| {
        for thread in 0..threads as usize {
            let (start, all) = (&start, &all);
            scope.spawn(move || {
                let offset = thread * SEQUENCE / 2;
                let mut times = Vec::with_capacity(SEQUENCE / BATCH);
                start.wait();
                let started = clock.monotonic();
                for batch in 0..SEQUENCE / BATCH {
                    let from = (offset + batch * BATCH) % SEQUENCE;
                    let began = clock.monotonic();
                    let hits = look_up(&sequence[from..from + BATCH]);
                    times.push(clock.monotonic().since(began).as_nanos() as f64 / BATCH as f64);
                    assert_eq!(hits, BATCH);
                }
                let took = clock.monotonic().since(started);
                let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                all.0.extend(times);
                all.1 = all.1.max(took);
            });
        }
    });
    all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).1
}

/// Draws keys by Zipf's law.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "ranks are small whole numbers"
)]
fn zipf(keys: usize, exponent: f64) -> Vec<u32> {
    let mut sums = Vec::with_capacity(keys);
    let mut sum = 0.0;
    for rank in 1..=keys {
        sum += (rank as f64).powf(-exponent);
        sums.push(sum);
    }
    let mut rng = Rng::new(7);
    let mut places: Vec<u32> = (0..keys as u32).collect();
    rng.shuffle(&mut places);
    (0..SEQUENCE)
        .map(|_| {
            let drawn = rng.next_f64() * sum;
            places[sums.partition_point(|upto| *upto < drawn).min(keys - 1)]
        })
        .collect()
}
