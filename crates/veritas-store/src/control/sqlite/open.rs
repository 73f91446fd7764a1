//! Opening the file: whose it is, which format, whether it is sound.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::cause::At as _;
use crate::StoreError;

/// `application_id` of our files: "VRTS".
const APPLICATION_ID: i32 = 0x5652_5453;
/// `user_version` of our files: the format below.
const FORMAT: i32 = 2;
/// The format before [`NOTES`]; such a file is upgraded as it is opened.
const WITHOUT_NOTES: i32 = 1;
/// How long to wait for another process that looks into the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after it was larger.
const LARGEST_IDLE_LOG: i64 = 4 << 20;

/// The tables, in SQL that PostgreSQL takes too, but for the two `INTEGER
/// PRIMARY KEY AUTOINCREMENT` (there: `BIGINT GENERATED ALWAYS AS IDENTITY`).
/// Times are nanoseconds since the Unix epoch; `record` is JSON.
const SCHEMA: &str = "
CREATE TABLE findings (
    id TEXT PRIMARY KEY, seen_at BIGINT NOT NULL, record TEXT NOT NULL);
CREATE INDEX findings_seen_at ON findings (seen_at);

CREATE TABLE proposals (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, proposed_at BIGINT NOT NULL, changed_at BIGINT NOT NULL,
    record TEXT NOT NULL);
CREATE INDEX proposals_changed_at ON proposals (changed_at);

CREATE TABLE changes (
    id TEXT PRIMARY KEY, proposal_id TEXT NOT NULL REFERENCES proposals (id),
    state TEXT NOT NULL, reason TEXT NOT NULL, approved_at BIGINT NOT NULL, record TEXT NOT NULL);
CREATE UNIQUE INDEX changes_one_in_force ON changes (proposal_id) WHERE state NOT IN ('reverted', 'failed');
CREATE INDEX changes_proposal_id ON changes (proposal_id);

CREATE TABLE change_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id TEXT NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
    state TEXT NOT NULL, at BIGINT NOT NULL, reason TEXT NOT NULL, caused_by TEXT NOT NULL);
CREATE INDEX change_events_change_id ON change_events (change_id, seq);

CREATE TABLE baselines (
    change_id TEXT PRIMARY KEY REFERENCES changes (id) ON DELETE CASCADE, record TEXT NOT NULL);

CREATE TABLE alert_history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, status TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX alert_history_rule ON alert_history (rule, seq);

CREATE TABLE alert_states (
    rule TEXT PRIMARY KEY, status TEXT NOT NULL, seq BIGINT NOT NULL, record TEXT NOT NULL);

CREATE TABLE rules (
    name TEXT PRIMARY KEY, record TEXT NOT NULL);

CREATE TABLE revoked_tokens (
    jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL, revoked_by TEXT NOT NULL, revoked_at BIGINT NOT NULL);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at BIGINT NOT NULL, subject TEXT NOT NULL, action TEXT NOT NULL,
    object TEXT NOT NULL, outcome TEXT NOT NULL);
";

/// What format 2 has beside the tables of format 1.
const NOTES: &str = "CREATE TABLE notes (key TEXT PRIMARY KEY, record TEXT NOT NULL)";

/// Opens or creates the file, mode 0600.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    look_before_opening(path)?;
    let open_error = |source| StoreError::Open { path: path.to_owned(), source };
    // SQLite would create it with the umask's mode; its companions take the mode of the file.
    let created = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match created {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            return Err(StoreError::Full { step: "create the control plane", source: error.into() });
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            return Err(StoreError::ReadOnly { step: "open the control plane", source: error.into() });
        }
        Err(error) => return Err(open_error(error.into())),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| open_error(error.into()))?;
    let step = "set up the connection";
    connection.busy_timeout(BUSY_TIMEOUT).at(step)?;
    connection.pragma_update(None, "synchronous", "FULL").at(step)?;
    connection.pragma_update(None, "foreign_keys", true).at(step)?;
    // Text that looks like a name is text; a damaged schema does not run code.
    connection.pragma_update(None, "trusted_schema", false).at(step)?;
    connection.set_prepared_statement_cache_capacity(64);
    create_or_check(&mut connection, path)?;
    let step = "switch to the write-ahead log";
    connection.pragma_update(None, "journal_mode", "WAL").at(step)?;
    connection.pragma_update(None, "journal_size_limit", LARGEST_IDLE_LOG).at(step)?;
    Ok(connection)
}

/// Reads the first bytes of the file, so that one which is not ours is not
/// even opened by SQLite (which may write while it opens).
///
/// The fields stand in the file from its first transaction on, since that is
/// made before the write-ahead log is switched on.
fn look_before_opening(path: &Path) -> Result<(), StoreError> {
    let mut header = Vec::new();
    match File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)) {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::Open { path: path.to_owned(), source: source.into() }),
    }
    let field = |start: usize| {
        let bytes = header.get(start..start + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    };
    // <https://www.sqlite.org/fileformat.html>, "The Database Header".
    let (format, owner) = (field(60), field(68));
    match (header.starts_with(b"SQLite format 3\0"), owner, format) {
        (true, Some(APPLICATION_ID), Some(FORMAT | WITHOUT_NOTES)) => Ok(()),
        (true, Some(APPLICATION_ID), Some(found)) => {
            Err(StoreError::UnknownFormat { path: path.to_owned(), found, supported: FORMAT })
        }
        // A creation that was cut short: SQLite rolls it back.
        (true, Some(0), Some(0)) => Ok(()),
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

fn create_or_check(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let step = "read the format";
    let pragma = |connection: &Connection, name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).at(step)
    };
    let owner = pragma(connection, "application_id")?;
    let format = pragma(connection, "user_version")?;
    match (owner, format) {
        (APPLICATION_ID, FORMAT) => check(connection),
        (APPLICATION_ID, WITHOUT_NOTES) => check(connection).and_then(|()| upgrade(connection)),
        (APPLICATION_ID, found) => {
            Err(StoreError::UnknownFormat { path: path.to_owned(), found, supported: FORMAT })
        }
        (0, 0) => {
            let tables = "SELECT count(*) FROM sqlite_schema";
            let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).at(step)?;
            if tables > 0 {
                return Err(StoreError::NotOurs { path: path.to_owned() });
            }
            create(connection)
        }
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

/// Writes the tables and whose they are, in one transaction.
fn create(connection: &mut Connection) -> Result<(), StoreError> {
    let step = "create the tables";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).at(step)?;
    transaction.execute_batch(SCHEMA).at(step)?;
    transaction.execute_batch(NOTES).at(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).at(step)?;
    transaction.pragma_update(None, "user_version", FORMAT).at(step)?;
    transaction.commit().at(step)
}

/// Brings a file of format 1 up to format 2, in one transaction.
fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    let step = "upgrade the file";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).at(step)?;
    transaction.execute_batch(NOTES).at(step)?;
    transaction.pragma_update(None, "user_version", FORMAT).at(step)?;
    transaction.commit().at(step)
}

/// Checks the pages and the references of a file of ours. Reads all of it:
/// the tables are bounded, so this takes milliseconds.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let step = "check the file";
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).at(step)?;
    if found != "ok" {
        return Err(StoreError::Corrupt { step, detail: found });
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check").at(step)?;
    let mut rows = statement.query([]).at(step)?;
    match rows.next().at(step)? {
        Some(row) => {
            let table: String = row.get(0).at(step)?;
            Err(StoreError::Corrupt {
                step,
                detail: format!("a row of {table} refers to one that is missing"),
            })
        }
        None => Ok(()),
    }
}
