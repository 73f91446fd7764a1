//! The connections of the demo's service: `SQLite` or `PostgreSQL`, as the service asks them.

mod postgres;

use std::{
    path::Path,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use veritas::database::{PoolGauge, PoolReading, Recorder, Value, sqlite::Observed};

use super::dataset;

/// Connections of the service's pool.
const POOL: u64 = 4;

/// Why a statement had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryError {
    /// There is no such row.
    NoRow,
    /// The database said no.
    Failed,
}

/// One row.
#[derive(Debug)]
pub(super) struct Record(Vec<Value>);

impl Record {
    /// Returns a whole number, 0 where there is none.
    pub(super) fn integer(&self, column: usize) -> i64 {
        if let Some(Value::Integer(value)) = self.0.get(column) { *value } else { 0 }
    }

    /// Returns a number, 0 where there is none.
    pub(super) fn real(&self, column: usize) -> f64 {
        if let Some(Value::Real(value)) = self.0.get(column) { *value } else { 0.0 }
    }

    /// Returns a text, empty where there is none.
    pub(super) fn text(&self, column: usize) -> String {
        if let Some(Value::Text(value)) = self.0.get(column) { value.clone() } else { String::new() }
    }
}

/// A connection of the service.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Connection),
}

impl Connection {
    /// Runs a statement that returns rows, under a label, as the recorder sees it. Its
    /// parameters are written `?1`, `?2` …
    #[track_caller]
    pub(super) fn query(
        &self,
        recorder: &Recorder,
        label: &'static str,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<Vec<Record>, QueryError> {
        match self {
            Self::Sqlite(connection) => Observed::new(connection, recorder)
                .label(label)
                .query(sql, parameters, record)
                .map_err(|_| QueryError::Failed),
            Self::Postgres(connection) => connection.query(recorder, label, sql, parameters),
        }
    }

    /// Runs a statement that returns no rows; returns how many it changed.
    #[track_caller]
    pub(super) fn execute(
        &self,
        recorder: &Recorder,
        label: &'static str,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<u64, QueryError> {
        match self {
            Self::Sqlite(connection) => Observed::new(connection, recorder)
                .label(label)
                .execute(sql, parameters)
                .map(|changed| changed as u64)
                .map_err(|_| QueryError::Failed),
            Self::Postgres(connection) => connection.execute(recorder, label, sql, parameters),
        }
    }
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    let mut values = Vec::new();
    for column in 0..row.as_ref().column_count() {
        values.push(match row.get_ref(column)? {
            rusqlite::types::ValueRef::Null => Value::Null,
            rusqlite::types::ValueRef::Integer(value) => Value::Integer(value),
            rusqlite::types::ValueRef::Real(value) => Value::Real(value),
            rusqlite::types::ValueRef::Text(value) => {
                Value::Text(String::from_utf8_lossy(value).into_owned())
            }
            rusqlite::types::ValueRef::Blob(value) => Value::Blob(value.to_vec()),
        });
    }
    Ok(Record(values))
}

/// A fixed set of connections, handed out one at a time.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
    active: AtomicU64,
}

impl Pool {
    /// Opens connections to a `SQLite` file.
    pub(super) fn sqlite(path: &Path) -> rusqlite::Result<Self> {
        let idle = (0..POOL).map(|_| dataset::sqlite::connect(path).map(Connection::Sqlite));
        Ok(Self::of(idle.collect::<rusqlite::Result<_>>()?))
    }

    /// Opens connections to a `PostgreSQL` database.
    pub(super) async fn postgres(url: &str) -> anyhow::Result<Self> {
        let mut idle = Vec::new();
        for _ in 0..POOL {
            idle.push(Connection::Postgres(postgres::Connection::open(url).await?));
        }
        Ok(Self::of(idle))
    }

    fn of(idle: Vec<Connection>) -> Self {
        Self { idle: Mutex::new(idle), returned: Condvar::new(), active: AtomicU64::new(0) }
    }

    /// Waits for a connection. Only called from blocking threads.
    pub(super) fn acquire(&self) -> Pooled<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle =
            self.returned.wait_while(idle, |idle| idle.is_empty()).unwrap_or_else(PoisonError::into_inner);
        let connection = idle.pop();
        self.active.fetch_add(1, Ordering::Relaxed);
        Pooled { pool: self, connection }
    }
}

impl PoolGauge for Pool {
    fn read(&self) -> PoolReading {
        let active = self.active.load(Ordering::Relaxed);
        PoolReading { active, idle: POOL.saturating_sub(active), max: POOL }
    }
}

/// A connection that goes back to its pool when dropped.
pub(super) struct Pooled<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl std::ops::Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a connection is given back only when dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
        self.pool.active.fetch_sub(1, Ordering::Relaxed);
        self.pool.returned.notify_one();
    }
}
