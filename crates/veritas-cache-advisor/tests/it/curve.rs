//! Estimated curves against full replays of the real engine, and advice made of them.
#![expect(clippy::cast_precision_loss, reason = "shares of counts")]

use std::{sync::Arc, time::Duration};

use veritas_cache::{Access, AccessKind, CacheOptions, Caches};
use veritas_cache_advisor::{
    EstimatorOptions, MissRatioCurve, MissRatioEstimator, SampleRate, advise_size, sampling_hash,
    simulate::{Engine, Policy},
    workload::{Case, Pattern, Weights, Workload, suite},
};
use veritas_model::Bytes;
use veritas_testkit::VirtualClock;

const REQUESTS: usize = 150_000;

struct Proof {
    policy: Policy,
    trace: Vec<(u64, u32)>,
    sizes: Vec<Bytes>,
    curve: MissRatioCurve,
    memory: u64,
}

/// Estimates the curve of a workload over ten sizes, from half a percent of its footprint to all.
fn prove(case: &Case, salt: u64, options: &EstimatorOptions) -> Proof {
    let policy = if case.workload.weights == Weights::One { Policy::ENTRIES } else { Policy::BYTES };
    let trace: Vec<(u64, u32)> = case
        .workload
        .requests()
        .take(REQUESTS)
        .map(|request| (sampling_hash(request.key ^ salt << 50), request.weight))
        .collect();
    let mut distinct = trace.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let footprint: u64 = distinct.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let share = |step: i32| 0.005 * 200.0_f64.powf(f64::from(step) / 9.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a footprint")]
    let sizes: Vec<Bytes> = (0..10).map(|step| Bytes::new((footprint as f64 * share(step)) as u64)).collect();
    let mut estimator = MissRatioEstimator::new(&sizes, EstimatorOptions { policy, ..options.clone() });
    for (hash, weight) in &trace {
        estimator.request(*hash, *weight, Duration::ZERO);
    }
    Proof { policy, sizes, curve: estimator.curve(), memory: estimator.memory().get(), trace }
}

fn replayed(proof: &Proof, size: Bytes) -> f64 {
    let mut engine = Engine::new(&proof.policy, size.get());
    let misses = proof.trace.iter().filter(|(hash, weight)| !engine.request(*hash, *weight)).count();
    misses as f64 / proof.trace.len() as f64
}

/// The whole proof is the example `prove_curves`: here the workloads are smaller,
/// and so is the sample, in proportion.
#[test]
fn estimates_are_near_full_replays() {
    let options = EstimatorOptions { max_keys: 8_000, ..EstimatorOptions::default() };
    let (mut errors, mut covered, mut sampled) = (Vec::new(), 0, 0);
    for (number, case) in suite(60_000, 1).iter().enumerate() {
        let proof = prove(case, number as u64, &options);
        sampled += usize::from(proof.curve.points.iter().any(|point| point.error_bound > 0.0));
        for (point, size) in proof.curve.points.iter().zip(&proof.sizes) {
            let error = (point.miss_ratio - replayed(&proof, *size)).abs();
            covered += usize::from(error <= point.error_bound);
            errors.push(error);
        }
    }
    assert!(sampled >= 12, "only {sampled} were sampled at all");
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().copied().fold(0.0, f64::max);
    assert!(mean <= 0.005, "mean {mean}");
    assert!(worst <= 0.02, "worst {worst}");
    assert!(covered * 10 >= errors.len() * 9, "{covered} of {} within their bounds", errors.len());
}

#[test]
fn few_keys_are_exact() {
    let options = EstimatorOptions { head_start: u64::MAX, ..EstimatorOptions::default() };
    for case in suite(8_000, 2) {
        if matches!(&case.workload.pattern, Pattern::Mix(_) | Pattern::Drift { .. }) {
            continue; // More keys than fit: those come and go.
        }
        let proof = prove(&case, 0, &options);
        for (point, size) in proof.curve.points.iter().zip(&proof.sizes) {
            assert_eq!(point.miss_ratio, replayed(&proof, *size), "{}", case.name);
            assert_eq!(point.error_bound, 0.0);
        }
    }
}

#[test]
fn memory_stays_within_a_mebibyte() {
    let cases = suite(1_000_000, 3);
    for case in cases.iter().filter(|case| ["zipf 0.6", "Pareto weights"].contains(&case.name)) {
        let proof = prove(case, 3, &EstimatorOptions::default());
        assert!(proof.memory <= 1024 * 1024, "{}: {} bytes", case.name, proof.memory);
    }
    // All sixteen sizes hold everything, and entries die.
    let sizes: Vec<Bytes> = (0..16).map(|step| Bytes::new(1 << (40 + step))).collect();
    let options =
        EstimatorOptions { time_to_live: Some(Duration::from_mins(1)), ..EstimatorOptions::default() };
    let mut estimator = MissRatioEstimator::new(&sizes, options);
    for key in 0..100_000 {
        estimator.request(sampling_hash(key), 100, Duration::from_millis(key));
    }
    assert!(estimator.memory().get() <= 1024 * 1024 + 64 * 1024, "{:?}", estimator.memory());
}

#[test]
fn a_real_cache_s_misses_bring_the_curve_nearer() {
    let options = EstimatorOptions { max_keys: 1_000, ..EstimatorOptions::default() };
    let (mut plain, mut through) = (0.0, 0.0);
    for (number, case) in suite(30_000, 4).iter().enumerate() {
        let policy = if case.workload.weights == Weights::One { Policy::ENTRIES } else { Policy::BYTES };
        let proof = prove(case, 100 + number as u64, &options);
        let mut estimator =
            MissRatioEstimator::new(&proof.sizes, EstimatorOptions { policy, ..options.clone() });
        for (hash, weight) in &proof.trace {
            estimator.request(*hash, *weight, Duration::ZERO);
        }
        let known = proof.sizes[5];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of misses")]
        let misses = (replayed(&proof, known) * REQUESTS as f64).round() as u64;
        let corrected = estimator.curve_through(known, misses);
        let points = proof.curve.points.iter().zip(&corrected.points).zip(&proof.sizes);
        // Every second size, and not the one that is known.
        for ((point, corrected), size) in points.step_by(2) {
            let truth = replayed(&proof, *size);
            plain += (point.miss_ratio - truth).abs();
            through += (corrected.miss_ratio - truth).abs();
        }
    }
    assert!(through < plain * 0.8, "{through} against {plain}");
}

#[test]
fn advised_sizes_are_within_a_point_of_the_best() {
    let options = EstimatorOptions { max_keys: 6_000, ..EstimatorOptions::default() };
    let (mut good, mut cases) = (0, 0);
    for seed in 1..=2 {
        for (number, case) in suite(30_000, seed).iter().enumerate() {
            let proof = prove(case, seed * 100 + number as u64, &options);
            let advice = advise_size(&proof.curve, 0.01).unwrap();
            let best = replayed(&proof, *proof.sizes.last().unwrap());
            cases += 1;
            good += usize::from(replayed(&proof, advice.point.capacity) <= best + 0.01);
        }
    }
    assert!(good * 100 >= cases * 95, "{good} of {cases}");
}

#[test]
fn a_tap_tells_as_much_as_the_whole_stream() {
    let caches = Caches::new(CacheOptions::default(), Arc::new(VirtualClock::new()));
    let _cache = caches.namespace::<u64>("tapped");
    let namespace = caches.namespaces()[0].id;
    let workload = Workload::new(Pattern::Zipf { keys: 20_000, exponent: 0.9 }, 9);
    let sizes = [500, 2_000, 8_000].map(Bytes::new);
    let options = EstimatorOptions { policy: Policy::ENTRIES, ..EstimatorOptions::default() };
    let (mut whole, mut tapped) =
        (MissRatioEstimator::new(&sizes, options.clone()), MissRatioEstimator::new(&sizes, options));
    let threshold = SampleRate::of(0.2);
    whole.lower_to(threshold);
    tapped.lower_to(threshold);
    let mut real = Engine::new(&Policy::ENTRIES, 2_000);
    let mut skipped = 0;
    for request in workload.requests().take(100_000) {
        let key = sampling_hash(request.key);
        whole.request(key, 1, request.at);
        let hit = real.request(key, 1);
        if !threshold.takes(key) {
            skipped += 1;
            continue;
        }
        let at_ms = u64::try_from(request.at.as_millis()).unwrap();
        let mut feed = |kind| tapped.feed(&Access { namespace, key, kind, at_ms });
        if hit {
            feed(AccessKind::Hit);
        } else {
            feed(AccessKind::Miss);
            feed(AccessKind::Store { weight: 1, cost_us: 100, value: 1 });
        }
    }
    tapped.skipped(skipped);
    assert_eq!(whole.look_ups(), tapped.look_ups());
    for (one, other) in whole.curve().points.iter().zip(&tapped.curve().points) {
        assert!((one.miss_ratio - other.miss_ratio).abs() < 1e-3, "{one:?} {other:?}");
    }
}

#[test]
fn a_window_speaks_for_its_own_requests() {
    let options = EstimatorOptions { policy: Policy::ENTRIES, ..EstimatorOptions::default() };
    let mut estimator = MissRatioEstimator::new(&[Bytes::new(100)], options);
    for key in 0..50 {
        estimator.request(sampling_hash(key), 1, Duration::ZERO);
    }
    estimator.start_window();
    assert_eq!(estimator.curve().points, []);
    for key in 0..50 {
        estimator.request(sampling_hash(key), 1, Duration::ZERO);
    }
    let curve = estimator.curve();
    assert_eq!((curve.look_ups, curve.points[0].miss_ratio), (50, 0.0));
}
