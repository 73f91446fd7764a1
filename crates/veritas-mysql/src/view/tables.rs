//! Tables of the session's database.

use std::collections::BTreeMap;

use veritas_database::server::{Section, TableReading};

use super::{Columns, not_read};
use crate::session::Session;

/// The tables, largest first.
const TABLES: &str = "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.DATA_LENGTH, t.INDEX_LENGTH, t.TABLE_ROWS \
     FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' \
     ORDER BY t.DATA_LENGTH + t.INDEX_LENGTH DESC LIMIT 500";

/// Rows fetched without an index, which stand under no index's name, and by one; rows written.
const COUNTS: &str = "SELECT u.OBJECT_NAME, SUM(IF(u.INDEX_NAME IS NULL, u.COUNT_FETCH, 0)), \
     SUM(IF(u.INDEX_NAME IS NULL, 0, u.COUNT_FETCH)), SUM(u.COUNT_INSERT), SUM(u.COUNT_UPDATE), SUM(u.COUNT_DELETE) \
     FROM performance_schema.table_io_waits_summary_by_index_usage u WHERE u.OBJECT_SCHEMA = DATABASE() \
     GROUP BY u.OBJECT_NAME LIMIT 5000";

/// What is counted of one table.
#[derive(Default, Clone, Copy)]
struct Counts {
    whole: u64,
    by_index: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Reads the tables. The server counts rows and no scans: where reads are counted, a table
/// of which rows were read without an index counts as scanned once. Without the right to
/// read the counts they are zero.
pub(super) fn read(session: &mut Session, counts_reads: bool) -> Section<Vec<TableReading>> {
    let rows = session.query(TABLES).map_err(|error| not_read(&error, "the tables"))?;
    let counted = if counts_reads { session.query(COUNTS).ok() } else { None };
    let counted: Option<BTreeMap<String, Counts>> =
        counted.map(|rows| rows.into_iter().map(counts).collect());
    let table = |row| {
        let mut columns = Columns::of(row);
        let (schema, name) = (columns.name(), columns.name());
        let counts = counted.as_ref().map(|counted| counted.get(&name).copied().unwrap_or_default());
        let known = counts.unwrap_or_default();
        TableReading {
            schema,
            name,
            size: columns.bytes(),
            index_size: columns.bytes(),
            rows: columns.number(),
            dead_rows: None,
            sequential_scans: u64::from(known.whole > 0),
            sequential_rows: known.whole,
            index_scans: counts.map(|counts| counts.by_index),
            inserted: known.inserted,
            updated: known.updated,
            hot_updated: 0,
            deleted: known.deleted,
            changed_since_analyze: None,
            analyzed_at: None,
            vacuumed_at: None,
            transaction_id_age: None,
        }
    };
    Ok(rows.into_iter().map(table).collect())
}

fn counts(row: Vec<Option<String>>) -> (String, Counts) {
    let mut columns = Columns::of(row);
    let name = columns.name();
    let counts = Counts {
        whole: columns.count(),
        by_index: columns.count(),
        inserted: columns.count(),
        updated: columns.count(),
        deleted: columns.count(),
    };
    (name, counts)
}
