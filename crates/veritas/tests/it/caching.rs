//! Caches inside the engine: kept changes outlive a restart, functions find their cache, and
//! a Redis server is looked at.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use veritas::{
    Engine,
    cache::KnobName,
    model::{
        Change, ChangeId, ChangeKind, ChangeState, Interval, MeasuredGain, Plan, Proposal, ProposalRecord,
        ProposalState, Timestamp, WorkMetric,
    },
};
use veritas_testkit::{data_dir, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

/// A change of the time to live of `users` to seven seconds.
fn change(state: ChangeState, at: Timestamp) -> (ProposalRecord, Change) {
    let plan = Plan {
        target: "users".into(),
        forward: "ttl=7s".into(),
        inverse: "ttl=configured".into(),
        object: "users/ttl".into(),
        scope: vec!["users".into()],
    };
    let interval = Interval { low: 0.4, high: 0.6, confidence: 0.95 };
    let gain = MeasuredGain {
        metric: WorkMetric::Misses,
        pairs: 20,
        before: 0.5,
        after: 0.25,
        gain: 0.5,
        gain_interval: interval,
        p_value: 1e-5,
        seconds_before: 0.01,
        seconds_after: 0.005,
        seconds_gain_interval: interval,
        bytes_read_before: None,
        bytes_read_after: None,
        write_slowdown: None,
        results_equal: true,
        method: "written by a test".into(),
    };
    let kind = ChangeKind::CacheTtl;
    let proposal = Proposal {
        id: Proposal::identity(kind, &plan),
        finding: None,
        kind,
        summary: "another time to live".into(),
        plan: plan.clone(),
        estimate: None,
        proposed_at: at,
    };
    let change = Change {
        id: ChangeId::derive(&["users"]),
        proposal: proposal.id.clone(),
        kind,
        summary: proposal.summary.clone(),
        plan,
        state,
        approved_by: "test".into(),
        approved_at: at,
        applied_at: Some(at),
        settled_at: Some(at),
        predicted: gain.clone(),
        live: None,
        reason: "written by a test".into(),
    };
    (ProposalRecord { proposal, state: ProposalState::Proven(gain), changed_at: at }, change)
}

#[test]
fn a_kept_change_to_a_cache_is_in_force_after_a_restart_and_a_reverted_one_is_not() {
    for (state, expected) in [(ChangeState::Kept, 7), (ChangeState::Reverted, 300)] {
        let directory = data_dir();
        let start = || Engine::builder().exclusive_data_dir(directory.path()).start().unwrap();
        let engine = start();
        let control = &engine.sources().control;
        let (proposal, change) = change(state, engine.sources().clock.now());
        control.put_proposal(&proposal).unwrap();
        control.put_change(&change).unwrap();
        drop(engine);

        let engine = start();
        drop(engine.caches().namespace::<u64>("users"));
        let tuning = engine.caches().tuning("users").unwrap();
        assert_eq!(tuning.ttl, Duration::from_secs(expected), "{state:?}");
        assert_eq!(tuning.tuned.contains(&KnobName::Ttl), state == ChangeState::Kept);
    }
}

static SQUARED: AtomicU64 = AtomicU64::new(0);

#[veritas::cached(ttl = "1h")]
fn square(number: u64) -> u64 {
    SQUARED.fetch_add(1, Ordering::Relaxed);
    number * number
}

#[test]
fn cached_functions_use_the_caches_of_the_engine() {
    let engine = Engine::builder().start().unwrap();
    assert_eq!((square(12), square(12), square(13)), (144, 144, 169));
    assert_eq!(SQUARED.load(Ordering::Relaxed), 2);
    assert_eq!(engine.caches().statistics().hits, 1);
}

#[test]
fn every_turn_of_the_analysis_looks_at_the_caches() {
    let engine = Engine::builder().analysis_interval(Duration::from_millis(20)).start().unwrap();
    let cache = engine.caches().namespace::<u64>("looked_at");
    wait_for(PATIENCE, || {
        cache.get_or_compute(&1, || 1);
        engine.sources().cache_advisor.readings().iter().any(|reading| reading.name == "looked_at")
    });
}

#[cfg(feature = "redis")]
#[test]
fn a_redis_server_is_looked_at_and_its_death_degrades_the_health() {
    use veritas::{model::Condition, redis::RedisOptions};

    let redis = veritas_testkit::Redis::start();
    let options = RedisOptions::parse(&redis.url()).unwrap();
    let engine = Engine::builder().redis_server(options).start().unwrap();
    // On a busy machine the first look may run out of time.
    wait_for(PATIENCE, || engine.sources().cache_server.get().is_some_and(|told| told.reading.is_reached()));
    let health = |engine: &Engine| engine.health().components().into_iter().find(|(name, _)| name == "redis");
    wait_for(PATIENCE, || matches!(health(&engine), Some((_, Condition::Ready))));
    drop(engine);

    let url = redis.url();
    drop(redis);
    let engine = Engine::builder().redis_server(RedisOptions::parse(&url).unwrap()).start().unwrap();
    wait_for(PATIENCE, || matches!(health(&engine), Some((_, Condition::Degraded(_)))));
}
