//! Proof of miss-ratio curves: estimates beside full replays of the real engine.
//!
//! `cargo run --release -p veritas-cache-advisor --example prove_curves -- [keys] [requests] [seed]`
//!
//! For each workload of the suite, ten sizes from half a percent of its footprint
//! to all of it: our estimate and the bound it claims, the estimate corrected
//! through the misses of one real cache (the sixth size), and the LRU curve by
//! SHARDS-adj. Where entries have weights, LRU's sizes are in mean weights.
//! Fails when the mean error is above 0.005, the worst above 0.025, fewer than nine
//! in ten bounds hold, or an estimator takes more than 1 MiB.
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares of counts, and counts of shares"
)]

mod shards;

use std::{process::ExitCode, time::Duration};

use shards::Shards;
use veritas_cache_advisor::{
    EstimatorOptions, MissRatioEstimator, sampling_hash,
    simulate::{Engine, Policy},
    workload::{Case, Weights, suite},
};
use veritas_model::{Bytes, Clock, SystemClock};

#[derive(Default)]
struct Errors(Vec<f64>);

impl Errors {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    fn worst(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

#[derive(Default)]
struct Totals {
    ours: Errors,
    through: Errors,
    shards: Errors,
    nanos: Errors,
    covered: usize,
    most_bytes: u64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut next = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let (keys, requests, seed) = (next(1_000_000), next(4_000_000), next(2));
    let mut totals = Totals::default();
    for (number, case) in suite(keys, seed).iter().enumerate() {
        prove(case, seed << 8 | number as u64, requests as usize, &mut totals);
    }
    let Totals { ours, through, shards, nanos, covered, most_bytes } = &totals;
    println!("\n                               mean    worst");
    println!("ours                         {:.4}   {:.4}", ours.mean(), ours.worst());
    println!("ours, through a real cache   {:.4}   {:.4}", through.mean(), through.worst());
    println!("LRU by SHARDS-adj            {:.4}   {:.4}", shards.mean(), shards.worst());
    println!(
        "{covered} of {} errors within their bounds; at most {most_bytes} bytes; {:.1} ns a request",
        ours.0.len(),
        nanos.mean()
    );
    let holds = ours.mean() <= 0.005
        && ours.worst() <= 0.025
        && covered * 10 >= ours.0.len() * 9
        && *most_bytes <= 1024 * 1024;
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prove(case: &Case, salt: u64, requests: usize, totals: &mut Totals) {
    let trace: Vec<(u64, u32)> = case
        .workload
        .requests()
        .take(requests)
        // Other keys for each case: else all would share one sample's luck.
        .map(|request| (sampling_hash(sampling_hash(salt) ^ request.key), request.weight))
        .collect();
    let mut distinct = trace.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let footprint: u64 = distinct.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mean_weight = footprint as f64 / distinct.len() as f64;
    let policy = if case.workload.weights == Weights::One { Policy::ENTRIES } else { Policy::BYTES };
    let share = |step: i32| footprint as f64 * 0.005 * 200.0_f64.powf(f64::from(step) / 9.0);
    let sizes: Vec<Bytes> = (0..10).map(|step| Bytes::new(share(step).round() as u64)).collect();

    let clock = SystemClock::new();
    let mut estimator =
        MissRatioEstimator::new(&sizes, EstimatorOptions { policy, ..EstimatorOptions::default() });
    let start = clock.monotonic();
    for (hash, weight) in &trace {
        estimator.request(*hash, *weight, Duration::ZERO);
    }
    let nanos = clock.monotonic().since(start).as_nanos() as f64 / requests as f64;
    let mut shards = Shards::new(2_000);
    for (hash, _) in &trace {
        shards.request(*hash);
    }
    let start = clock.monotonic();
    let misses: Vec<usize> = sizes
        .iter()
        .map(|size| {
            let mut engine = Engine::new(&policy, size.get());
            trace.iter().filter(|(hash, weight)| !engine.request(*hash, *weight)).count()
        })
        .collect();
    let full = clock.monotonic().since(start).as_nanos() as f64 / requests as f64;

    let curve = estimator.curve();
    let through = estimator.curve_through(sizes[5], misses[5] as u64);
    println!(
        "\n{}: {} keys, a share of {:.4} sampled at the smallest size; {nanos:.1} ns a request, {full:.0} ns for ten full replays",
        case.name,
        distinct.len(),
        curve.rate
    );
    println!(
        "{:>14}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}",
        "capacity", "true", "ours", "error", "bound", "through", "LRU SHARDS"
    );
    for (index, (point, corrected)) in curve.points.iter().zip(&through.points).enumerate() {
        let truth = misses[index] as f64 / requests as f64;
        let lru = shards.miss_ratio((sizes[index].get() as f64 / mean_weight) as u64);
        let error = point.miss_ratio - truth;
        println!(
            "{:>14}{truth:>9.4}{:>9.4}{error:>+9.4}{:>9.4}{:>+9.4}{:>+11.4}",
            point.capacity.get(),
            point.miss_ratio,
            point.error_bound,
            corrected.miss_ratio - truth,
            lru - truth
        );
        totals.ours.0.push(error.abs());
        totals.through.0.push((corrected.miss_ratio - truth).abs());
        totals.shards.0.push((lru - truth).abs());
        totals.covered += usize::from(error.abs() <= point.error_bound);
    }
    totals.nanos.0.push(nanos);
    totals.most_bytes = totals.most_bytes.max(estimator.memory().get());
}
