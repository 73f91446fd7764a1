//! An engine with a data directory: who owns it, and what a restart keeps.

use std::{collections::BTreeMap, fs, time::Duration};

use veritas::{
    Engine, StartError,
    model::{ChangeKind, Condition, Mode},
    optimize::OptimizerOptions,
};
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

fn degraded(engine: &Engine, part: &str) -> String {
    let found = engine.health().components().into_iter().find(|(name, _)| name == part);
    let Some((_, Condition::Degraded(reason))) = found else { panic!("{part}: {found:?}") };
    reason
}

#[test]
fn an_engine_that_does_not_own_its_ledger_changes_nothing() {
    let directory = data_dir();
    let start = || {
        let modes = BTreeMap::from([(ChangeKind::IndexCreate, Mode::Automatic)]);
        let options = OptimizerOptions { modes, ..OptimizerOptions::default() };
        Engine::builder().data_dir(directory.path()).optimizer(options).start().unwrap()
    };
    let (owner, other) = (start(), start());
    assert_eq!(owner.optimizer().mode(ChangeKind::IndexCreate), Mode::Automatic);
    assert_eq!(other.optimizer().mode(ChangeKind::IndexCreate), Mode::ReportOnly);
    assert!(degraded(&other, "changes").contains("only reported"));
}

#[test]
fn a_history_that_cannot_be_opened_does_not_stop_an_application() {
    let directory = data_dir();
    fs::write(directory.path().join("history"), "not a directory").unwrap();
    let engine = Engine::builder().data_dir(directory.path()).start().unwrap();
    assert!(degraded(&engine, "history").contains("in memory"));
    drop(engine);
    let required = Engine::builder().exclusive_data_dir(directory.path()).start();
    assert!(matches!(required, Err(StartError::History { .. })), "{required:?}");
}
