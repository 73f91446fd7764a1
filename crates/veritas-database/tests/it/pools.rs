//! Advice on the size of a pool, against simulated pools.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use veritas_database::{PoolAdvice, PoolReading, Recorder, RecorderOptions};
use veritas_model::{FindingKind, Ratio, Subject, Timestamp};
use veritas_statistics::Rng;

use crate::recorder_with;

/// How long connections are held, with a mean of 20 ms.
#[derive(Debug, Clone, Copy)]
enum Held {
    Always,
    Exponential,
    /// Nine of ten short, one of ten long.
    Mixed,
}

impl Held {
    fn sample(self, rng: &mut Rng) -> f64 {
        let exponential = |rng: &mut Rng, mean: f64| -mean * (1.0 - rng.next_f64()).ln();
        match self {
            Self::Always => 0.020,
            Self::Exponential => exponential(rng, 0.020),
            Self::Mixed => {
                let mean = if rng.next_f64() < 0.9 { 0.010 } else { 0.110 };
                exponential(rng, mean)
            }
        }
    }
}

/// Simulates minutes of a pool of `size` connections that is asked `rate` times a second, first
/// come first served, and returns the recorder that measured it.
fn simulate(size: u32, rate: f64, held: Held, minutes: u64, seed: u64) -> Recorder {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    recorder.register_pool("main", Arc::new(move || PoolReading { active: 0, idle: 0, max: size.into() }));
    let meter = recorder.pool("main");
    let mut rng = Rng::new(seed);
    let mut free: BinaryHeap<Reverse<Duration>> = (0..size).map(|_| Reverse(Duration::ZERO)).collect();
    let (mut now, end) = (Duration::ZERO, Duration::from_mins(minutes));
    loop {
        let gap = Duration::from_secs_f64(-(1.0 - rng.next_f64()).ln() / rate);
        now += gap;
        if now >= end {
            break;
        }
        clock.advance(gap);
        let Some(Reverse(free_at)) = free.pop() else { break };
        let starts = free_at.max(now);
        let service = Duration::from_secs_f64(held.sample(&mut rng));
        free.push(Reverse(starts + service));
        meter.wait(starts.saturating_sub(now));
        meter.hold(service);
    }
    clock.advance(Duration::from_mins(1));
    meter.wait(Duration::ZERO);
    recorder
}

fn advice(recorder: &Recorder) -> PoolAdvice {
    PoolAdvice::of(&recorder.pools()[0]).expect("enough was measured")
}

#[test]
fn the_model_foretells_how_many_wait_whatever_the_distribution() {
    for (seed, held) in [(1, Held::Always), (2, Held::Exponential), (3, Held::Mixed)] {
        for (size, rate) in [(4, 100.0), (10, 400.0)] {
            // Means of five minutes: one minute of a busy pool is a matter of luck.
            let recorder = simulate(size, rate, held, 5, seed);
            let pool = &recorder.pools()[0];
            let waited: u64 = pool.windows.iter().map(|window| window.waited).sum();
            let measured = Ratio::of(waited, pool.arrivals).expect("some came").get();
            let modelled = advice(&recorder).modelled_waiting_share;
            // The model is of the busiest minute, so it may be above; waits below a millisecond
            // are not counted, so it is above a little.
            assert!((modelled - measured).abs() < 0.12, "{held:?} {size} {rate}: {modelled} {measured}");
        }
    }
}

#[test]
fn a_pool_of_the_advised_size_makes_almost_nobody_wait() {
    for (seed, held) in [(4, Held::Always), (5, Held::Exponential), (6, Held::Mixed)] {
        for (size, rate) in [(4, 190.0), (9, 445.0)] {
            let before = advice(&simulate(size, rate, held, 2, seed));
            assert!(before.is_worth_it && before.advised > size, "{held:?} {size}: {before:?}");
            let after = advice(&simulate(before.advised, rate, held, 2, seed + 100));
            assert!(after.waiting_share <= 0.02, "{held:?} {size}: {before:?} {after:?}");
            assert!(!after.is_worth_it, "{after:?}");
            // Not a multiple of what is needed: within what the square-root rule of staffing gives.
            let load = rate * 0.020;
            let most = load + 6.0 * load.sqrt() + 2.0;
            assert!(f64::from(before.advised) <= most, "{held:?} {size}: {before:?}");
        }
    }
}

#[test]
fn a_pool_that_cannot_keep_up_is_found_and_one_that_can_is_not() {
    let recorder = simulate(5, 400.0, Held::Exponential, 3, 7);
    let findings = recorder.findings(Timestamp::default());
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::PoolSize);
    assert_eq!(findings[0].subject, Subject::Server { name: "main".into(), part: Some("pool".into()) });
    assert!(recorder.pools()[0].saturation().unwrap() > 1.0);
    let advised = findings[0].evidence.iter().find(|figure| figure.name == "advised_size").unwrap();
    assert!((9.0..=25.0).contains(&advised.value), "{advised:?}");

    let enough = simulate(16, 400.0, Held::Exponential, 3, 7);
    assert_eq!(enough.findings(Timestamp::default()), []);
}

#[test]
fn a_pool_is_called_too_large_only_after_fifteen_minutes() {
    let quiet = |minutes| simulate(60, 50.0, Held::Mixed, minutes, 8).findings(Timestamp::default());
    assert_eq!(quiet(14), []);
    let findings = quiet(16);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].recommendation.contains("instead of 60"), "{findings:?}");
    // Ten of ten is small enough whatever it needs.
    assert_eq!(simulate(9, 50.0, Held::Mixed, 16, 8).findings(Timestamp::default()), []);
}

#[test]
fn little_is_measured_and_nothing_is_advised() {
    // Two arrivals a second make 120 a minute.
    let few = simulate(1, 2.0, Held::Exponential, 16, 9);
    assert_eq!(PoolAdvice::of(&few.pools()[0]), None);
    // Less than a minute.
    let (recorder, _) = recorder_with(RecorderOptions::default());
    recorder.register_pool("main", Arc::new(|| PoolReading { active: 1, idle: 0, max: 1 }));
    for _ in 0..10_000 {
        recorder.pool("main").wait(Duration::from_secs(1));
        recorder.pool("main").hold(Duration::from_secs(1));
    }
    assert_eq!(recorder.findings(Timestamp::default()), []);
    // Without a gauge nobody knows the size.
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    for _ in 0..10_000 {
        recorder.pool("main").wait(Duration::from_secs(1));
        recorder.pool("main").hold(Duration::from_secs(1));
    }
    clock.advance(Duration::from_mins(2));
    recorder.pool("main").wait(Duration::ZERO);
    assert_eq!(PoolAdvice::of(&recorder.pools()[0]), None);
    assert_eq!(recorder.pools()[0].windows.len(), 1);
}

#[test]
fn meters_and_minutes_are_bounded() {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    for pool in 0..100 {
        recorder.pool(&format!("pool {pool}")).wait(Duration::ZERO);
    }
    assert_eq!(recorder.pools().len(), 64);
    for _ in 0..100 {
        clock.advance(Duration::from_mins(1));
        recorder.pool("pool 0").wait(Duration::ZERO);
    }
    assert_eq!((recorder.pools()[0].windows.len(), recorder.pools()[0].arrivals), (15, 101));
}
