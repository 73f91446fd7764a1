//! The file of the control plane: whose it is, which format, damaged or not.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use veritas_store::{ControlPlane, SqliteControlPlane, StoreError};
use veritas_testkit::{VirtualClock, data_dir};

use crate::sample;

fn open(path: &Path) -> Result<SqliteControlPlane, StoreError> {
    SqliteControlPlane::open(path, Arc::new(VirtualClock::new()))
}

/// Checks that opening fails as `expected` and leaves the file as it was.
#[track_caller]
fn check_refused(path: &Path, expected: impl Fn(&StoreError) -> bool) {
    let before = fs::read(path).unwrap();
    let error = open(path).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(!error.hint().is_empty());
    assert!(fs::read(path).unwrap() == before, "the file is not touched");
    let companions = ["-wal", "-shm", "-journal"];
    for companion in companions {
        assert!(!Path::new(&format!("{}{companion}", path.display())).exists(), "{companion}");
    }
}

#[test]
fn a_new_file_is_private_and_in_the_write_ahead_log_mode() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    let control = open(&path).unwrap();
    control.append_audit(&sample::audit(1)).unwrap();
    for name in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_file_of_another_program_is_refused_and_not_touched() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    let is_not_ours = |error: &StoreError| matches!(error, StoreError::NotOurs { .. });
    fs::write(&path, "hello").unwrap();
    check_refused(&path, is_not_ours);
    fs::write(&path, [7; 8192]).unwrap();
    check_refused(&path, is_not_ours);
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine (a); PRAGMA user_version = 3").unwrap();
    drop(other);
    check_refused(&path, is_not_ours);
}

#[test]
fn tables_without_a_format_are_of_another_program() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    check_refused(&path, |error| matches!(error, StoreError::NotOurs { .. }));
}

#[test]
fn an_unknown_format_is_refused_and_not_touched() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    open(&path).unwrap().append_audit(&sample::audit(1)).unwrap();
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 3; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(newer);
    check_refused(&path, |error| {
        error.to_string() == format!("the control plane {path:?} has format 3, this release knows format 2")
    });
}

#[test]
fn a_file_of_the_first_format_is_upgraded_and_keeps_what_it_holds() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    open(&path).unwrap().append_audit(&sample::audit(1)).unwrap();
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute_batch("DROP TABLE notes; PRAGMA user_version = 1").unwrap();
    drop(older);
    for round in ["first", "second"] {
        let control = open(&path).unwrap();
        assert_eq!(control.audit(10).unwrap(), [sample::audit(1)], "{round}");
        control.put_note("round", round).unwrap();
        assert_eq!(control.note("round").unwrap().as_deref(), Some(round));
    }
}

#[test]
fn damage_is_said_clearly_and_never_panics() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    let control = open(&path).unwrap();
    for finding in sample::findings() {
        control.put_finding(&finding).unwrap();
    }
    drop(control);
    let sound = fs::read(&path).unwrap();
    let mut refused = 0;
    // A page of noise at every place, and the file cut off at every page.
    for page in 0..sound.len() / 4096 {
        let mut damaged = sound.clone();
        let start = if page == 0 { 100 } else { page * 4096 };
        damaged[start..(page + 1) * 4096].fill(0xa5);
        let cut = sound[..page * 4096 + 2048].to_vec();
        for bytes in [damaged, cut] {
            fs::write(&path, bytes).unwrap();
            for companion in ["control.sqlite-wal", "control.sqlite-shm"] {
                drop(fs::remove_file(directory.path().join(companion)));
            }
            match open(&path) {
                // A free page may hold anything.
                Ok(control) => drop(control.findings()),
                Err(StoreError::Corrupt { .. } | StoreError::NotOurs { .. }) => refused += 1,
                Err(other) => panic!("page {page}: {other:?}"),
            }
        }
    }
    assert!(refused >= sound.len() / 4096, "{refused}");
}

#[test]
fn a_record_that_makes_no_sense_is_an_error_of_that_call_only() {
    let directory = data_dir();
    let path = directory.path().join("control.sqlite");
    let control = open(&path).unwrap();
    control.put_rule(&sample::rule("a")).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE rules SET record = '{\"name\": 3}'", []).unwrap();
    let error = control.rules().unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { step: "read the rules", .. }), "{error:?}");
    control.put_rule(&sample::rule("a")).unwrap();
    assert_eq!(control.rules().unwrap(), [sample::rule("a")]);
}
