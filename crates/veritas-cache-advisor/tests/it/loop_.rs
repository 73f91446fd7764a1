//! The whole loop: found, proposed, proven, applied, and seen on the live load.

use std::time::Duration;

use veritas_cache::{Knob, KnobName, NamespaceOptions};
use veritas_model::{
    Actuator, ActuatorError, Alpha, ChangeKind, Finding, FindingKind, MeasuredGain, NotProven, Presence,
    Proposal, Proven, WorkMetric, WorkTotals,
};

use crate::application::{Application, KIB, MIB, options};

fn found(application: &Application, kind: FindingKind) -> Option<&Finding> {
    application.advice.findings.iter().find(|finding| finding.kind == kind)
}

fn proposed(application: &Application, kind: ChangeKind) -> Option<Proposal> {
    application.advice.proposals.iter().find(|proposal| proposal.kind == kind).cloned()
}

fn proven(application: &Application, proposal: &Proposal) -> Result<Proven, NotProven> {
    let gain = application.actuator.measure(proposal).expect("it can be measured");
    proposal.clone().prove(gain, Alpha::ONE_PERCENT)
}

/// The share of misses per look-up that is gone, weighted by the rates seen after.
fn live_gain(before: &[WorkTotals], middle: &[WorkTotals], after: &[WorkTotals]) -> f64 {
    let (mut costs, mut would_cost) = (0.0, 0.0);
    for ((first, second), third) in before.iter().zip(middle).zip(after) {
        let then = third.steps.since(&second.steps);
        let now = second.steps.since(&first.steps);
        let rate = f64::from(u32::try_from(then.count).expect("a test is short"));
        costs += then.sum;
        would_cost += rate * now.mean().expect("there were look-ups");
    }
    1.0 - costs / would_cost
}

/// Applies a change, and returns its gain on the live load: five minutes before against
/// five minutes after it had a minute to fill.
fn applied(application: &mut Application, proven: &Proven) -> f64 {
    let plan = proven.proposal().plan.clone();
    let before = application.actuator.work(&plan);
    application.run(Duration::from_mins(5));
    let until = application.actuator.work(&plan);
    application.actuator.apply(proven).expect("it can be applied");
    application.actuator.apply(proven).expect("it can be applied");
    assert_eq!(application.actuator.presence(proven.proposal().kind, &plan), Ok(Presence::Present));
    application.run(Duration::from_mins(1));
    let from = application.actuator.work(&plan);
    application.run(Duration::from_mins(5));
    let after = application.actuator.work(&plan);
    let before: Vec<WorkTotals> = before
        .into_iter()
        .zip(&until)
        .zip(&from)
        .map(|((before, until), from)| WorkTotals {
            // Shifted, so that "until minus before" is what it was when it is taken from "from".
            steps: veritas_model::Moments {
                count: from.steps.count - (until.steps.count - before.steps.count),
                sum: from.steps.sum - (until.steps.sum - before.steps.sum),
                sum_of_squares: 0.0,
            },
            ..before
        })
        .collect();
    live_gain(&before, &from, &after)
}

#[track_caller]
fn check_prediction(gain: &MeasuredGain, live: f64) {
    // The live load has chance of its own beside that of the prediction.
    let slack = 0.03;
    assert!(
        gain.gain_interval.low - slack <= live && live <= gain.gain_interval.high + slack,
        "predicted {:.3} ({:.3} to {:.3}), live {live:.3}; {}",
        gain.gain,
        gain.gain_interval.low,
        gain.gain_interval.high,
        gain.method,
    );
}

fn ttl(seconds: u64) -> NamespaceOptions {
    NamespaceOptions { ttl: Some(Duration::from_secs(seconds)), ..NamespaceOptions::default() }
}

fn sized(kib: u64) -> NamespaceOptions {
    NamespaceOptions { capacity: Some(veritas_model::Bytes::new(kib * KIB)), ..ttl(36_000) }
}

#[test]
fn a_cache_that_is_too_small_is_found_proven_and_gains_what_was_predicted() {
    let mut application = Application::new(32 * MIB, 1, options());
    application.open("users", sized(512), 6_000, 0.8);
    application.run(Duration::from_mins(6));

    let finding = found(&application, FindingKind::CacheTooSmall).expect("it is found");
    assert!(finding.recommendation.starts_with("Let users hold"), "{}", finding.recommendation);
    let proposal = proposed(&application, ChangeKind::CacheCapacity).expect("it is proposed");
    assert_eq!(proposal.finding.as_ref(), Some(&finding.id));
    assert!(proposal.summary.ends_with("from what is free"), "{}", proposal.summary);

    let proven = proven(&application, &proposal).unwrap();
    assert_eq!(proven.gain().metric, WorkMetric::Misses);
    assert!(proven.gain().method.starts_with("simulated: replay of "), "{}", proven.gain().method);
    let again = application.actuator.measure(&proposal).unwrap();
    assert_eq!(again, *proven.gain(), "a proof can be repeated");

    // Someone turns the knob by hand: the inverse of the plan would not bring that back.
    let by_hand = Knob::Capacity(veritas_model::Bytes::new(600 * KIB));
    application.caches.tune("users", &by_hand).unwrap();
    let refused = application.actuator.apply(&proven);
    assert!(matches!(refused, Err(ActuatorError::Guard { .. })), "{refused:?}");
    assert_eq!(application.caches.tuning("users").unwrap().knob(KnobName::Capacity), by_hand);
    application.caches.tune("users", &Knob::AsConfigured(KnobName::Capacity)).unwrap();

    let live = applied(&mut application, &proven);
    check_prediction(proven.gain(), live);

    let plan = &proposal.plan;
    application.actuator.revert(proposal.kind, plan).unwrap();
    application.actuator.revert(proposal.kind, plan).unwrap();
    assert_eq!(application.actuator.presence(proposal.kind, plan), Ok(Presence::Absent));
    assert_eq!(application.caches.tuning("users").unwrap().tuned, [] as [KnobName; 0]);
}

#[test]
fn bytes_come_from_the_namespace_that_loses_least_and_never_exceed_the_budget() {
    let mut application = Application::new(4 * MIB, 2, options());
    application.open("wants", sized(1_024), 6_000, 0.8);
    // All of it fits into a tenth of what it has.
    application.open("idle", sized(3_072), 200, 0.8);
    application.run(Duration::from_mins(6));

    let too_large = found(&application, FindingKind::CacheTooLarge).expect("what is not needed is found");
    assert_eq!(too_large.subject.name(), "idle");
    let proposal = proposed(&application, ChangeKind::CacheCapacity).expect("it is proposed");
    assert_eq!(proposal.plan.scope, ["wants", "idle"]);
    assert!(proposal.summary.ends_with("from idle"), "{}", proposal.summary);

    let proven = proven(&application, &proposal).unwrap();
    let live = applied(&mut application, &proven);
    check_prediction(proven.gain(), live);
    let sum = ["wants", "idle"].map(|name| application.caches.tuning(name).unwrap().capacity.get());
    assert!(sum.iter().sum::<u64>() <= 4 * MIB, "{sum:?}");

    application.actuator.revert(proposal.kind, &proposal.plan).unwrap();
    let back = ["wants", "idle"].map(|name| application.caches.tuning(name).unwrap().capacity.get());
    assert_eq!(back, [MIB, 3 * MIB]);
}

#[test]
fn a_longer_life_is_proven_where_values_hardly_change() {
    let mut application = Application::new(32 * MIB, 3, options());
    application.open("prices", ttl(10), 300, 0.6).changes_after = Some(Duration::from_hours(10));
    application.run(Duration::from_mins(8));

    let finding = found(&application, FindingKind::CacheTtl).expect("it is found");
    assert!(finding.recommendation.starts_with("Let what prices stores live"), "{}", finding.recommendation);
    let proposal = proposed(&application, ChangeKind::CacheTtl).expect("it is proposed");
    let proven = proven(&application, &proposal).unwrap();
    let live = applied(&mut application, &proven);
    check_prediction(proven.gain(), live);
}

#[test]
fn a_longer_life_that_serves_old_values_is_not_proven() {
    let mut application = Application::new(32 * MIB, 4, options());
    application.open("prices", ttl(2), 300, 0.6).changes_after = Some(Duration::from_secs(30));
    application.run(Duration::from_mins(6));
    let knob = Knob::Ttl(Duration::from_secs(20));
    let proposal = asked_for(&application, ChangeKind::CacheTtl, "prices", knob);
    assert_eq!(proven(&application, &proposal), Err(NotProven::ResultsDiffer));
}

/// A proposal that an operator asks for, whatever the advisor says.
fn asked_for(application: &Application, kind: ChangeKind, namespace: &str, knob: Knob) -> Proposal {
    let plan = veritas_model::Plan {
        target: namespace.to_owned(),
        forward: knob.to_string(),
        inverse: Knob::AsConfigured(knob.name()).to_string(),
        object: format!("{namespace}/{}", knob.name().as_str()),
        scope: vec![namespace.to_owned()],
    };
    Proposal {
        id: Proposal::identity(kind, &plan),
        finding: None,
        kind,
        summary: String::new(),
        plan,
        estimate: None,
        proposed_at: veritas_model::Clock::now(&application.clock),
    }
}

#[test]
fn what_harms_or_does_nothing_is_not_proven() {
    let mut application = Application::new(32 * MIB, 5, options());
    application.open("users", sized(1_024), 6_000, 0.8);
    application.open("small", sized(1_024), 100, 0.8);
    application.run(Duration::from_mins(4));
    let capacity = |kib: u64| Knob::Capacity(veritas_model::Bytes::new(kib * KIB));
    for (namespace, kib) in [("users", 256), ("users", 1_030), ("small", 8_192)] {
        let proposal = asked_for(&application, ChangeKind::CacheCapacity, namespace, capacity(kib));
        let refused = proven(&application, &proposal);
        assert!(
            matches!(refused, Err(NotProven::NotSignificant { .. } | NotProven::TooSmall { .. })),
            "{refused:?}"
        );
    }
    let stop = asked_for(&application, ChangeKind::CacheStop, "users", Knob::Bypass(true));
    assert!(matches!(proven(&application, &stop), Err(NotProven::NotSignificant { .. })));
}

#[test]
fn a_prediction_that_fails_on_the_live_load_is_seen() {
    let mut application = Application::new(32 * MIB, 6, options());
    application.open("users", sized(512), 6_000, 0.8);
    application.run(Duration::from_mins(6));
    let proposal = proposed(&application, ChangeKind::CacheCapacity).expect("it is proposed");
    let proven = proven(&application, &proposal).unwrap();
    // From now on every key comes once: no cache helps.
    application.namespaces[0].zipf = veritas_testkit::workload::Zipf::new(4_000_000, 0.0);
    let live = applied(&mut application, &proven);
    assert!(live < proven.gain().gain_interval.low - 0.2, "live {live}, predicted {:?}", proven.gain());
}

#[test]
fn a_cache_of_what_is_cheap_is_stopped() {
    let mut application = Application::new(32 * MIB, 7, options());
    let cheap = application.open("cheap", ttl(36_000), 5_000, 0.3);
    (cheap.load, cheap.size) = (Duration::from_nanos(10), 10);
    application.run(Duration::from_mins(4));

    let loss = found(&application, FindingKind::CacheNetLoss).expect("the loss is found");
    assert!(loss.recommendation.starts_with("Stop caching cheap"), "{}", loss.recommendation);
    let stop = proposed(&application, ChangeKind::CacheStop).expect("stopping is proposed");
    let stopping = proven(&application, &stop).unwrap();
    assert_eq!(stopping.gain().metric, WorkMetric::Seconds);
    application.actuator.apply(&stopping).unwrap();
    assert!(application.caches.tuning("cheap").unwrap().bypass);
    assert_eq!(application.actuator.work(&stop.plan)[0].steps.count, 0, "misses are no measure of stopping");
    application.actuator.revert(stop.kind, &stop.plan).unwrap();
    assert!(!application.caches.tuning("cheap").unwrap().bypass);
}

#[test]
fn a_cache_that_only_watches_is_started() {
    let mut application = Application::new(32 * MIB, 10, options());
    let dear = NamespaceOptions { start_bypassed: true, ..ttl(36_000) };
    application.open("dear", dear, 500, 0.8);
    application.run(Duration::from_mins(4));

    let candidate = found(&application, FindingKind::CacheCandidate).expect("the candidate is found");
    assert!(candidate.recommendation.starts_with("Start caching dear"), "{}", candidate.recommendation);
    let start = proposed(&application, ChangeKind::CacheStart).expect("starting is proposed");
    let starting = proven(&application, &start).unwrap();
    let live = applied(&mut application, &starting);
    check_prediction(starting.gain(), live);
    assert!(found(&application, FindingKind::CacheCandidate).is_none(), "it is no candidate any more");
}

#[test]
fn what_cannot_be_proven_says_so() {
    let mut application = Application::new(32 * MIB, 8, options());
    application.open("users", sized(512), 6_000, 0.8);
    application.run(Duration::from_secs(10));
    let knob = Knob::Capacity(veritas_model::Bytes::new(4 * MIB));
    let kind = ChangeKind::CacheCapacity;
    let refusal = |application: &Application, namespace: &str, knob| {
        application.actuator.measure(&asked_for(application, kind, namespace, knob)).unwrap_err().to_string()
    };
    assert!(refusal(&application, "users", knob).contains("can be measured"), "too short");
    assert_eq!(refusal(&application, "nobody", knob), "the target \"nobody\" is not registered");
    let in_force = Knob::Capacity(veritas_model::Bytes::new(512 * KIB));
    assert!(refusal(&application, "users", in_force).contains("already"));

    application.run(Duration::from_mins(3));
    application.actuator.measure(&asked_for(&application, kind, "users", knob)).unwrap();
    application.clock.advance(Duration::from_mins(20));
    assert!(refusal(&application, "users", knob).contains("is 1200 s old"), "too old");

    let mut spoilt = asked_for(&application, kind, "users", knob);
    spoilt.plan.forward = "capacity=1; DROP TABLE users".into();
    let refused = application.actuator.measure(&spoilt);
    assert!(matches!(refused, Err(ActuatorError::PlanRefused { .. })), "{refused:?}");
}

#[test]
fn more_than_there_is_cannot_be_promised() {
    let mut application = Application::new(4 * MIB, 9, options());
    application.open("users", sized(512), 6_000, 0.8);
    application.open("other", sized(3_072), 6_000, 0.8);
    application.run(Duration::from_mins(4));
    let knob = Knob::Capacity(veritas_model::Bytes::new(2 * MIB));
    let proposal = asked_for(&application, ChangeKind::CacheCapacity, "users", knob);
    let proven = proven(&application, &proposal).unwrap();
    let refused = application.actuator.apply(&proven);
    assert!(matches!(refused, Err(ActuatorError::Guard { .. })), "{refused:?}");
    assert_eq!(application.actuator.presence(proposal.kind, &proposal.plan), Ok(Presence::Absent));
}
