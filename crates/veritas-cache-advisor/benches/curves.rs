//! What a request costs in the estimators, beside an exact replay and exact LRU
//! stack distances, in one run and interleaved: nanoseconds and ratios.
//!
//! `cargo bench -p veritas-cache-advisor`. Zipf 0.9 over a million keys, two
//! million requests; each figure is the median of the rounds.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{hint::black_box, time::Duration};

use veritas_cache_advisor::{
    EstimatorOptions, MissRatioEstimator, SampleRate, TtlEstimator, TtlOptions, sampling_hash,
    simulate::{Engine, Lanes, Policy, StackDistances},
    workload::{Pattern, Workload},
};
use veritas_model::{Bytes, Clock, SystemClock};

const REQUESTS: usize = 2_000_000;
const ROUNDS: usize = 3;

fn main() {
    let workload = Workload::new(Pattern::Zipf { keys: 1_000_000, exponent: 0.9 }, 1);
    let trace: Vec<(u64, Duration)> =
        workload.requests().take(REQUESTS).map(|request| (sampling_hash(request.key), request.at)).collect();
    let capacities: Vec<u64> = (0..10).map(|step| 1_000 << step).collect();
    let sizes: Vec<Bytes> = capacities.iter().map(|capacity| Bytes::new(*capacity)).collect();
    let options = || EstimatorOptions { policy: Policy::ENTRIES, ..EstimatorOptions::default() };
    let contenders: [(&str, &dyn Fn()); 7] = [
        ("the filter alone", &|| {
            let rate = SampleRate::of(0.01);
            black_box(trace.iter().filter(|(hash, _)| rate.takes(*hash)).count());
        }),
        ("ten sizes estimated", &|| {
            let mut estimator = MissRatioEstimator::new(&sizes, options());
            for (hash, at) in &trace {
                estimator.request(*hash, 1, *at);
            }
            black_box(estimator.curve());
        }),
        ("ten sizes estimated, at 1 % from the start", &|| {
            let mut estimator = MissRatioEstimator::new(&sizes, options());
            estimator.lower_to(SampleRate::of(0.01));
            for (hash, at) in &trace {
                estimator.request(*hash, 1, *at);
            }
            black_box(estimator.curve());
        }),
        ("twenty times to live estimated", &|| {
            let mut estimator = TtlEstimator::new(&TtlOptions::default());
            for (hash, at) in &trace {
                estimator.look_up(*hash, *at);
            }
            black_box(estimator.curve());
        }),
        ("five sizes exact, over one table of keys", &|| {
            let mut lanes = Lanes::new(Policy::ENTRIES, &capacities[..5], None);
            for (hash, _) in &trace {
                black_box(lanes.request(*hash, 1));
            }
        }),
        ("one size exact, with the real engine", &|| {
            let mut engine = Engine::new(&Policy::ENTRIES, 32_000);
            black_box(trace.iter().filter(|(hash, _)| engine.request(*hash, 1)).count());
        }),
        ("all sizes of LRU exact, by stack distances", &|| {
            let mut distances = StackDistances::new(REQUESTS);
            for (hash, _) in &trace {
                black_box(distances.request(*hash));
            }
        }),
    ];
    let clock = SystemClock::new();
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, work), times) in contenders.iter().zip(&mut times) {
            let start = clock.monotonic();
            work();
            #[expect(clippy::cast_precision_loss, reason = "a time per request")]
            times.push(clock.monotonic().since(start).as_nanos() as f64 / REQUESTS as f64);
        }
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    for ((name, _), median) in contenders.iter().zip(&medians) {
        println!("{name:<48}{median:>8.1} ns{:>8.2} x the estimate", median / medians[1]);
    }
}
