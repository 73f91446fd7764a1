//! An engine with a data directory: who owns it, and what a restart keeps.

use std::time::Duration;

use veritas::{Engine, StartError, model::Condition};
use veritas_testkit::{data_dir, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_second_engine_runs_in_memory_and_says_so() {
    let directory = data_dir();
    let first = Engine::builder().data_dir(directory.path()).start().unwrap();
    let second = Engine::builder().data_dir(directory.path()).start().unwrap();
    assert!(first.data_dir().is_some() && second.data_dir().is_none());
    let storage = second.health().components().into_iter().find(|(name, _)| name == "storage");
    let Some((_, Condition::Degraded(reason))) = storage else { panic!("{storage:?}") };
    assert!(reason.contains("in memory"), "{reason}");
}

#[test]
fn a_second_engine_that_must_own_the_directory_does_not_start() {
    let directory = data_dir();
    let _first = Engine::builder().data_dir(directory.path()).start().unwrap();
    let second = Engine::builder().exclusive_data_dir(directory.path()).start();
    assert!(matches!(second, Err(StartError::DataDirectory { .. })), "{second:?}");
}

#[test]
fn a_restart_keeps_the_history_and_the_owner_can_be_another() {
    let directory = data_dir();
    let start = || {
        Engine::builder()
            .exclusive_data_dir(directory.path())
            .sampling_interval(Duration::from_millis(50))
            .start()
            .unwrap()
    };
    let engine = start();
    wait_for(PATIENCE, || engine.history().len() >= 5);
    drop(engine);
    let engine = start();
    assert!(engine.history().len() >= 5);
}
