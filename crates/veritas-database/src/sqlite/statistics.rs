//! The planner's statistics of a file: `sqlite_stat1` and `sqlite_stat4`, as `ANALYZE` left them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    guard::describe,
    target::{SqliteTarget, TargetError},
};

/// How many indexes are read at most.
const MOST: u32 = 5_000;

/// What the planner knows of one index, or of a table that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannerStatistics {
    /// The table.
    pub table: String,
    /// The index; `None` where the row is about the table alone.
    pub index: Option<String>,
    /// Rows of the index when it was analysed (SQLite manual, `sqlite_stat1`).
    pub rows: u64,
    /// For each prefix of the keys, how many rows have the same values, on average.
    pub rows_per_key: Vec<u64>,
    /// How many sampled keys `sqlite_stat4` holds of it. The keys themselves are values of
    /// the application, and are not read.
    pub samples: u64,
}

/// Reads the statistics; empty when the file was never analysed.
///
/// # Errors
///
/// When the file cannot be read.
pub fn planner_statistics(target: &SqliteTarget) -> Result<Vec<PlannerStatistics>, TargetError> {
    target
        .reader()
        .and_then(|reader| read(&reader))
        .map_err(|error| TargetError::Open { path: target.path().to_owned(), reason: describe(&error) })
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<PlannerStatistics>> {
    let mut samples: BTreeMap<(String, String), u64> = BTreeMap::new();
    if is_there(connection, "sqlite_stat4")? {
        let mut counted =
            connection.prepare("SELECT tbl, idx, count(*) FROM sqlite_stat4 GROUP BY tbl, idx LIMIT ?1")?;
        let mut rows = counted.query([MOST])?;
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(2)?;
            samples.insert((row.get(0)?, row.get(1)?), u64::try_from(count).unwrap_or(0));
        }
    }
    if !is_there(connection, "sqlite_stat1")? {
        return Ok(Vec::new());
    }
    let mut listed =
        connection.prepare("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx LIMIT ?1")?;
    let mut rows = listed.query([MOST])?;
    let mut statistics = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, index, stat): (String, Option<String>, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        // After the numbers there may be words (`unordered`, `sz=…`).
        let stat = stat.unwrap_or_default();
        let mut numbers = stat.split(' ').map_while(|number| number.parse::<u64>().ok());
        let Some(count) = numbers.next() else { continue };
        let key = (table.clone(), index.clone().unwrap_or_default());
        let samples = samples.get(&key).copied().unwrap_or(0);
        statistics.push(PlannerStatistics {
            table,
            index,
            rows: count,
            rows_per_key: numbers.collect(),
            samples,
        });
    }
    Ok(statistics)
}

fn is_there(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let found = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_as_analyze_left_them() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a, b); CREATE INDEX i ON t(a, b); CREATE TABLE alone(a);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)
                 INSERT INTO t SELECT i % 10, i FROM n; INSERT INTO alone VALUES (1)",
            )
            .unwrap();
        assert_eq!(read(&connection).unwrap(), []);
        connection.execute_batch("ANALYZE").unwrap();
        let statistics = read(&connection).unwrap();
        let of_index = statistics.iter().find(|it| it.index.as_deref() == Some("i")).unwrap();
        assert_eq!((of_index.rows, &of_index.rows_per_key[..]), (1_000, &[100, 1][..]));
        assert!(of_index.samples > 0);
        assert!(statistics.iter().any(|it| it.table == "alone" && it.index.is_none() && it.rows == 1));
    }
}
