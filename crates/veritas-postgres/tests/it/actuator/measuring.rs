//! Proofs: what is proven, what is not, and what they leave behind.

use std::time::Duration;

use veritas_database::Value;
use veritas_index_advisor::TableId;
use veritas_model::{
    Actuator as _, ActuatorError, Alpha, ChangeKind, Finding, FindingKind, Fingerprint, MeasuredGain,
    NotProven, Plan, Proposal, Subject, Timestamp, WorkMetric,
};
use veritas_postgres::{
    actuator::{ActuatorOptions, IndexRemoval},
    scratch::ScratchPlace,
};

use super::scene::{Scene, hasty};

fn proving() -> ActuatorOptions {
    ActuatorOptions { scratch: ScratchPlace::SameServer, longest_proof: Duration::from_mins(4), ..hasty() }
}

fn proposal(kind: ChangeKind, plan: &Plan, fingerprint: Option<Fingerprint>) -> Proposal {
    let finding = fingerprint.map(|fingerprint| {
        let subject = Subject::Statement { name: "x".to_owned(), fingerprint, normalized: String::new() };
        Finding::identity(FindingKind::MissingIndex, &subject)
    });
    Proposal {
        id: Proposal::identity(kind, plan),
        finding,
        kind,
        summary: String::new(),
        plan: plan.clone(),
        estimate: None,
        proposed_at: Timestamp::default(),
    }
}

/// Records calls with these values; the statements are run by nobody.
fn record(scene: &Scene, sql: &str, calls: u32, values: impl Fn(i64) -> Vec<Value>) -> Fingerprint {
    for call in 0..calls {
        let values = values(i64::from(call));
        let recorded = scene.recorder.statement(sql).parameters(&values);
        recorded.finish(1, None);
    }
    let snapshot = scene.recorder.snapshot();
    let found = snapshot.statements.iter().find(|statement| statement.sample_sql.as_deref() == Some(sql));
    found.unwrap().fingerprint
}

fn read(scene: &Scene) -> Fingerprint {
    record(scene, "SELECT c FROM t WHERE a = $1", 12, |call| vec![(call * 7 % 100).into()])
}

fn write(scene: &Scene) {
    record(scene, "INSERT INTO t (id, a, b, c) VALUES ($1, $2, $3, $4)", 12, |call| {
        vec![(call + 10_000).into(), call.into(), call.into(), "x".into()]
    });
}

#[track_caller]
fn measure(scene: &Scene, proposal: &Proposal) -> MeasuredGain {
    let gain = scene.actuator.measure(proposal).unwrap_or_else(|error| panic!("{error}"));
    let left = scene.psql(
        "SELECT count(*) FROM pg_database WHERE datname LIKE 'veritas_scratch_%' AND shobj_description(oid, \
         'pg_database') LIKE '%database ' || current_database() || ';%'",
    );
    assert_eq!(left, "0\n", "the copy goes with the proof");
    gain
}

#[test]
fn an_index_that_helps_is_proven_and_what_it_costs_writes_is_told() {
    let scene = Scene::new(proving());
    let fingerprint = read(&scene);
    write(&scene);
    let plan = scene.plan(&["a"]);
    let proposal = proposal(ChangeKind::IndexCreate, &plan, Some(fingerprint));
    let gain = measure(&scene, &proposal);
    assert_eq!((gain.metric, gain.results_equal), (WorkMetric::Buffers, true));
    assert!(gain.write_slowdown.is_some_and(|share| share > 0.05), "{:?}", gain.write_slowdown);
    for words in ["parameter vectors of real calls: 12", "public.t whole", "writes in scope, rolled back: 1"]
    {
        assert!(gain.method.contains(words), "{}", gain.method);
    }
    assert!(!gain.method.contains("'x'"), "no value of a call is told");
    assert_eq!(scene.indexes(), "t_pkey valid\n", "the live database is as it was");
    let proven = proposal.prove(gain, Alpha::ONE_PERCENT).unwrap();
    scene.actuator.apply(&proven).unwrap();
}

#[test]
fn an_index_that_no_plan_uses_is_not_proven() {
    let scene = Scene::new(proving());
    let fingerprint = read(&scene);
    let plan = scene.plan(&["b", "c"]);
    let proposal = proposal(ChangeKind::IndexCreate, &plan, Some(fingerprint));
    let gain = measure(&scene, &proposal);
    let refused = proposal.prove(gain, Alpha::ONE_PERCENT).unwrap_err();
    assert!(matches!(refused, NotProven::NotSignificant { .. } | NotProven::TooSmall { .. }), "{refused}");
}

#[test]
fn without_a_place_or_a_statement_nothing_is_measured() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let fingerprint = read(&scene);
    let error =
        scene.actuator.measure(&proposal(ChangeKind::IndexCreate, &plan, Some(fingerprint))).unwrap_err();
    assert!(
        matches!(&error, ActuatorError::SwitchedOff { hint, .. } if hint.contains("postgres.scratch")),
        "{error}"
    );
    let scene = Scene::new(proving());
    let error = scene.actuator.measure(&proposal(ChangeKind::IndexCreate, &plan, None)).unwrap_err();
    assert!(
        matches!(&error, ActuatorError::Busy { reason, .. } if reason.contains("none was seen")),
        "{error}"
    );
}

fn removal(scene: &Scene, index: &str) -> Proposal {
    let definition = scene.psql(&format!("SELECT pg_get_indexdef('{index}'::regclass)"));
    let removal = IndexRemoval::new("public", index, definition.trim_end()).unwrap();
    proposal(ChangeKind::IndexDrop, &removal.plan("main", &TableId::new("public", "t")), None)
}

#[test]
fn dropping_an_index_is_worth_what_writes_save_unless_a_read_needs_it() {
    let scene = Scene::new(proving());
    scene.psql("CREATE INDEX idle ON t (b, c)");
    scene.psql("CREATE INDEX used ON t (a)");
    write(&scene);
    let _fingerprint = read(&scene);
    let idle = removal(&scene, "idle");
    let gain = measure(&scene, &idle);
    assert!(gain.write_slowdown.is_some_and(|share| share < -0.1), "{:?}", gain.write_slowdown);
    assert!(gain.method.contains("making it again"), "{}", gain.method);
    idle.prove(gain, Alpha::ONE_PERCENT).unwrap();
    let used = removal(&scene, "used");
    let gain = measure(&scene, &used);
    assert!(gain.gain < 0.0 && gain.method.contains("a read in scope became dearer"), "{}", gain.method);
    used.prove(gain, Alpha::ONE_PERCENT).unwrap_err();
}
