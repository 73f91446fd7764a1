//! The demo's data in a real `SQLite` file.

use std::path::Path;

use rusqlite::{Connection, params_from_iter, types};
use veritas::database::Value;

use super::{Table, draw};

/// The schema. Planted: `content.author_id` has no index.
const SCHEMA: &str = "
    CREATE TABLE authors (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        affiliation TEXT NOT NULL
    );
    CREATE TABLE content (
        id INTEGER PRIMARY KEY,
        author_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        status TEXT NOT NULL,
        score REAL NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE TABLE verifications (
        id INTEGER PRIMARY KEY,
        content_id INTEGER NOT NULL,
        verifier TEXT NOT NULL,
        verdict TEXT NOT NULL,
        confidence REAL NOT NULL,
        checked_at INTEGER NOT NULL
    );
";

const INDEXES: &str = "
    CREATE INDEX content_by_kind ON content(kind);
    CREATE INDEX verifications_by_content ON verifications(content_id);
";

/// Opens a connection as the demo's service uses it.
pub(in super::super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Fills a new database; `progress` hears the share done, 0 to 1.
pub(in super::super) fn build(path: &Path, seed: u64, mut progress: impl FnMut(f64)) -> rusqlite::Result<()> {
    let mut connection = connect(path)?;
    connection.execute_batch(SCHEMA)?;
    let tx = connection.transaction()?;
    draw(seed, &mut progress, |table, row| {
        let sql = match table {
            Table::Authors => "INSERT INTO authors VALUES (?1, ?2, ?3)",
            Table::Content => "INSERT INTO content VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            Table::Verifications => "INSERT INTO verifications VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        };
        tx.prepare_cached(sql)?.execute(params_from_iter(row.iter().map(bound))).map(drop)
    })?;
    tx.execute_batch(INDEXES)?;
    tx.commit()?;
    connection.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")?;
    progress(1.0);
    Ok(())
}

fn bound(value: &Value) -> types::ToSqlOutput<'_> {
    let value = match value {
        Value::Null => types::ValueRef::Null,
        Value::Integer(value) => types::ValueRef::Integer(*value),
        Value::Real(value) => types::ValueRef::Real(*value),
        Value::Text(value) => types::ValueRef::Text(value.as_bytes()),
        Value::Blob(value) => types::ValueRef::Blob(value),
    };
    types::ToSqlOutput::Borrowed(value)
}
