//! Tables: sizes, rows, and what was done with them.

use tokio_postgres::{Error, Row};
use veritas_database::server::{Section, TableReading};
use veritas_model::Bytes;

use super::{count, part::Parts, timestamp};

/// The most tables that a reading holds, the largest.
pub const MOST_TABLES: usize = 500;

// The largest tables. Measuring one opens it, and would wait for whoever has locked it
// exclusively; of those (and of all, where $1 says so) the size is what the last VACUUM or
// ANALYZE noted in pages.
const TABLES: &str = "
    WITH locked AS MATERIALIZED (
        SELECT DISTINCT relation FROM pg_locks
        WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), largest AS MATERIALIZED (
        SELECT c.oid, n.nspname, c.relname, c.relpages, c.reltuples, c.relfrozenxid, c.relkind
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
        ORDER BY c.relpages DESC, c.oid LIMIT 500
    )
    SELECT t.nspname::text, t.relname::text,
           CASE WHEN $1 OR t.oid IN (SELECT relation FROM locked)
                THEN t.relpages::int8 * current_setting('block_size')::int8
                ELSE pg_table_size(t.oid) END,
           CASE WHEN $1 OR t.oid IN (SELECT relation FROM locked)
                     OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid
                                AND i.indexrelid IN (SELECT relation FROM locked))
                THEN (SELECT coalesce(sum(c.relpages), 0)::int8 * current_setting('block_size')::int8
                      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = t.oid)
                ELSE pg_indexes_size(t.oid) END,
           -- Before version 14 a table that was never analysed has no rows and no pages.
           CASE WHEN t.reltuples < 0 OR (t.reltuples = 0 AND t.relpages = 0) THEN NULL ELSE t.reltuples::float8 END,
           s.n_dead_tup, s.seq_scan, s.seq_tup_read, s.idx_scan,
           s.n_tup_ins, s.n_tup_upd, s.n_tup_hot_upd, s.n_tup_del, s.n_mod_since_analyze,
           extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze))::float8,
           extract(epoch FROM greatest(s.last_vacuum, s.last_autovacuum))::float8,
           CASE WHEN t.relfrozenxid <> '0'::xid THEN age(t.relfrozenxid)::int8 END
    FROM largest t LEFT JOIN pg_stat_all_tables s ON s.relid = t.oid";

/// Reads the largest tables, the largest first.
pub(super) fn read(parts: &mut Parts<'_>) -> Section<Vec<TableReading>> {
    let measured = parts.list(TABLES, &[&false], table);
    // Somebody may have locked a table after we looked who had.
    let mut tables = measured.or_else(|_| parts.list(TABLES, &[&true], table))?;
    tables.sort_by(|one, other| {
        other.size.cmp(&one.size).then_with(|| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)))
    });
    Ok(tables)
}

fn table(row: &Row) -> Result<TableReading, Error> {
    let number = |column: usize| Ok::<u64, Error>(count(row.try_get(column)?));
    Ok(TableReading {
        schema: row.try_get(0)?,
        name: row.try_get(1)?,
        size: Bytes::new(number(2)?),
        index_size: Bytes::new(number(3)?),
        rows: row.try_get::<_, Option<f64>>(4)?.map(whole),
        dead_rows: row.try_get::<_, Option<i64>>(5)?.map(|rows| count(Some(rows))),
        sequential_scans: number(6)?,
        sequential_rows: number(7)?,
        index_scans: row.try_get::<_, Option<i64>>(8)?.map(|scans| count(Some(scans))),
        inserted: number(9)?,
        updated: number(10)?,
        hot_updated: number(11)?,
        deleted: number(12)?,
        changed_since_analyze: row.try_get::<_, Option<i64>>(13)?.map(|rows| count(Some(rows))),
        analyzed_at: timestamp(row.try_get(14)?),
        vacuumed_at: timestamp(row.try_get(15)?),
        transaction_id_age: row.try_get::<_, Option<i64>>(16)?.map(|age| count(Some(age))),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}
