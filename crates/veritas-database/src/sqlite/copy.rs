//! Copies: the private place where proposals are tried out.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use veritas_model::{ActuatorError, Bytes};

use super::{guard::describe, target::SqliteTarget};

/// Pages copied between two looks at the clock.
const PAGES_A_STEP: i32 = 2_000;

/// The directory that holds the copies: `proofs` in the data directory, for the
/// owner alone. One engine owns a data directory, so what is found there at
/// start was left by a crash and is removed.
#[derive(Debug)]
pub(crate) struct Workshop {
    directory: PathBuf,
    next: AtomicU64,
}

/// Two copies of a target; removed when dropped.
#[derive(Debug)]
pub(crate) struct Copies {
    directory: PathBuf,
    /// The copy that stays as it is.
    pub(crate) without: PathBuf,
    /// The copy that gets the index.
    pub(crate) with: PathBuf,
    /// The size of one copy.
    pub(crate) size: Bytes,
}

impl Workshop {
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join("proofs");
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        create_private(&directory)?;
        Ok(Self { directory, next: AtomicU64::new(0) })
    }

    /// Copies a target twice, if its limits allow. Readers and writers of a file
    /// in WAL mode do not notice; without WAL, writers wait for a step at a time.
    pub(crate) fn copy(&self, target: &SqliteTarget) -> Result<Copies, ActuatorError> {
        let source = target.reader().map_err(|error| target.error("open the file", &error))?;
        let size = size(&source).map_err(|error| target.error("read the size", &error))?;
        self.check_space(target, size)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(number.to_string());
        let failed = |step: &'static str| {
            let target = target.name().to_owned();
            move |error: io::Error| ActuatorError::Target { step, target, reason: error.kind().to_string() }
        };
        create_private(&directory).map_err(failed("make a directory for the copies of"))?;
        let copies = Copies {
            without: directory.join("without.sqlite"),
            with: directory.join("with.sqlite"),
            directory,
            size,
        };
        backup(target, &source, &copies.without)?;
        fs::copy(&copies.without, &copies.with).map_err(failed("copy the copy of"))?;
        Ok(copies)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes in bytes stay below 2^53, and a float-to-int cast saturates"
    )]
    fn check_space(&self, target: &SqliteTarget, size: Bytes) -> Result<(), ActuatorError> {
        let options = target.options();
        let guard = |reason: String| Err(ActuatorError::Guard { reason });
        if size > options.largest_copy {
            let (is, may) = (size.mebibytes(), options.largest_copy.mebibytes());
            return guard(format!("the database has {is} MiB, at most {may} MiB are copied for a proof"));
        }
        let needed = Bytes::new((size.get() as f64 * options.free_space_factor) as u64);
        match rustix::fs::statvfs(&self.directory) {
            Ok(disk) if Bytes::new(disk.f_bavail.saturating_mul(disk.f_frsize)) < needed => {
                guard(format!("a proof needs {} MiB free in the data directory", needed.mebibytes()))
            }
            Ok(_) => Ok(()),
            Err(_) => guard("the free space of the data directory is not known".to_owned()),
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn size(connection: &Connection) -> rusqlite::Result<Bytes> {
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(Bytes::new(u64::try_from(pages.saturating_mul(page)).unwrap_or(0)))
}

/// Copies by SQLite's backup interface, page by page.
fn backup(target: &SqliteTarget, source: &Connection, path: &Path) -> Result<(), ActuatorError> {
    let failed = |error: rusqlite::Error| target.error("copy", &error);
    let journal: String = source.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(failed)?;
    // A read transaction pins a snapshot of a WAL file, so that writers do not make
    // the backup start again. Without WAL it would keep them out, so there is none.
    let pins = journal.eq_ignore_ascii_case("wal");
    if pins {
        source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    }
    let mut copy = Connection::open(path).map_err(failed)?;
    copy.busy_timeout(target.options().busy_timeout).map_err(failed)?;
    let started = target.clock().monotonic();
    let backup = Backup::new(source, &mut copy).map_err(failed)?;
    let mut waits = 0;
    loop {
        match backup.step(PAGES_A_STEP).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => waits += 1, // busy or locked; the wait was inside
        }
        let overdue = target.clock().monotonic().since(started) > target.options().longest_proof;
        if overdue || waits >= target.options().attempts {
            let reason = "the application writes too often to copy it, or holds a lock".to_owned();
            return Err(ActuatorError::Busy { target: target.name().to_owned(), reason });
        }
    }
    drop(backup);
    if pins {
        source.execute_batch("ROLLBACK").map_err(failed)?;
    }
    // The copy is one file from here on: no WAL beside it.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(failed)?;
    copy.close().map_err(|(_, error)| ActuatorError::Target {
        step: "close the copy",
        target: target.name().to_owned(),
        reason: describe(&error),
    })
}

#[cfg(unix)]
fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use veritas_model::Clock;
    use veritas_testkit::{TempDir, VirtualClock, data_dir};

    use super::*;
    use crate::sqlite::SqliteOptions;

    fn target(directory: &TempDir, options: SqliteOptions) -> SqliteTarget {
        let path = directory.path().join("app.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(50000))",
            )
            .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        SqliteTarget::open_with("main", path, options, clock).unwrap()
    }

    fn left_over(directory: &TempDir) -> usize {
        fs::read_dir(directory.path().join("proofs")).unwrap().count()
    }

    #[test]
    fn copies_hold_the_rows_and_go_when_dropped() {
        let directory = data_dir();
        let target = target(&directory, SqliteOptions::default());
        let workshop = Workshop::open(directory.path()).unwrap();
        let copies = workshop.copy(&target).unwrap();
        for path in [&copies.without, &copies.with] {
            let copy = Connection::open(path).unwrap();
            let length: i64 = copy.query_row("SELECT length(x) FROM t", [], |row| row.get(0)).unwrap();
            assert_eq!(length, 50_000);
        }
        assert_eq!(left_over(&directory), 1);
        drop(copies);
        assert_eq!(left_over(&directory), 0);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_look_into_the_copies() {
        use std::os::unix::fs::PermissionsExt;
        let directory = data_dir();
        let target = target(&directory, SqliteOptions::default());
        let workshop = Workshop::open(directory.path()).unwrap();
        let copies = workshop.copy(&target).unwrap();
        for path in [&workshop.directory, &copies.directory] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_a_crash_left_is_removed_at_start() {
        let directory = data_dir();
        let stale = directory.path().join("proofs/7");
        fs::create_dir_all(&stale).unwrap();
        fs::write(stale.join("with.sqlite"), "secret").unwrap();
        drop(Workshop::open(directory.path()).unwrap());
        assert_eq!(left_over(&directory), 0);
    }

    #[test]
    fn a_large_file_or_a_full_disk_is_not_copied() {
        for options in [
            SqliteOptions { largest_copy: Bytes::new(1_000), ..SqliteOptions::default() },
            SqliteOptions { free_space_factor: 1e12, ..SqliteOptions::default() },
        ] {
            let directory = data_dir();
            let target = target(&directory, options);
            let workshop = Workshop::open(directory.path()).unwrap();
            let refused = workshop.copy(&target).unwrap_err();
            assert!(matches!(refused, ActuatorError::Guard { .. }), "{refused}");
            assert_eq!(left_over(&directory), 0);
        }
    }
}
