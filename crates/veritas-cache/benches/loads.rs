//! What a load costs: ours beside `moka` and `quick_cache`, in one run and interleaved.
//!
//! `cargo bench -p veritas-cache --bench loads`. Three things: a miss that loads (each
//! key once, the loader does nothing), a hit through the loading call, and a
//! stampede (8 threads miss one key at once; the time until all have the value, of
//! which the loader works 50 µs). Each figure is the median of the rounds, with the fastest and the
//! slowest, and its ratio to `quick_cache`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Bytes, Clock, SystemClock};

const ROUNDS: u64 = 15;
const LOADS: u64 = 20_000;
const STAMPEDES: u64 = 100;
const THREADS: usize = 8;

/// Asks for a key, with a loader that makes its value.
type Ask<'a> = (&'a str, &'a (dyn Fn(u64, &dyn Fn() -> u64) -> u64 + Sync));

fn main() {
    let clock = SystemClock::new();
    let capacity = 4 * ROUNDS * LOADS;
    let options = CacheOptions { capacity: Bytes::new(1 << 30), ..CacheOptions::default() };
    let caches = Caches::new(options, Arc::new(clock));
    let ours = caches.namespace::<u64>("loads");
    let bare = quick_cache::sync::Cache::<u64, u64>::new(usize::try_from(capacity).unwrap_or(usize::MAX));
    let moka = moka::sync::Cache::builder()
        .max_capacity(capacity)
        .time_to_live(Duration::from_mins(5))
        .build_with_hasher(quick_cache::DefaultHashBuilder::default());
    let contenders: [Ask<'_>; 3] = [
        ("quick_cache get_or_insert_with", &|key, load| {
            bare.get_or_insert_with(&key, || Ok::<_, Infallible>(load())).unwrap_or_default()
        }),
        ("veritas-cache get_or_compute", &|key, load| ours.get_or_compute(&key, load)),
        ("moka get_with", &|key, load| moka.get_with(key, load)),
    ];

    compare("a miss that loads", "ns", &contenders, |ask, round| {
        per(&clock, LOADS, |index| ask(round * LOADS + index, &|| index))
    });
    // Beside the hits: what a plain look-up costs, of the same keys.
    let plain: Ask<'_> = ("veritas-cache get", &|key, _| ours.get(&key).unwrap_or_default());
    let looking_up = [contenders[0], contenders[1], contenders[2], plain];
    compare("a hit through the loading call", "ns", &looking_up, |ask, round| {
        per(&clock, LOADS, |index| ask(round * LOADS + index, &|| unreachable!("it was loaded")))
    });
    let loads = AtomicU64::new(0);
    compare("8 threads that miss one key", "µs", &contenders, |ask, round| {
        stampedes(&clock, ask, (1 << 40) + round * STAMPEDES, &loads) / 1e3
    });
    let stampedes = ROUNDS * STAMPEDES * contenders.len() as u64;
    println!("\n{stampedes} stampedes, {} loads", loads.into_inner());
}

/// Runs all contenders in turn and prints what `measure` tells of each.
fn compare(
    what: &str,
    unit: &str,
    contenders: &[Ask<'_>],
    measure: impl Fn(&(dyn Fn(u64, &dyn Fn() -> u64) -> u64 + Sync), u64) -> f64,
) {
    let mut figures = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for ((_, ask), figures) in contenders.iter().zip(&mut figures) {
            figures.push(measure(ask, round));
        }
    }
    println!("\n{what}, {ROUNDS} rounds:");
    for figures in &mut figures {
        figures.sort_by(f64::total_cmp);
    }
    let median = |figures: &[f64]| figures[figures.len() / 2];
    let base = median(&figures[0]);
    for ((name, _), figures) in contenders.iter().zip(&figures) {
        let (first, last) = (figures[0], figures[figures.len() - 1]);
        let median = median(figures);
        println!("  {name:<32} {median:>8.1} {unit}  ({first:.1} to {last:.1})  {:>5.2} x", median / base);
    }
}

/// Returns the nanoseconds that one of `times` runs takes.
#[expect(clippy::cast_precision_loss, reason = "a time per operation")]
fn per(clock: &dyn Clock, times: u64, run: impl Fn(u64) -> u64) -> f64 {
    let start = clock.monotonic();
    for index in 0..times {
        black_box(run(index));
    }
    clock.monotonic().since(start).as_nanos() as f64 / times as f64
}

/// Returns the nanoseconds that a stampede takes, of keys from `first` on.
fn stampedes(
    clock: &SystemClock,
    ask: &(dyn Fn(u64, &dyn Fn() -> u64) -> u64 + Sync),
    first: u64,
    loads: &AtomicU64,
) -> f64 {
    let together = Barrier::new(THREADS);
    let load = || {
        let start = clock.monotonic();
        while clock.monotonic().since(start) < Duration::from_micros(50) {
            std::hint::spin_loop();
        }
        loads.fetch_add(1, Ordering::Relaxed)
    };
    let stampede = |index| {
        together.wait();
        let loaded = ask(first + index, &load);
        together.wait();
        loaded
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS {
            scope.spawn(|| (0..STAMPEDES).for_each(|index| _ = black_box(stampede(index))));
        }
        per(clock, STAMPEDES, stampede)
    })
}
