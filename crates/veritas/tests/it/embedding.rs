//! An engine in memory: what an application gets without any option.

use std::time::Duration;

use veritas::{
    Engine,
    model::{Condition, Provenance},
};
use veritas_testkit::wait_for;

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn an_engine_without_options_samples_in_memory_and_is_ready() {
    let engine = Engine::builder().sampling_interval(Duration::from_millis(100)).start().unwrap();
    assert!(engine.data_dir().is_none());
    let reading = wait_for(PATIENCE, || {
        engine.monitor().latest().filter(|reading| reading.system.cpu.percent.is_some())
    });
    assert!((0.0..=100.0).contains(&reading.system.cpu.percent.unwrap()));
    wait_for(PATIENCE, || engine.history().len() >= 2);
    assert!(engine.health().is_ready(), "{:?}", engine.health().components());
}

#[test]
fn what_nobody_registered_is_unavailable_and_not_zero_measured() {
    let engine = Engine::builder().start().unwrap();
    assert!(!engine.database().snapshot().registered);
    assert!(engine.database().connections().is_none());
    assert_ne!(engine.caches().memory().provenance, Provenance::Measured);
}

#[test]
fn a_dropped_engine_leaves_its_recorders_usable() {
    let engine = Engine::builder().start().unwrap();
    let cache = engine.caches().namespace::<String>("names");
    let recorder = std::sync::Arc::clone(engine.database());
    drop(engine);
    assert!(cache.set("key", "value".to_owned()));
    assert_eq!(cache.get("key").as_deref(), Some("value"));
    recorder.statement("SELECT 1").finish(1, None);
    assert_eq!(recorder.snapshot().total, 1);
}

#[cfg(feature = "sqlite")]
#[test]
fn a_target_that_is_no_database_degrades_only_itself() {
    let directory = veritas_testkit::data_dir();
    let path = directory.path().join("text.db");
    std::fs::write(&path, "this is no database, however long one looks at it").unwrap();
    let engine = Engine::builder().sqlite("notes", &path).start().unwrap();
    let degraded: Vec<_> = engine
        .health()
        .components()
        .into_iter()
        .filter(|(_, condition)| *condition != Condition::Ready)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(degraded, ["target:notes"]);
}

#[cfg(feature = "sqlite")]
#[test]
fn copies_of_an_engine_without_a_directory_are_private_and_go_with_it() {
    use std::os::unix::fs::PermissionsExt;

    let all = || {
        let prefix = format!("veritas-{}-", std::process::id());
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let entries = entries.map(|entry| entry.path());
        entries
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&prefix))
            .collect::<Vec<_>>()
    };
    // One that was killed, and whose process had the number that ours has, left its own.
    let others = all();
    let ours = || all().into_iter().filter(|path| !others.contains(path)).collect::<Vec<_>>();
    let directory = veritas_testkit::data_dir();
    let path = directory.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    let engines = [(); 2].map(|()| Engine::builder().sqlite("app", &path).start().unwrap());
    let places = ours();
    assert_eq!(places.len(), engines.len(), "each has its own: {places:?}");
    for place in places {
        assert_eq!(place.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    drop(engines);
    assert!(ours().is_empty(), "{:?}", ours());
}
