//! Proof of the curves: estimates beside full replays of the real engine.
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::time::Duration;
use veritas_cache_advisor::{
    EstimatorOptions, MissRatioEstimator, sampling_hash,
    simulate::{Engine, Policy},
    workload::{Weights, suite},
};
use veritas_model::{Bytes, Clock, SystemClock};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let keys: u64 = args.get(1).map_or(1_000_000, |a| a.parse().unwrap());
    let requests: usize = args.get(2).map_or(4_000_000, |a| a.parse().unwrap());
    let seed: u64 = args.get(3).map_or(1, |a| a.parse().unwrap());
    let clock = SystemClock::new();
    let (mut all, mut worst, mut count, mut covered) = (0.0, 0.0_f64, 0, 0);
    for case in suite(keys, seed) {
        let trace: Vec<(u64, u32)> =
            case.workload.requests().take(requests).map(|r| (sampling_hash(r.key ^ seed.wrapping_mul(0x1234_5678_9abc)^ ((case.name.len() as u64)<<50)^((case.name.as_bytes()[case.name.len()-1] as u64)<<56)), r.weight)).collect();
        let mut sorted = trace.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let footprint: u64 = sorted.iter().map(|(_, w)| u64::from(*w)).sum();
        let uniques = sorted.len();
        drop(sorted);
        let policy = if case.workload.weights == Weights::One { Policy::ENTRIES } else { Policy::BYTES };
        let sizes: Vec<u64> = (0..10).map(|i| (footprint as f64 * 0.005 * 200.0_f64.powf(i as f64/9.0)).round() as u64).collect();
        let bytes: Vec<Bytes> = sizes.iter().map(|s| Bytes::new(*s)).collect();
        let mut estimator = MissRatioEstimator::new(&bytes, EstimatorOptions { policy, ..Default::default() });
        let start = clock.monotonic();
        for (hash, weight) in &trace {
            estimator.request(*hash, *weight, Duration::ZERO);
        }
        let nanos = clock.monotonic().since(start).as_nanos() as f64 / requests as f64;
        let curve = estimator.curve();
        let start = clock.monotonic();
        let truth: Vec<f64> = sizes
            .iter()
            .map(|size| {
                let mut engine = Engine::new(&policy, *size);
                trace.iter().filter(|(h, w)| !engine.request(*h, *w)).count() as f64 / requests as f64
            })
            .collect();
        let full = clock.monotonic().since(start).as_nanos() as f64 / requests as f64;
        let anchored = estimator.curve_through(bytes[5], (truth[5] * requests as f64).round() as u64);
        let through: Vec<f64> = anchored.points.iter().zip(&truth).map(|(p, t)| ((p.miss_ratio - t) * 1e4).round() / 1e4).collect();
        let errors: Vec<f64> = curve.points.iter().zip(&truth).map(|(p, t)| p.miss_ratio - t).collect();
        let mae = errors.iter().map(|e| e.abs()).sum::<f64>() / 10.0;
        let max = errors.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
        all += mae;
        count += 1;
        worst = worst.max(max);
        covered += curve.points.iter().zip(&errors).filter(|(p, e)| e.abs() <= p.error_bound).count();
        println!(
            "{:<20} U={uniques} R={:.4} sim={:.3} {:.1} ns, replay {full:.0} ns, {} KiB: mae {mae:.4} max {max:.4}",
            case.name,
            curve.rate,
            curve.simulated as f64 / requests as f64,
            nanos,
            estimator.memory().get() / 1024
        );
        println!("    throu {through:?}: mae {:.4}", through.iter().map(|e| e.abs()).sum::<f64>()/10.0);
        ALL.with(|a| a.borrow_mut().extend(through.iter().map(|e| e.abs())));
        println!("    truth {:?}", truth.iter().map(|t| (t * 1e4).round() / 1e4).collect::<Vec<_>>());
        println!("    error {:?}", errors.iter().map(|t| (t * 1e4).round() / 1e4).collect::<Vec<_>>());
        println!("    bound {:?}", curve.points.iter().map(|p| (p.error_bound * 1e4).round() / 1e4).collect::<Vec<_>>());
    }
    ALL.with(|a| { let a = a.borrow(); println!("anchored mean {:.4} max {:.4} over .02: {}", a.iter().sum::<f64>()/a.len() as f64, a.iter().fold(0.0_f64,|m,e|m.max(*e)), a.iter().filter(|e| **e>0.02).count()); });
    println!("mean {:.4} worst {worst:.4} covered {covered} of {}", all / f64::from(count), count * 10);
}

thread_local! { static ALL: std::cell::RefCell<Vec<f64>> = const { std::cell::RefCell::new(Vec::new()) }; }
