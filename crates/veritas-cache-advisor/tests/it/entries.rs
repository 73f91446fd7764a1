//! Curves in bytes beside caches that hold heavy and light values: what an entry weighs decides.

use std::{sync::Arc, time::Duration};

use veritas_cache::{Access, AccessKind, Cache, CacheOptions, Caches, NamespaceId, NamespaceOptions};
use veritas_cache_advisor::{
    AdvisorOptions, EstimatorOptions, MissRatioCurve, MissRatioEstimator, ProofOptions,
};
use veritas_model::{Bytes, ChangeKind, Clock, FindingKind, Provenance};
use veritas_testkit::{
    VirtualClock,
    workload::{Dice, Seed, Zipf},
};

use crate::application::{Application, MIB, Value, options};

const REQUESTS: u64 = 120_000;
/// How far the curve may be from the real caches, as every key is simulated: half of the point that
/// [`Policy`](veritas_cache_advisor::simulate::Policy) states. With the weight only assumed it is one to two off.
const ERROR: f64 = 0.005;

fn sized(capacity: u64) -> NamespaceOptions {
    NamespaceOptions {
        ttl: Some(Duration::from_hours(10)),
        capacity: Some(Bytes::new(capacity)),
        ..NamespaceOptions::default()
    }
}

/// Three caches of these capacities get the same requests: skewed ones, beside a scan. The
/// estimator sees the accesses of the one in the middle. Returns its curve, and what each missed.
fn curve_and_misses(capacities: [u64; 3], size: usize, tells: bool) -> (MissRatioCurve, [f64; 3]) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let all = CacheOptions { capacity: Bytes::new(256 * MIB), ..CacheOptions::default() };
    let caches = Caches::new(all, clock);
    let open = |capacity: u64| caches.namespace_with::<Arc<[u8]>>(&capacity.to_string(), sized(capacity));
    let each: [Cache<Arc<[u8]>>; 3] = capacities.map(open);
    let watched = |caches: &Caches| {
        let readings = caches.namespaces();
        readings.into_iter().find(|one| one.name == capacities[1].to_string()).expect("it is open")
    };
    let id: NamespaceId = watched(&caches).id;
    let tap = caches.tap(64 * 1024);
    let mut estimator = MissRatioEstimator::new(&capacities.map(Bytes::new), EstimatorOptions::default());
    let value: Arc<[u8]> = vec![0; size].into();
    let (keys, mut dice) = (Zipf::new(6_000, 0.8), Dice::new(Seed(31)));
    let (mut accesses, mut misses) = (Vec::<Access>::new(), [0_u32; 3]);
    for request in 0..REQUESTS {
        let key = if request % 3 == 0 { 1_000_000 + request } else { keys.draw(&mut dice) as u64 };
        for (cache, missed) in each.iter().zip(&mut misses) {
            cache.get_or_compute(&key, || {
                *missed += u32::from(request >= REQUESTS / 2);
                Arc::clone(&value)
            });
        }
        if request % 1_000 == 999 {
            assert_eq!(tap.drain(&mut accesses), 0, "nothing is dropped");
            for mut access in accesses.drain(..).filter(|access| access.namespace == id) {
                // What is computed in no time at all is a load all the same.
                if let AccessKind::Store { cost_us, .. } = &mut access.kind {
                    *cost_us = 1;
                }
                estimator.feed(&access);
            }
            let reading = watched(&caches);
            #[expect(clippy::cast_precision_loss, reason = "a test is small")]
            let mean = reading.weight.get() as f64 / reading.memory.entries as f64;
            if tells {
                estimator.expect_entries(mean);
            }
            if request + 1 == REQUESTS / 2 {
                estimator.start_window();
            }
        }
    }
    let asked = f64::from(u32::try_from(REQUESTS / 2).expect("a test is small"));
    (estimator.curve(), misses.map(|missed| f64::from(missed) / asked))
}

#[track_caller]
fn check(size: usize) {
    // Of what is asked for by all but the scan, a tenth, a fifth and two fifths fit; an entry
    // takes some 240 bytes beside its value.
    let capacities = [600, 1_200, 2_400].map(|entries| entries * (size as u64 + 240));
    let (curve, live) = curve_and_misses(capacities, size, true);
    assert!((curve.rate - 1.0).abs() < 1e-9, "every key is simulated");
    for (point, live) in curve.points.iter().zip(live) {
        assert!(
            (point.miss_ratio - live).abs() <= ERROR + point.error_bound,
            "values of {size}, {} bytes: live {live:.4}, simulated {:.4} with entries of {:?}",
            point.capacity.get(),
            point.miss_ratio,
            curve.entry_bytes,
        );
    }
}

#[test]
fn a_curve_of_heavy_values_is_that_of_real_caches() {
    check(4_096);
}

#[test]
fn a_curve_of_light_values_is_that_of_real_caches() {
    check(40);
}

#[test]
fn a_curve_says_whether_what_an_entry_weighs_was_measured() {
    let (curve, _) = curve_and_misses([40_000, 80_000, 160_000], 40, true);
    assert!(curve.entry_bytes.is_some_and(|bytes| (200.0..400.0).contains(&bytes)), "{curve:?}");
    let (curve, _) = curve_and_misses([40_000, 80_000, 160_000], 40, false);
    assert_eq!(curve.entry_bytes, None);
}

#[test]
fn a_cache_of_heavy_values_beside_a_scan_is_advised_and_what_is_proven_tells_the_weight() {
    // Held to 1.6 points (of a sample, twice what is said here), not to the usual ten: with the weight
    // only assumed the replay is two off.
    let proof = ProofOptions { most_different: 0.008, ..ProofOptions::default() };
    let mut application = Application::new(64 * MIB, 41, AdvisorOptions { proof, ..options() });
    let users = application.open("users", sized(4 * MIB), 4_000, 0.8);
    users.size = 4_096;
    let scanned = users.cache.clone();
    for second in 0..400_u64 {
        application.run(Duration::from_secs(1));
        for number in 0..60 {
            let value = Value { bytes: vec![0; 4_096].into(), version: 1 };
            scanned.get_or_compute(&(1_000_000 + second * 60 + number), || value);
        }
    }
    let found = application.advice.findings.iter().find(|one| one.kind == FindingKind::CacheTooSmall);
    let weight = found.expect("it is found").evidence.iter().find(|one| one.name == "mean_entry_bytes");
    let weight = weight.expect("it is said");
    assert_eq!(weight.provenance, Provenance::Measured);
    assert!((4_096.0..4_400.0).contains(&weight.value), "{weight:?}");
    let is_capacity = |one: &&veritas_model::Proposal| one.kind == ChangeKind::CacheCapacity;
    let proposal = application.advice.proposals.iter().find(is_capacity).expect("it is proposed");
    let gain =
        veritas_model::Actuator::measure(&application.actuator, proposal).expect("it is like the live one");
    assert!(gain.method.contains(" bytes an entry measured)"), "{}", gain.method);
    assert!(gain.gain_interval.low > 0.0, "{gain:?}");
}

#[test]
fn of_a_namespace_that_holds_nothing_the_weight_is_assumed_and_that_is_said() {
    let mut application = Application::new(8 * MIB, 42, options());
    let watching = NamespaceOptions { start_bypassed: true, ..sized(MIB) };
    application.open("watching", watching, 300, 0.8);
    application.run(Duration::from_mins(6));
    let found = application.advice.findings.iter().find(|one| one.kind == FindingKind::CacheCandidate);
    let weight = found.expect("it is found").evidence.iter().find(|one| one.name == "mean_entry_bytes");
    assert_eq!(weight.map(|one| (one.provenance, one.value)), Some((Provenance::Estimated, 512.0)));
    assert_eq!(application.advisor.readings()[0].miss_ratio_curve.entry_bytes, None);
    let is_start = |one: &&veritas_model::Proposal| one.kind == ChangeKind::CacheStart;
    let proposal = application.advice.proposals.iter().find(is_start).expect("it is proposed");
    let gain = veritas_model::Actuator::measure(&application.actuator, proposal).expect("it can be measured");
    assert!(gain.method.contains("512 bytes an entry assumed)"), "{}", gain.method);
}
