//! Calibration: the intervals of proofs cover the truth as often as they say.
//!
//! The truth is the real cache with and without the change, on a long stretch of the same
//! load. What is drawn anew in each run: the requests, and which keys are in the sample.

use std::time::Duration;

use veritas_cache::{Knob, NamespaceOptions};
use veritas_model::{Actuator, Bytes, ChangeKind, MeasuredGain, Plan, Proposal};
use veritas_testkit::workload::Zipf;

use crate::application::{Application, KIB, MIB, options};

/// Runs of each setting.
const RUNS: u64 = 32;
/// The caches are as full as they get after that.
const WARM: Duration = Duration::from_mins(2);

fn capacity(kib: u64) -> Knob {
    Knob::Capacity(Bytes::new(kib * KIB))
}

fn proposal(application: &Application, knob: Knob) -> Proposal {
    let plan = Plan {
        target: "users".into(),
        forward: knob.to_string(),
        inverse: Knob::AsConfigured(knob.name()).to_string(),
        object: "users/capacity".into(),
        scope: vec!["users".into()],
    };
    let kind = ChangeKind::CacheCapacity;
    let id = Proposal::identity(kind, &plan);
    let proposed_at = veritas_model::Clock::now(&application.clock);
    Proposal { id, finding: None, kind, summary: String::new(), plan, estimate: None, proposed_at }
}

/// The share of the misses that is gone with the larger cache, in the long run.
fn truth(keys: usize, from_kib: u64, to_kib: u64) -> f64 {
    let misses = |kib: u64| {
        let mut application = application(1, keys, kib, 0);
        application.run(WARM);
        let before = application.caches.statistics();
        application.run(4 * WARM);
        let after = application.caches.statistics();
        let misses = u32::try_from(after.misses - before.misses).expect("a test is short");
        let look_ups = after.total_requests() - before.total_requests();
        let look_ups = u32::try_from(look_ups).expect("a test is short");
        f64::from(misses) / f64::from(look_ups)
    };
    1.0 - misses(to_kib) / misses(from_kib)
}

fn application(seed: u64, keys: usize, kib: u64, recorded: usize) -> Application {
    let mut options = options();
    options.recorded = recorded;
    let mut application = Application::new(64 * MIB, seed, options);
    application.pause = Duration::from_millis(8);
    let namespace = NamespaceOptions {
        ttl: Some(Duration::from_hours(10)),
        capacity: Some(Bytes::new(kib * KIB)),
        ..NamespaceOptions::default()
    };
    let users = application.open("users", namespace, 1, 0.0);
    users.zipf = Zipf::new(keys, 0.7);
    users.load = Duration::from_micros(100);
    // Which keys are in the sample is decided by their hashes: other keys, another sample.
    users.offset = seed * 10_000_000;
    application
}

fn predicted(seed: u64, keys: usize, from_kib: u64, to_kib: u64, recorded: usize) -> MeasuredGain {
    let mut application = application(seed, keys, from_kib, recorded);
    application.run(2 * WARM);
    let measured = application.actuator.measure(&proposal(&application, capacity(to_kib)));
    measured.expect("the recording carries a proof")
}

#[track_caller]
fn check(keys: usize, from_kib: u64, to_kib: u64, recorded: usize, first_seed: u64) {
    let truth = truth(keys, from_kib, to_kib);
    let missed: Vec<String> = (first_seed..first_seed + RUNS)
        .filter_map(|seed| {
            let gain = predicted(seed, keys, from_kib, to_kib, recorded);
            let interval = gain.gain_interval;
            let covers = interval.low <= truth && truth <= interval.high;
            (!covers).then(|| {
                format!("seed {seed}: {:.4} ({:.4} to {:.4})", gain.gain, interval.low, interval.high)
            })
        })
        .collect();
    let covered = RUNS - missed.len() as u64;
    assert!(
        covered * 100 >= RUNS * 90,
        "{covered} of {RUNS} intervals of 95 % cover the truth {truth:.4}; not these: {missed:?}"
    );
}

#[test]
fn intervals_cover_the_truth_where_every_key_is_recorded() {
    check(1_000, 128, 512, 1 << 20, 100);
}

#[test]
fn intervals_cover_the_truth_where_a_sample_is_recorded() {
    // 30,000 requests and half as many stores, and room for few: a part of the keys is left.
    check(5_000, 1_024, 4_096, 8_192, 200);
}
