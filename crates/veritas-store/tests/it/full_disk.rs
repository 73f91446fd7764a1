//! A disk that is full, and one that cannot be written: real ones.

use std::{fs, io::Write, num::NonZeroUsize, path::Path, process::Command, sync::Arc};

use veritas_model::{Condition, Health, Timestamp};
use veritas_store::{
    ControlPlane, DataDir, DataDirError, History, HistoryError, HistoryOptions, HistoryQuery,
    SqliteControlPlane, StoreError,
};
use veritas_testkit::{TempDir, VirtualClock, data_dir};

use crate::sample;

/// A file system of one mebibyte, unmounted when dropped.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn new() -> Self {
        let directory = data_dir();
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"], directory.path());
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn remount(&self, mode: &str) {
        run("mount", &["-o", &format!("remount,{mode}")], self.path());
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut file = fs::File::create(self.path().join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.directory.path());
    }
}

#[track_caller]
fn run(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test needs a small disk of its own, so it must run as root and be allowed to mount one: {said}"
    );
}

fn open(directory: &Path, health: &Arc<Health>) -> History {
    let head_points = NonZeroUsize::new(100_000).unwrap();
    let options = HistoryOptions { head_points, ..HistoryOptions::default() };
    History::open(directory, options, Arc::clone(health)).unwrap()
}

fn append(history: &History, second: i64) -> Result<(), HistoryError> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let numbers = [("third", second as f64 / 3.0), ("count", second as f64)];
    history.append(Timestamp::from_nanos(second * 1_000_000_000), &numbers, &[("status", "running")])
}

fn seconds(history: &History) -> Vec<i64> {
    let points = history.query(&HistoryQuery::newest(usize::MAX)).unwrap();
    points.iter().map(|point| point.at.nanos() / 1_000_000_000).collect()
}

#[test]
fn a_full_disk_stops_recording_and_space_starts_it_again() {
    let disk = SmallDisk::new();
    let directory = disk.path().join("history");
    let health = Arc::new(Health::default());
    let history = open(&directory, &health);
    let mut second = 0;
    let mut not_recorded = Vec::new();
    for round in 1..=3 {
        for _ in 0..50 {
            append(&history, second).unwrap();
            second += 1;
        }
        assert!(health.is_ready());
        disk.fill();
        let before = not_recorded.len();
        while not_recorded.len() < before + 20 {
            if let Err(error) = append(&history, second) {
                assert!(matches!(error, HistoryError::Full { .. }), "{error}");
                not_recorded.push(second);
            }
            second += 1;
        }
        let reason = format!("history: the disk is full, {} points dropped", not_recorded.len());
        assert_eq!(health.components(), [("history".to_owned(), Condition::Degraded(reason))]);
        history.sync();
        disk.free();
        append(&history, second).unwrap();
        second += 1;
        assert!(health.is_ready());
        assert_eq!(history.statistics().points_not_recorded, 20 * round);
    }
    assert_eq!(seconds(&history), (0..second).collect::<Vec<_>>(), "memory has all of them");
    drop(history);
    let history = open(&directory, &health);
    let recorded: Vec<_> = (0..second).filter(|second| !not_recorded.contains(second)).collect();
    assert_eq!(seconds(&history), recorded);
    let statistics = history.statistics();
    assert_eq!((statistics.truncated_bytes.get(), statistics.segments_damaged), (0, 0));
}

#[test]
fn a_history_opens_on_a_disk_that_is_full_or_read_only() {
    let disk = SmallDisk::new();
    let directory = disk.path().join("history");
    let health = Arc::new(Health::default());
    let history = open(&directory, &health);
    append(&history, 0).unwrap();
    drop(history);

    disk.remount("ro");
    let history = open(&directory, &health);
    assert!(matches!(append(&history, 1), Err(HistoryError::ReadOnly { .. })));
    let reason = "history: the directory cannot be written, 1 points dropped".to_owned();
    assert_eq!(health.components(), [("history".to_owned(), Condition::Degraded(reason))]);
    assert!(matches!(DataDir::open(disk.path()), Err(DataDirError::NotWritable { .. })));
    disk.remount("rw");
    append(&history, 2).unwrap();
    assert!(health.is_ready());
    drop(history);

    disk.fill();
    let history = open(&directory, &health);
    assert!(matches!(append(&history, 3), Err(HistoryError::Full { .. })));
    disk.free();
    append(&history, 4).unwrap();
    // The first point not recorded was in the memory of a history that is gone.
    assert_eq!(seconds(&history), [0, 2, 3, 4]);
}

#[test]
fn a_control_plane_says_that_the_disk_is_full_and_goes_on_when_it_is_not() {
    let disk = SmallDisk::new();
    let path = disk.path().join("control.sqlite");
    let clock = Arc::new(VirtualClock::new());
    let control = SqliteControlPlane::open(&path, clock.clone()).unwrap();
    control.append_audit(&sample::audit(0)).unwrap();
    let mut acknowledged = vec![sample::at(0)];
    let mut second = 1;
    for _ in 0..3 {
        disk.fill();
        let mut refusals = 0;
        while refusals < 3 {
            match control.append_audit(&sample::audit(second)) {
                Ok(()) => acknowledged.push(sample::at(second)),
                Err(error) => {
                    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
                    refusals += 1;
                }
            }
            second += 1;
        }
        assert_eq!(control.audit(100_000).unwrap().len(), acknowledged.len(), "reading goes on");
        disk.free();
        control.append_audit(&sample::audit(second)).unwrap();
        acknowledged.push(sample::at(second));
        second += 1;
    }
    drop(control);
    let control = SqliteControlPlane::open(&path, clock.clone()).unwrap();
    let stored: Vec<_> = control.audit(100_000).unwrap().iter().rev().map(|entry| entry.at).collect();
    assert_eq!(stored, acknowledged);
    drop(control);

    disk.fill();
    let fresh = SqliteControlPlane::open(&disk.path().join("new.sqlite"), clock.clone());
    assert!(matches!(fresh, Err(StoreError::Full { .. })), "{fresh:?}");
    disk.free();
    disk.remount("ro");
    let read_only = SqliteControlPlane::open(&path, clock);
    assert!(matches!(read_only, Err(StoreError::ReadOnly { .. })), "{read_only:?}");
}
