//! What a tick and a scan of all processes cost, hot: nanoseconds by quantile.
//!
//! `cargo bench -p veritas-monitor`. System calls per tick: run it with
//! `TICKS` 110 and 10 under `strace -f -c` and divide the difference by 100
//! (`strace -f -c target/release/deps/sample-… 110`).

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::Duration;

use veritas_model::{Clock, SystemClock};
use veritas_monitor::{ProcessTable, Sampler, SamplerOptions};

/// Sorted nanoseconds: the median, the 99th percentile and the largest.
fn report(name: &str, mut nanos: Vec<u128>) {
    nanos.sort_unstable();
    let at = |percent: usize| nanos[(nanos.len() - 1) * percent / 100];
    println!("{name}: p50 {} ns, p99 {} ns, max {} ns, n {}", at(50), at(99), at(100), nanos.len());
}

fn time(clock: &SystemClock, count: usize, mut act: impl FnMut()) -> Vec<u128> {
    let mut timed = || {
        let before = clock.monotonic();
        act();
        clock.monotonic().since(before)
    };
    (0..count).map(|_| timed()).map(|elapsed: Duration| elapsed.as_nanos()).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ticks = std::env::args().find_map(|argument| argument.parse().ok());
    let clock = SystemClock::new();
    let mut sampler = Sampler::open(SamplerOptions::default())?;
    let reading = sampler.tick(&clock);
    let figures = reading.series().len();
    if let Some(ticks) = ticks {
        for _ in 0..ticks {
            sampler.tick(&clock);
        }
        return Ok(());
    }
    report(&format!("tick ({figures} figures)"), time(&clock, 20_000, || drop(sampler.tick(&clock))));
    let mut table = ProcessTable::new();
    table.scan(&clock)?;
    let processes = table.top_by_memory(usize::MAX).len();
    report(
        &format!("scan of {processes} processes"),
        time(&clock, 200, || {
            let _scanned = table.scan(&clock);
        }),
    );
    Ok(())
}
