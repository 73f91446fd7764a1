//! What one execution cost, as SQLite counts it: figures that no other load disturbs.

use rusqlite::{Connection, StatementStatus, types::ValueRef};
use veritas_model::stable_hash;

use super::{binding::bind, guard::rows_only, trial::encode};
use crate::Value;

/// The counters of a statement after it ran (`sqlite3_stmt_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutionStatus {
    /// Steps of the virtual machine.
    pub vm_steps: u64,
    /// Rows stepped over while a table was read from start to end.
    pub full_scan_steps: u64,
    /// Sorts.
    pub sorts: u64,
    /// Rows put into indexes that SQLite built for this execution and threw away, one
    /// fewer for each of them (it counts the steps from row to row). Above zero, an index
    /// is missing: SQLite itself found it worth building.
    pub automatic_index_rows: u64,
}

impl ExecutionStatus {
    /// Adds the counters of another execution.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vm_steps: self.vm_steps + other.vm_steps,
            full_scan_steps: self.full_scan_steps + other.full_scan_steps,
            sorts: self.sorts + other.sorts,
            automatic_index_rows: self.automatic_index_rows + other.automatic_index_rows,
        }
    }
}

/// What running a statement with some vectors cost and brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Executed {
    pub(crate) status: ExecutionStatus,
    /// Rows returned.
    pub(crate) rows: u64,
    /// The rows as a sum that does not see their order.
    pub(crate) digest: u64,
}

/// Runs a statement once for each vector, on a copy; what it changes is rolled back.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    vectors: &[Vec<Value>],
) -> rusqlite::Result<Executed> {
    let mut executed = Executed::default();
    let mut statement = rows_only(connection, || connection.prepare(sql))?;
    let is_read = statement.readonly();
    for vector in vectors {
        if !is_read {
            connection.execute_batch("SAVEPOINT veritas_trial")?;
        }
        let run = once(&mut statement, vector);
        if !is_read {
            connection.execute_batch("ROLLBACK TO veritas_trial; RELEASE veritas_trial")?;
        }
        let run = run?;
        executed.status = executed.status.plus(run.status);
        executed.rows += run.rows;
        executed.digest = executed.digest.wrapping_add(run.digest);
    }
    Ok(executed)
}

fn once(statement: &mut rusqlite::Statement<'_>, vector: &[Value]) -> rusqlite::Result<Executed> {
    for counter in [
        StatementStatus::VmStep,
        StatementStatus::FullscanStep,
        StatementStatus::Sort,
        StatementStatus::AutoIndex,
    ] {
        statement.reset_status(counter);
    }
    bind(statement, vector)?;
    let columns = statement.column_count();
    let (mut returned, mut digest, mut encoded) = (0, 0_u64, Vec::new());
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        returned += 1;
        encoded.clear();
        for column in 0..columns {
            let value: ValueRef<'_> = row.get_ref(column)?;
            encode(value, &mut encoded);
        }
        digest = digest.wrapping_add(stable_hash(&encoded));
    }
    drop(rows);
    let of = |counter| u64::try_from(statement.get_status(counter)).unwrap_or(0);
    let status = ExecutionStatus {
        vm_steps: of(StatementStatus::VmStep),
        full_scan_steps: of(StatementStatus::FullscanStep),
        sorts: of(StatementStatus::Sort),
        automatic_index_rows: of(StatementStatus::AutoIndex),
    };
    Ok(Executed { status, rows: returned, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_sqlite_builds_for_itself_is_a_signal() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a, b); CREATE TABLE u(a, b);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
                 INSERT INTO t SELECT i, i FROM n; INSERT INTO u SELECT * FROM t",
            )
            .unwrap();
        let joined = "SELECT count(*) FROM t JOIN u ON t.a = u.a";
        let before = execute(&connection, joined, &[vec![]]).unwrap();
        assert_eq!(before.status.automatic_index_rows, 499);
        connection.execute_batch("CREATE INDEX i ON u(a)").unwrap();
        let after = execute(&connection, joined, &[vec![]]).unwrap();
        assert_eq!((after.status.automatic_index_rows, after.digest), (0, before.digest));
        assert_eq!(execute(&connection, joined, &[vec![]]).unwrap(), after, "the same every time");
    }

    #[test]
    fn what_a_write_changes_is_rolled_back() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        let vectors = [vec![Value::Integer(1)], vec![Value::Integer(2)]];
        let executed = execute(&connection, "INSERT INTO t VALUES (?)", &vectors).unwrap();
        assert!(executed.status.vm_steps > 0);
        assert_eq!(connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)), Ok(0));
    }
}
