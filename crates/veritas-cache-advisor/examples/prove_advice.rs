//! Proof of size advice: estimated curves, advised sizes, and what the real engine
//! makes of them in full replays.
//!
//! Fails when fewer than 95 of 100 are within a point of the best miss ratio.
//!
//! `cargo run --release -p veritas-cache-advisor --example prove_advice -- [keys] [requests] [seeds]`
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::{process::ExitCode, time::Duration};

use veritas_cache_advisor::{
    EstimatorOptions, MissRatioEstimator, advise_size, sampling_hash,
    simulate::{Engine, Policy},
    workload::{Weights, suite},
};
use veritas_model::Bytes;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut next = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let (keys, requests, seeds) = (next(200_000), next(1_000_000), next(2));
    let (mut cases, mut good) = (0_u32, 0_u32);
    println!(
        "{:<22}{:>5}{:>13}{:>13}{:>10}{:>10}",
        "workload", "seed", "capacity", "footprint", "best", "advised"
    );
    for seed in 1..=seeds {
        for case in suite(keys, seed) {
            let policy = if case.workload.weights == Weights::One { Policy::ENTRIES } else { Policy::BYTES };
            let count = usize::try_from(requests).unwrap_or(usize::MAX);
            let trace: Vec<(u64, u32)> = case
                .workload
                .requests()
                .take(count)
                .map(|request| (sampling_hash(request.key ^ (seed << 52)), request.weight))
                .collect();
            let mut distinct = trace.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let footprint: u64 = distinct.iter().map(|(_, weight)| u64::from(*weight)).sum();
            let sizes: Vec<Bytes> =
                (0..16).rev().map(|step| Bytes::new(scaled(footprint, 0.6_f64.powi(step)))).collect();
            let mut estimator =
                MissRatioEstimator::new(&sizes, EstimatorOptions { policy, ..EstimatorOptions::default() });
            for (hash, weight) in &trace {
                estimator.request(*hash, *weight, Duration::ZERO);
            }
            let Some(advice) = advise_size(&estimator.curve(), 0.01) else { continue };
            let miss_ratio = |size: u64| {
                let mut engine = Engine::new(&policy, size);
                let misses = trace.iter().filter(|(hash, weight)| !engine.request(*hash, *weight)).count();
                f64::from(u32::try_from(misses).unwrap_or(u32::MAX))
                    / f64::from(u32::try_from(count).unwrap_or(1))
            };
            // Nothing misses less than a cache that holds everything.
            let (best, advised) = (miss_ratio(footprint), miss_ratio(advice.point.capacity.get()));
            cases += 1;
            good += u32::from(advised <= best + 0.01);
            println!(
                "{:<22}{seed:>5}{:>13}{footprint:>13}{best:>10.4}{advised:>10.4}{}",
                case.name,
                advice.point.capacity.get(),
                if advised <= best + 0.01 { "" } else { "  off" }
            );
        }
    }
    println!("within 1 point of the best: {good} of {cases}");
    if good * 100 >= cases * 95 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a capacity"
)]
fn scaled(footprint: u64, share: f64) -> u64 {
    (footprint as f64 * share).round().max(1.0) as u64
}
