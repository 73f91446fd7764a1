//! The advisor itself: what it samples, what it tells of keys, what it costs.

use std::time::Duration;

use veritas_cache::NamespaceOptions;
use veritas_cache_advisor::AdvisorOptions;
use veritas_model::{Bytes, FindingKind};

use crate::application::{Application, KIB, MIB, options};

fn sized(kib: u64) -> NamespaceOptions {
    NamespaceOptions {
        ttl: Some(Duration::from_hours(10)),
        capacity: Some(Bytes::new(kib * KIB)),
        ..NamespaceOptions::default()
    }
}

#[test]
fn a_load_that_does_not_fit_is_sampled_and_advice_stays_right() {
    // Room for 1,024 accesses of a thread between two turns, and 3,000 come.
    let bound = AdvisorOptions { waiting: 4_096, ..options() };
    let mut application = Application::new(32 * MIB, 21, bound);
    application.pause = Duration::from_micros(300);
    application.open("users", sized(1_024), 6_000, 0.8).load = Duration::from_micros(50);
    application.run(Duration::from_mins(2));

    let counters = application.advisor.counters();
    assert!(counters.dropped > 0, "{counters:?}");
    let reading = &application.advisor.readings()[0];
    assert!(reading.sampled < 1.0 && reading.sampled >= 0.01, "{}", reading.sampled);
    let dropped = counters.dropped;
    application.run(Duration::from_mins(2));
    assert_eq!(application.advisor.counters().dropped, dropped, "the sample fits from now on");

    let reading = &application.advisor.readings()[0];
    let here = reading.miss_ratio_curve.miss_ratio_at(reading.capacity).unwrap();
    let live = application.caches.statistics().hit_ratio().unwrap().get();
    assert!((1.0 - here - live).abs() < 0.06, "simulated {here}, live {}", 1.0 - live);
    let too_small = application.advice.findings.iter().any(|one| one.kind == FindingKind::CacheTooSmall);
    assert!(too_small, "{:?}", reading.reasons);
}

#[test]
fn keys_are_named_only_for_those_who_ask() {
    let mut application = Application::new(8 * MIB, 22, options());
    application.open("users", sized(4_096), 1_000, 1.2);
    application.run(Duration::from_mins(1));
    assert!(application.advisor.readings()[0].hot_keys.iter().all(|hot| hot.key.is_none()));
    let named = application.advisor.readings_with_keys();
    assert_eq!(named[0].hot_keys[0].key.as_deref(), Some("0"), "{:?}", named[0].hot_keys[0]);
    assert!(named[0].big_keys.iter().all(|big| big.key.is_some()), "{:?}", named[0].big_keys);
}

#[test]
fn settings_that_change_begin_a_new_observation() {
    let mut application = Application::new(8 * MIB, 23, options());
    application.open("users", sized(4_096), 1_000, 0.8);
    application.run(Duration::from_mins(1));
    assert!(application.advisor.readings()[0].look_ups > 5_000);
    application.caches.tune("users", &"ttl=90s".parse().unwrap()).unwrap();
    application.turn();
    let reading = &application.advisor.readings()[0];
    assert_eq!((reading.ttl, reading.look_ups), (Duration::from_secs(90), 0));
}

#[test]
fn a_reset_of_the_statistics_does_not_confuse_the_advisor() {
    let mut application = Application::new(8 * MIB, 24, options());
    application.open("users", sized(512), 6_000, 0.8);
    application.run(Duration::from_mins(2));
    application.caches.reset_statistics();
    application.run(Duration::from_secs(5));
    let reading = &application.advisor.readings()[0];
    assert!(reading.look_ups < 5_000, "{}", reading.look_ups);
    application.run(Duration::from_mins(3));
    let too_small = application.advice.findings.iter().any(|one| one.kind == FindingKind::CacheTooSmall);
    assert!(too_small);
}
