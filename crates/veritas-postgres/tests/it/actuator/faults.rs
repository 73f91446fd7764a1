//! What goes wrong while an index is built: the server, the connection, the disk, and others at the same time.

use std::{sync::Barrier, thread, time::Duration};

use veritas_index_advisor::TableId;
use veritas_model::{Actuator as _, ActuatorError, ChangeKind, Presence};
use veritas_postgres::actuator::{ActuatorOptions, IndexRemoval};
use veritas_testkit::{Postgres, wait_for};

use super::scene::{Scene, hasty, proven};

const CREATE: ChangeKind = ChangeKind::IndexCreate;

/// Waits long for locks, so that a test can hold it there.
fn patient() -> ActuatorOptions {
    ActuatorOptions { lock_wait: Duration::from_mins(2), attempts: 1, ..ActuatorOptions::default() }
}

/// Waits until our session waits for what somebody holds; returns its number.
fn held_up(scene: &Scene) -> String {
    wait_for(Duration::from_mins(1), || {
        let waiting = scene.psql(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'veritas' AND wait_event_type = 'Lock' \
             AND datname = current_database()",
        );
        (!waiting.is_empty()).then_some(waiting)
    })
}

#[test]
fn a_server_that_crashes_while_it_builds_leaves_an_index_that_the_next_try_makes_anew() {
    // Commits are in the log at once, so that the crash does not hide what was left.
    let server = Postgres::start_alone("synchronous_commit = on");
    let scene = Scene::on(&server, patient());
    let plan = scene.plan(&["a"]);
    let mut reader = scene.session();
    reader.batch("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();
    let error = thread::scope(|scope| {
        let applying = scope.spawn(|| scene.apply(CREATE, &plan));
        held_up(&scene);
        server.kill();
        applying.join().unwrap().unwrap_err()
    });
    assert!(error.to_string().contains("whether something is left is not known"), "{error}");
    assert!(scene.actuator.presence(CREATE, &plan).is_err(), "a server that is gone is not asked");
    server.restart();
    assert_eq!(scene.indexes(), format!("t_pkey valid\n{} INVALID\n", plan.object));
    assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Present), "so that it is taken back");
    scene.apply(CREATE, &plan).unwrap();
    assert_eq!(scene.indexes(), format!("t_pkey valid\n{} valid\n", plan.object));
    scene.actuator.revert(CREATE, &plan).unwrap();
    assert_eq!(scene.indexes(), "t_pkey valid\n");
}

#[test]
fn while_a_session_of_ours_waits_to_build_or_to_drop_an_index_nobody_says_that_it_is_not_there() {
    let scene = Scene::new(patient());
    let plan = scene.plan(&["a"]);
    // What a process sees that starts after the one at work was killed: its session goes on.
    let looked_at_while = |work: &(dyn Fn() -> Result<(), ActuatorError> + Sync)| {
        let mut other = scene.session();
        other.batch("BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE").unwrap();
        thread::scope(|scope| {
            let working = scope.spawn(work);
            held_up(&scene);
            let presence = scene.actuator.presence(CREATE, &plan);
            other.batch("ROLLBACK").unwrap();
            working.join().unwrap().unwrap();
            presence
        })
    };
    let presence = looked_at_while(&|| scene.apply(CREATE, &plan));
    assert!(matches!(presence, Err(ActuatorError::Busy { .. })), "{presence:?}");
    assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Present));
    let presence = looked_at_while(&|| scene.actuator.revert(CREATE, &plan));
    assert_eq!(presence, Ok(Presence::Present), "so that it is taken back again");
    assert_eq!(scene.actuator.presence(CREATE, &plan), Ok(Presence::Absent));
}

#[test]
fn a_connection_that_is_cut_while_it_builds_leaves_nothing() {
    let scene = Scene::new(patient());
    let plan = scene.plan(&["a"]);
    let mut reader = scene.session();
    reader.batch("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();
    let error = thread::scope(|scope| {
        let applying = scope.spawn(|| scene.apply(CREATE, &plan));
        let pid = held_up(&scene);
        scene.psql(&format!("SELECT pg_terminate_backend({})", pid.trim()));
        applying.join().unwrap().unwrap_err()
    });
    assert!(matches!(&error, ActuatorError::Target { .. }), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\n", "{error}");
    scene.check_nobody_is_locked_out();
}

#[test]
fn a_build_that_is_cancelled_or_finds_no_room_leaves_nothing() {
    let scene = Scene::new(patient());
    let plan = scene.plan(&["c", "a"]);
    scene.psql("INSERT INTO t SELECT n, n, n, repeat(md5(n::text), 3) FROM generate_series(10000, 60000) n");
    let name = scene.database.name();
    scene.psql(&format!("ALTER DATABASE {name} SET temp_file_limit = '1MB'"));
    scene.psql(&format!("ALTER DATABASE {name} SET maintenance_work_mem = '1MB'"));
    scene.psql(&format!("ALTER DATABASE {name} SET max_parallel_maintenance_workers = 0"));
    let error = scene.apply(CREATE, &plan).unwrap_err();
    assert!(matches!(&error, ActuatorError::Guard { reason } if reason.contains("53400")), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\n");
    scene.psql(&format!("ALTER DATABASE {name} RESET temp_file_limit"));

    let mut reader = scene.session();
    reader.batch("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();
    let error = thread::scope(|scope| {
        let applying = scope.spawn(|| scene.apply(CREATE, &plan));
        let pid = held_up(&scene);
        scene.psql(&format!("SELECT pg_cancel_backend({})", pid.trim()));
        applying.join().unwrap().unwrap_err()
    });
    assert!(matches!(&error, ActuatorError::Guard { reason } if reason.contains("cancelled")), "{error}");
    assert_eq!(scene.indexes(), "t_pkey valid\n");
}

#[test]
fn of_many_appliers_at_once_one_builds_and_the_others_are_told_to_wait() {
    let scene = Scene::new(hasty());
    let plan = scene.plan(&["a"]);
    let barrier = Barrier::new(4);
    let outcomes: Vec<Result<(), ActuatorError>> = thread::scope(|scope| {
        let applier = || {
            barrier.wait();
            scene.another_actuator().apply(&proven(CREATE, &plan))
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(applier)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    for outcome in &outcomes {
        assert!(matches!(outcome, Ok(()) | Err(ActuatorError::Busy { .. })), "{outcomes:?}");
    }
    assert_eq!(scene.indexes(), format!("t_pkey valid\n{} valid\n", plan.object));
}

#[test]
fn a_replica_is_no_place_to_build_and_keeps_indexes_whose_use_there_is_not_known() {
    let server = Postgres::start_alone("max_wal_senders = 4");
    let options = ActuatorOptions { disuse: Duration::ZERO, ..hasty() };
    let scene = Scene::on(&server, options);
    scene.psql("CREATE INDEX alone ON t (b)");
    let replica = server.replica();
    let there = scene.moved_to(&replica);
    let plan = scene.plan(&["a"]);
    let error = there.apply(&proven(CREATE, &plan)).unwrap_err();
    assert!(matches!(&error, ActuatorError::Guard { reason } if reason.contains("replica")), "{error}");
    let definition = scene.psql("SELECT pg_get_indexdef('alone'::regclass)");
    let removal = IndexRemoval::new("public", "alone", definition.trim_end()).unwrap();
    let drop_it = removal.plan("main", &TableId::new("public", "t"));
    wait_for(Duration::from_mins(1), || scene.psql("SELECT count(*) FROM pg_stat_replication") == "1\n");
    let error = scene.apply(ChangeKind::IndexDrop, &drop_it).unwrap_err();
    assert!(matches!(&error, ActuatorError::Guard { reason } if reason.contains("replicas")), "{error}");
    scene.apply(CREATE, &plan).unwrap();
}
