//! Curves over the time to live against replays of a source whose changes are known.

use std::time::Duration;

use veritas_cache_advisor::{
    SampleRate, TtlCurve, TtlEstimator, TtlOptions, sampling_hash,
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
    assert!(hits <= 0.01, "{hits}");
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

/// Of 64 streams, how many estimates of the hit ratio and of staleness were within their bounds, at the
/// worst of three times to live; and the widest bounds.
fn within_bounds(
    rates: ChangeRates,
    estimate: impl Fn(&Workload, &mut Changes, &TtlOptions) -> TtlCurve,
) -> ([usize; 2], [f64; 2]) {
    let options =
        TtlOptions { times: [8, 64, 512].into_iter().map(seconds).collect(), ..TtlOptions::default() };
    let options = TtlOptions { max_keys: 600, ..options };
    let (mut within, mut widest) = ([[0_usize; 2]; 3], [0.0_f64; 2]);
    for seed in 0..64 {
        let workload = Workload {
            per_second: 20.0,
            ..Workload::new(Pattern::Zipf { keys: 4_000, exponent: 0.9 }, seed)
        };
        let curve = estimate(&workload, &mut Changes::new(rates, seed), &options);
        for (point, within) in curve.points.iter().zip(&mut within) {
            let mut source = Changes::new(rates, seed);
            let truth = replay(workload.requests().take(SHORT), point.time_to_live, &mut source);
            let errors = [point.hit_ratio - truth.hit_ratio, point.staleness - truth.staleness];
            let bounds = [point.hit_ratio_error, point.staleness_error];
            for kind in 0..2 {
                within[kind] += usize::from(errors[kind].abs() <= bounds[kind]);
                widest[kind] = widest[kind].max(bounds[kind]);
            }
        }
    }
    let worst = |kind: usize| within.iter().map(|within| within[kind]).min().unwrap_or(0);
    ([worst(0), worst(1)], widest)
}

const SHORT: usize = 30_000;

#[test]
fn sixty_of_64_estimates_from_a_sample_are_within_their_bounds() {
    for rates in [
        ChangeRates::Same { mean: seconds(600) },
        ChangeRates::Spread { fastest: seconds(60), slowest: seconds(86_400) },
    ] {
        let (within, widest) = within_bounds(rates, |workload, source, options| {
            estimate(workload.requests().take(SHORT), seconds(60), source, options)
        });
        assert!(within.iter().all(|within| *within >= 60), "{rates:?}: {within:?}");
        assert!(widest[0] < 0.03 && widest[1] < 0.2, "a bound that says something: {widest:?}");
    }
}

#[test]
fn popular_keys_that_a_tap_keeps_back_are_in_the_bounds() {
    // As in production: after some time only one key in four is told of, popular or not.
    let (within, widest) = within_bounds(ChangeRates::Never, |workload, _, options| {
        let (mut estimator, rate) = (TtlEstimator::new(options), SampleRate::of(0.25));
        for (number, request) in workload.requests().take(SHORT).enumerate() {
            let hash = sampling_hash(request.key);
            if number == SHORT / 4 {
                estimator.lower_to(rate);
            }
            if number < SHORT / 4 || rate.takes(hash) {
                estimator.look_up(hash, request.at);
            } else {
                estimator.skipped(1);
            }
        }
        estimator.curve()
    });
    assert!(within[0] >= 60, "{within:?}");
    assert!(widest[0] > 0.01, "what is not seen is not known: {widest:?}");
}
