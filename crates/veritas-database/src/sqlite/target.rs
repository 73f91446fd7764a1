//! Targets: the SQLite files of the application, opened by us for a moment at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use veritas_model::{ActuatorError, Bytes, Clock};

use super::guard::{describe, is_busy, is_interrupted};

/// Limits of what is done with a target.
#[derive(Debug, Clone, PartialEq)]
pub struct SqliteOptions {
    /// How long to wait for someone else's lock, each time.
    pub busy_timeout: Duration,
    /// How many times a lock is waited for before [`ActuatorError::Busy`] is said.
    pub attempts: u32,
    /// The largest file that is copied for a proof.
    pub largest_copy: Bytes,
    /// How many times the file's size must be free where copies are made: two
    /// copies, the index, and something to spare.
    pub free_space_factor: f64,
    /// The longest that building an index may hold the write lock of the live
    /// file: measured on the copy before, and enforced on the live file.
    pub longest_build: Duration,
    /// How long one proof may take.
    pub longest_proof: Duration,
    /// How long advice may look at one statement on the live file.
    pub longest_look: Duration,
}

impl Default for SqliteOptions {
    /// Lock wait 250 ms, 4 attempts, copies up to 2 GiB with 2.2 times the space
    /// free, 5 s of building, 10 s of proof, 50 ms of looking at a statement.
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_millis(250),
            attempts: 4,
            largest_copy: Bytes::new(2 << 30),
            free_space_factor: 2.2,
            longest_build: Duration::from_secs(5),
            longest_proof: Duration::from_secs(10),
            longest_look: Duration::from_millis(50),
        }
    }
}

/// Why a file cannot be a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It cannot be opened or read as a database.
    #[error("failed to open the database {path:?}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
}

/// A SQLite file of the application.
///
/// Connections are opened when something is done and closed after it; between
/// calls no connection, lock or transaction is held. Looking uses read-only
/// connections.
///
/// **The same SQLite library, or another process.** On Unix, SQLite's locks
/// belong to the process: two copies of the library in one process (ours and,
/// say, a scripting language's) drop each other's locks and can damage the
/// file. The application must use the library that this crate links
/// (`rusqlite`), or run in another process. WAL mode is recommended: readers
/// and writers then do not wait for each other, and only then is a statement
/// ever run on the live file for advice (read-only, for 50 ms at most).
#[derive(Debug)]
pub struct SqliteTarget {
    name: String,
    path: PathBuf,
    options: SqliteOptions,
    clock: Arc<dyn Clock>,
}

impl SqliteTarget {
    /// Opens a target with the default limits.
    ///
    /// # Errors
    ///
    /// When the file cannot be read as a database. It is not created.
    pub fn open(
        name: impl Into<String>,
        path: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TargetError> {
        Self::open_with(name, path, SqliteOptions::default(), clock)
    }

    /// Opens a target with other limits.
    ///
    /// # Errors
    ///
    /// When the file cannot be read as a database. It is not created.
    pub fn open_with(
        name: impl Into<String>,
        path: impl AsRef<Path>,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TargetError> {
        let target = Self { name: name.into(), path: path.as_ref().to_owned(), options, clock };
        let readable = target
            .reader()
            .and_then(|reader| reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
        match readable {
            Ok(()) => Ok(target),
            Err(error) if is_busy(&error) => Ok(target),
            Err(error) => Err(TargetError::Open { path: target.path, reason: describe(&error) }),
        }
    }

    /// Returns the name under which plans know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the limits.
    pub const fn options(&self) -> &SqliteOptions {
        &self.options
    }

    pub(crate) const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Opens a connection that cannot write.
    pub(crate) fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(self.options.busy_timeout)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    }

    /// Opens a connection for a change of ours.
    pub(crate) fn writer(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(self.options.busy_timeout)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    }

    /// Says an error of SQLite as one of an actuator.
    pub(crate) fn error(&self, step: &'static str, error: &rusqlite::Error) -> ActuatorError {
        let reason = describe(error);
        if is_busy(error) {
            ActuatorError::Busy { target: self.name.clone(), reason }
        } else if is_interrupted(error) || error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            ActuatorError::Guard { reason: format!("{step}: {reason}") }
        } else {
            ActuatorError::Target { step, target: self.name.clone(), reason }
        }
    }
}
