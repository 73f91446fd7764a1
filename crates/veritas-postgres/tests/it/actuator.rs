//! The actuator on real servers: what it does, what it refuses, and that nothing is left when it fails.

mod faults;
mod measuring;
mod removing;
mod scene;
mod working;

use std::{sync::Arc, time::Duration};

use veritas_database::{Recorder, RecorderOptions};
use veritas_model::{Actuator, ActuatorError, Bytes, ChangeKind, Presence, SystemClock};
use veritas_postgres::{
    actuator::{APPLIER_LOCK, ActuatorOptions, PostgresActuator},
    session::{ConnectOptions, Session},
};
use veritas_testkit::wait_for;

use self::scene::{Scene, hasty};

const CREATE: ChangeKind = ChangeKind::IndexCreate;

#[test]
fn an_index_is_created_beside_the_load_and_taken_back_and_both_may_be_asked_twice() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Absent));
    for _ in 0..2 {
        scene.apply(CREATE, &plan).unwrap();
        assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Present));
        assert_eq!(scene.indexes(), format!("t_pkey valid\n{} valid\n", plan.object));
    }
    for _ in 0..2 {
        scene.actuator.revert(CREATE, &plan).unwrap();
        assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Absent));
        assert_eq!(scene.indexes(), "t_pkey valid\n");
    }
    scene.check_nobody_is_locked_out();
}

#[test]
fn a_target_that_is_not_ours_and_a_plan_that_is_not_ours_are_refused() {
    let scene = Scene::new(hasty());
    let mut plan = scene.plan(&["a"]);
    plan.target = "other".to_owned();
    let error = scene.actuator.presence(CREATE, &plan).unwrap_err();
    assert!(matches!(error, ActuatorError::UnknownTarget { .. }));
    let mut plan = scene.plan(&["a"]);
    plan.forward = "DROP TABLE t".to_owned();
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(matches!(error, ActuatorError::PlanRefused { .. }), "{error}");
    let error = scene.actuator.presence(ChangeKind::CacheTtl, &scene.plan(&["a"])).unwrap_err();
    assert!(matches!(error, ActuatorError::PlanRefused { .. }), "{error}");
}

#[test]
fn of_two_appliers_one_waits() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let mut other = scene.session();
    other.query("SELECT pg_advisory_lock($1)", &[&APPLIER_LOCK]).unwrap();
    for error in [scene.apply(CREATE, &plan).unwrap_err(), scene.actuator.revert(CREATE, &plan).unwrap_err()]
    {
        assert!(matches!(&error, ActuatorError::Busy { .. }), "{error}");
    }
    assert_eq!(scene.indexes(), "t_pkey valid\n");
    drop(other);
    wait_for(Duration::from_mins(1), || scene.apply(CREATE, &plan));
}

#[test]
fn a_table_that_somebody_locked_is_given_up_and_nothing_is_left() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let mut other = scene.session();
    other.batch("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(matches!(&error, ActuatorError::Busy { reason, .. } if reason.contains("no lock")), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\n");
    other.batch("COMMIT").unwrap();
    scene.apply(CREATE, &plan).unwrap();
}

#[test]
fn an_index_that_waits_for_an_old_snapshot_is_given_up_and_dropped() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let mut other = scene.session();
    other.batch("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(matches!(&error, ActuatorError::Busy { .. }), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\n", "{error}");
}

#[test]
fn what_cannot_be_dropped_yet_is_said_and_taken_back_later() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let mut writer = scene.session();
    // It holds the table: neither building nor dropping gets past it.
    writer.batch("BEGIN; UPDATE t SET b = 1 WHERE id = 1").unwrap();
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(error.to_string().contains("an index that cannot be used is left"), "{error}");
    assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Present), "so that it is taken back");
    writer.batch("COMMIT").unwrap();
    scene.actuator.revert(CREATE, &plan).unwrap();
    assert_eq!(scene.indexes(), "t_pkey valid\n");
}

#[test]
fn an_index_that_was_not_finished_is_made_anew() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    scene.psql(&plan.forward.replace(" CONCURRENTLY", ""));
    scene.psql(&format!(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}'::regclass",
        plan.object
    ));
    let before = scene.psql(&format!("SELECT '{}'::regclass::oid", plan.object));
    scene.apply(CREATE, &plan).unwrap();
    assert_eq!(scene.indexes(), format!("t_pkey valid\n{} valid\n", plan.object));
    assert_ne!(scene.psql(&format!("SELECT '{}'::regclass::oid", plan.object)), before);
}

#[test]
fn something_else_of_the_same_name_is_left_alone() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    scene.psql(&format!("CREATE TABLE \"{}\" (a int)", plan.object));
    for error in [scene.apply(CREATE, &plan).unwrap_err(), scene.actuator.revert(CREATE, &plan).unwrap_err()]
    {
        assert!(matches!(&error, ActuatorError::PlanRefused { .. }), "{error}");
    }
    assert_eq!(scene.psql(&format!("SELECT count(*) FROM \"{}\"", plan.object)), "0\n");
}

#[test]
fn too_little_space_and_too_much_load_are_waited_for() {
    let little = ActuatorOptions { free: Some(Bytes::new(1 << 20)), ..hasty() };
    let scene = Scene::new(little);
    let plan = scene.plan(&["a"]);
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(
        matches!(&error, ActuatorError::Guard { reason } if reason.contains("and 1048576 are free")),
        "{error}"
    );

    let scene = Scene::new(ActuatorOptions { most_active: Some(0), ..hasty() });
    let plan = scene.plan(&["a"]);
    // Somebody works: it waits for a lock that we hold.
    let mut holder = scene.session();
    holder.batch("SELECT pg_advisory_lock(7)").unwrap();
    let options = ConnectOptions { lock_timeout: Duration::from_mins(2), ..ConnectOptions::new(scene.url()) };
    let options = ConnectOptions { statement_timeout: Duration::from_mins(2), ..options };
    let mut working = Session::connect_writing(&options).unwrap();
    let worker = std::thread::spawn(move || working.batch("SELECT pg_advisory_lock(7)"));
    wait_for(Duration::from_mins(1), || {
        scene.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()") == "1\n"
    });
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(matches!(&error, ActuatorError::Busy { reason, .. } if reason.contains("allowed 0")), "{error}");
    drop(holder);
    worker.join().unwrap().unwrap();
    wait_for(Duration::from_mins(1), || scene.apply(CREATE, &plan));
}

#[test]
fn a_server_that_is_gone_is_no_answer() {
    let clock = Arc::new(SystemClock::new());
    let recorder = Arc::new(Recorder::new(RecorderOptions::default(), clock.clone()));
    let nowhere = ConnectOptions::new("postgresql://postgres@%2Fnowhere/x");
    let target = veritas_postgres::target::PostgresTarget::new("main", nowhere, clock);
    let actuator = PostgresActuator::new([Arc::new(target)], recorder, hasty());
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let error = actuator.presence(CREATE, &plan).unwrap_err();
    assert!(matches!(error, ActuatorError::Target { .. }), "{error}");
    assert!(actuator.work(&plan).is_empty());
}
