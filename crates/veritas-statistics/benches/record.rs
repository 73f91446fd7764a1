//! What recording costs: `cargo bench -p veritas-statistics`. Beside ours stands
//! `hdrhistogram`, in the same run, interleaved, since a shared machine is noisy.
//! Prints the median of the rounds in nanoseconds per value, and ratios.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark times and prints")]

use std::{hint::black_box, time::Instant};

use veritas_statistics::{Histogram, Rng, SharedHistogram, order};

const VALUES: usize = 1 << 16;
const ROUNDS: usize = 61;

fn main() {
    let mut rng = Rng::new(1);
    // Latencies around 20 us, spread over two octaves, with a tail.
    let values: Vec<u64> = (0..VALUES)
        .map(|_| 10_000 + rng.below(20_000) + if rng.below(100) == 0 { 5_000_000 } else { 0 })
        .collect();
    let mut ours = Histogram::new();
    let shared = SharedHistogram::new();
    // Three significant digits are finer than 1/128, two are coarser.
    let mut theirs_2 = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2)
        .expect("the bounds are valid");
    let mut theirs_3 = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)
        .expect("the bounds are valid");
    let mut times: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(per_value(&values, |value| {
            black_box(value);
        }));
        times[1].push(per_value(&values, |value| ours.record(black_box(value))));
        times[2].push(per_value(&values, |value| shared.record(black_box(value))));
        times[3].push(per_value(&values, |value| theirs_2.saturating_record(black_box(value))));
        times[4].push(per_value(&values, |value| theirs_3.saturating_record(black_box(value))));
    }
    let medians = times.map(|mut rounds| {
        rounds.sort_unstable_by(f64::total_cmp);
        order::quantile(&rounds, 0.5).expect("there were rounds")
    });
    println!("{VALUES} values x {ROUNDS} rounds, median ns per value:");
    println!("  empty loop                  {:.2}", medians[0]);
    println!("  Histogram                   {:.2}", medians[1]);
    println!("  SharedHistogram             {:.2}", medians[2]);
    println!(
        "  hdrhistogram, 2 digits      {:.2}  (Histogram / it: {:.2})",
        medians[3],
        medians[1] / medians[3]
    );
    println!(
        "  hdrhistogram, 3 digits      {:.2}  (Histogram / it: {:.2})",
        medians[4],
        medians[1] / medians[4]
    );
    black_box((ours.count(), shared.snapshot().count(), theirs_2.len(), theirs_3.len()));
}

fn per_value(values: &[u64], mut record: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    for value in values {
        record(*value);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX))
}
