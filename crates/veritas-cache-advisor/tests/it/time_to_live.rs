//! Curves over the time to live against replays of a source whose changes are known.

use std::time::Duration;

use veritas_cache_advisor::{
    TtlCurve, TtlOptions,
    time_to_live::{estimate, replay},
    workload::{ChangeRates, Changes, Pattern, Workload},
};

const REQUESTS: usize = 150_000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Two hours of requests, where the cache of today keeps values for a minute.
fn workload(keys: u64) -> Workload {
    Workload { per_second: 20.0, ..Workload::new(Pattern::Zipf { keys, exponent: 0.9 }, 17) }
}

fn curve(workload: &Workload, rates: ChangeRates) -> TtlCurve {
    let options =
        TtlOptions { times: (0..9).map(|power| seconds(2 << power)).collect(), ..TtlOptions::default() };
    estimate(workload.requests().take(REQUESTS), seconds(60), &mut Changes::new(rates, 5), &options)
}

/// Returns the worst errors of hit ratio and staleness.
fn errors(workload: &Workload, rates: ChangeRates) -> (f64, f64) {
    let mut worst = (0.0_f64, 0.0_f64);
    for point in &curve(workload, rates).points {
        let truth =
            replay(workload.requests().take(REQUESTS), point.time_to_live, &mut Changes::new(rates, 5));
        worst.0 = worst.0.max((point.hit_ratio - truth.hit_ratio).abs());
        worst.1 = worst.1.max((point.staleness - truth.staleness).abs());
    }
    worst
}

/// How values change: never, all alike, each at its own rate, and some at all.
fn sources() -> [ChangeRates; 5] {
    [
        ChangeRates::Never,
        ChangeRates::Same { mean: seconds(600) },
        ChangeRates::Same { mean: seconds(3_600) },
        ChangeRates::Spread { fastest: seconds(60), slowest: seconds(86_400) },
        ChangeRates::Some { share: 0.3, mean: seconds(300) },
    ]
}

#[test]
fn hit_ratio_and_staleness_are_near_the_truth() {
    for rates in sources() {
        let (hits, staleness) = errors(&workload(5_000), rates);
        assert!(hits < 1e-4, "every key is followed, to the millisecond: {hits}");
        assert!(staleness <= 0.01, "{rates:?}: {staleness}");
    }
}

#[test]
fn a_sample_of_the_keys_tells_the_hit_ratio() {
    let (hits, _) = errors(&workload(30_000), ChangeRates::Never);
    assert!(hits > 1e-4, "the keys are sampled");
    assert!(hits <= 0.03, "{hits}");
}

#[test]
fn the_advised_time_keeps_within_the_budget() {
    let rates = ChangeRates::Same { mean: seconds(3_600) };
    let workload = workload(5_000);
    let advised = curve(&workload, rates).advise(0.01).unwrap().point();
    let truth = replay(workload.requests().take(REQUESTS), advised.time_to_live, &mut Changes::new(rates, 5));
    assert!(truth.staleness <= 0.015, "{truth:?}");
    let longer =
        replay(workload.requests().take(REQUESTS), advised.time_to_live * 4, &mut Changes::new(rates, 5));
    assert!(longer.staleness > 0.01, "{longer:?}");
}
