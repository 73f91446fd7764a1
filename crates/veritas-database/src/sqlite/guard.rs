//! Guards around statements that are not ours: what they may do, and for how long.

use std::{sync::Arc, time::Duration};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
};
use veritas_model::Clock;

/// The deadline is looked at after so many steps of the virtual machine, some
/// tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 4_000;

/// Runs `work` while the connection refuses every statement that does anything
/// else than read and change rows: no ATTACH, no PRAGMA, no schema change, no
/// extension is loaded.
pub(crate) fn rows_only<T>(
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.authorizer(Some(permit))?;
    let result = work();
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    result
}

fn permit(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Function { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Runs `work`, interrupting whatever statement runs when `limit` is over: it
/// then ends with [`rusqlite::ErrorCode::OperationInterrupted`] and leaves nothing.
pub(crate) fn bounded<T>(
    connection: &Connection,
    clock: &Arc<dyn Clock>,
    limit: Duration,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let started = clock.monotonic();
    let handlers_clock = Arc::clone(clock);
    // A clock that stands still must not let a statement run for ever: SQLite
    // takes no more than a step a nanosecond.
    let most_looks = limit.as_nanos() / u128::from(STEPS_BETWEEN_LOOKS.unsigned_abs()) + 1;
    let mut looks = 0;
    let expired = move || {
        looks += 1;
        looks > most_looks || handlers_clock.monotonic().since(started) > limit
    };
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(expired))?;
    let result = work();
    connection.progress_handler(0, None::<fn() -> bool>)?;
    result
}

/// Returns whether a statement ran into its time limit.
pub(crate) fn is_interrupted(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
}

/// Returns whether someone else holds a lock.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

/// Describes an error by its code: SQLite's own messages may quote the statement.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.to_string(),
        rusqlite::Error::SqlInputError { error, .. } => error.to_string(),
        rusqlite::Error::MultipleStatement => "more than one statement".to_owned(),
        _ => "unexpected answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use veritas_testkit::VirtualClock;

    use super::*;

    #[test]
    fn only_rows_are_touched() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a); CREATE INDEX i ON t(a)").unwrap();
        for (sql, allowed) in [
            ("SELECT a FROM t", true),
            ("WITH RECURSIVE n(x) AS (SELECT 1 UNION SELECT x + 1 FROM n LIMIT 3) SELECT * FROM n", true),
            ("INSERT INTO t VALUES (upper('x'))", true),
            ("UPDATE t SET a = 1", true),
            ("DELETE FROM t", true),
            ("ATTACH ':memory:' AS other", false),
            ("PRAGMA user_version = 1", false),
            ("CREATE TABLE u(a)", false),
            ("DROP INDEX i", false),
            ("ANALYZE", false),
            ("REINDEX", false),
            ("SELECT load_extension('x')", false),
            ("BEGIN", false),
        ] {
            let prepared = rows_only(&connection, || connection.prepare(sql).map(drop));
            assert_eq!(prepared.is_ok(), allowed, "{sql}");
        }
        assert!(connection.prepare("DROP INDEX i").is_ok(), "the guard is gone afterwards");
    }

    #[test]
    fn what_runs_too_long_is_interrupted() {
        let connection = Connection::open_in_memory().unwrap();
        let virtual_clock = VirtualClock::new();
        let clock: Arc<dyn Clock> = Arc::new(virtual_clock.clone());
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n";
        let result = bounded(&connection, &clock, Duration::from_secs(1), || {
            virtual_clock.advance(Duration::from_secs(2));
            connection.query_row(endless, [], |row| row.get::<_, i64>(0))
        });
        assert!(is_interrupted(&result.unwrap_err()));
        assert!(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0)).is_ok());
    }
}
