//! What the history costs: appending, replaying, asking, and the bytes of a tick.
//!
//! `cargo bench -p veritas-store --bench history` prints one line for each
//! figure; with `--features sqlite` also the cost of a durable record.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and may panic")]
#![expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]

use std::{fs, num::NonZeroUsize, path::Path, sync::Arc};

use veritas_model::{Clock, SystemClock, Timestamp};
use veritas_store::{History, HistoryOptions, HistoryQuery};

/// A seeded source of jitter (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const SERIES: usize = 40;

/// A second of a host: 20 series that stay, 12 counters and gauges of bytes, 8 percentages in full precision.
struct Host {
    names: Vec<String>,
    values: Vec<f64>,
    random: Random,
    now: i64,
}

impl Host {
    fn new() -> Self {
        let names = (0..SERIES).map(|index| format!("system.some.series_{index}_bytes")).collect();
        let values = (0..SERIES).map(|index| (index * 1_000_003) as f64).collect();
        Self { names, values, random: Random(42), now: 1_700_000_000_000_000_000 }
    }

    fn tick(&mut self) {
        self.now += 1_000_000_000 + i64::try_from(self.random.below(3_000_000)).unwrap_or(0);
        for value in &mut self.values[20..32] {
            *value += self.random.below(100_000) as f64;
        }
        for value in &mut self.values[32..] {
            *value = self.random.below(100_000) as f64 / 1009.0;
        }
    }

    fn numbers(&self) -> Vec<(&str, f64)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied()).collect()
    }
}

fn open(directory: &Path) -> History {
    History::open(directory, HistoryOptions::default(), Arc::default()).unwrap()
}

/// Appends points and returns the nanoseconds of each `append`, sorted.
fn append(history: &History, ticks: usize) -> Vec<u128> {
    let clock = SystemClock::new();
    let mut host = Host::new();
    let mut nanos: Vec<_> = (0..ticks)
        .map(|_| {
            host.tick();
            let numbers = host.numbers();
            let texts = [("process.name", "veritas"), ("process.status", "sleeping")];
            let start = clock.monotonic();
            history.append(Timestamp::from_nanos(host.now), &numbers, &texts).unwrap();
            clock.monotonic().since(start).as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    nanos
}

fn show(what: &str, nanos: &[u128]) {
    let quantile = |share: usize| nanos[(nanos.len() - 1) * share / 1000];
    println!("{what}: p50 {} ns, p99 {} ns, max {} ns", quantile(500), quantile(990), quantile(1000));
}

/// Runs `work` 20 times and prints its times.
fn repeat<T>(what: &str, mut work: impl FnMut() -> T) {
    let clock = SystemClock::new();
    let mut nanos: Vec<_> = (0..20)
        .map(|_| {
            let start = clock.monotonic();
            let done = work();
            let elapsed = clock.monotonic().since(start).as_nanos();
            drop(done);
            elapsed
        })
        .collect();
    nanos.sort_unstable();
    show(what, &nanos);
}

/// Appends durable records to the control plane.
#[cfg(feature = "sqlite")]
fn durable(clock: &Arc<SystemClock>) {
    use veritas_store::{AuditEntry, ControlPlane, SqliteControlPlane};

    let directory = tempfile::tempdir().unwrap();
    let control = SqliteControlPlane::open(&directory.path().join("control.sqlite"), clock.clone()).unwrap();
    let entry = AuditEntry {
        at: clock.now(),
        subject: "ann".into(),
        action: "approve".into(),
        object: "p-0123456789abcdef".into(),
        outcome: "ok".into(),
    };
    let mut nanos: Vec<_> = (0..1000)
        .map(|_| {
            let start = clock.monotonic();
            control.append_audit(&entry).unwrap();
            clock.monotonic().since(start).as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    show("durable audit entry", &nanos);
}

fn main() {
    #[cfg(feature = "sqlite")]
    durable(&Arc::new(SystemClock::new()));
    let ticks = 200_000;
    println!("{ticks} ticks of {SERIES} series (20 constant, 12 integers, 8 floats) and 2 texts");
    let memory = History::in_memory(NonZeroUsize::new(10_000).unwrap());
    show("append, in memory", &append(&memory, ticks));

    let directory = tempfile::tempdir().unwrap();
    let history = open(directory.path());
    show("append, one write each", &append(&history, ticks));
    let bytes = history.statistics().bytes.get() as f64;
    let per_tick = bytes / ticks as f64;
    println!("bytes: {per_tick:.1} a tick, {:.3} a sample", per_tick / SERIES as f64);
    repeat("sync of one point", || {
        append(&history, 1);
        history.sync();
    });
    repeat("query, newest 100", || history.query(&HistoryQuery::newest(100)).unwrap());
    repeat("query, newest 10 000", || history.query(&HistoryQuery::newest(10_000)).unwrap());
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let points = history.query(&HistoryQuery::newest(usize::MAX)).unwrap().len();
    let seconds = clock.monotonic().since(start).as_secs_f64();
    println!(
        "query, all {points} points from the disk: {:.1} M samples/s",
        (points * SERIES) as f64 / seconds / 1e6
    );
    drop(history);

    repeat("open with 10 000 points to read", || open(directory.path()));
    let segments = fs::read_dir(directory.path()).unwrap().count();
    let options =
        HistoryOptions { head_points: NonZeroUsize::new(ticks).unwrap(), ..HistoryOptions::default() };
    let start = clock.monotonic();
    let history = History::open(directory.path(), options, Arc::default()).unwrap();
    let seconds = clock.monotonic().since(start).as_secs_f64();
    let samples = (history.len() * SERIES) as f64;
    println!("replay of {segments} segments into memory: {:.1} M samples/s", samples / seconds / 1e6);
}
