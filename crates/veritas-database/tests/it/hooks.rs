//! What drivers run on a real PostgreSQL is recorded: tokio-postgres and its pools, diesel, sea-orm.

#[cfg(feature = "diesel")]
mod diesel;
#[cfg(feature = "tokio-postgres")]
mod pooled;
#[cfg(feature = "sea-orm")]
mod sea_orm;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

use std::sync::Arc;

use veritas_database::{Recorder, RecorderOptions, StatementStatistics};
use veritas_model::SystemClock;
use veritas_testkit::{Database, Postgres};

const SCHEMA: &str = "
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, age int, balance numeric(12, 2), born date,
                    seen timestamptz, key uuid, tags text[]);
INSERT INTO users SELECT n, 'user ' || n, n * 10 FROM generate_series(1, 9) n;
";

fn database() -> Database {
    Postgres::start().database_with(SCHEMA)
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new())))
}

/// Returns what was recorded of the statement that begins so.
#[track_caller]
fn recorded(recorder: &Recorder, start: &str) -> StatementStatistics {
    let snapshot = recorder.snapshot();
    let found = snapshot.statements.iter().find(|known| known.normalized.starts_with(start));
    found.unwrap_or_else(|| panic!("{start} is not among {:?}", snapshot.statements)).clone()
}
