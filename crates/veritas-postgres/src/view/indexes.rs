//! Indexes: what they hold, what uses them, and what forbids to drop them.

use tokio_postgres::{Error, Row};
use veritas_database::server::{IndexReading, Section};
use veritas_model::Bytes;

use super::{count, part::Parts, timestamp, versions};

/// The most indexes that a reading holds, the largest.
pub const MOST_INDEXES: usize = 2_000;

/// Reads the largest indexes, the largest first. Left out are those of tables that
/// somebody has locked exclusively, which cannot be described without waiting, and those
/// that are being built, which are not valid yet and nobody's fault.
pub(super) fn read(parts: &mut Parts<'_>) -> Section<Vec<IndexReading>> {
    let last_scan = versions::last_index_scan(parts.version());
    // Keys are told as in a definition: column or expression, collation and operator class
    // where they are not what the column brings, direction where it is not ascending.
    // An index serves a foreign key when the columns that refer are its first ones.
    let sql = format!(
        "WITH locked AS MATERIALIZED (
             SELECT DISTINCT relation FROM pg_locks
             WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         ), largest AS MATERIALIZED (
             SELECT i.*, c.relname AS name, c.relpages, c.relkind AS kind, am.amname,
                    n.nspname AS schema, t.relname AS table_name
             FROM pg_index i
             JOIN pg_class c ON c.oid = i.indexrelid
             JOIN pg_am am ON am.oid = c.relam
             JOIN pg_class t ON t.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = t.relnamespace
             WHERE t.relpersistence <> 't' AND i.indislive
               AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
               AND i.indexrelid NOT IN (SELECT relation FROM locked)
               AND i.indrelid NOT IN (SELECT relation FROM locked)
               AND i.indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index
                                        WHERE index_relid IS NOT NULL)
             ORDER BY c.relpages DESC, i.indexrelid LIMIT {MOST_INDEXES}
         )
         SELECT x.schema::text, x.table_name::text, x.name::text,
                ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true)
                             || CASE WHEN x.indcollation[k - 1] <> 0
                                      AND x.indcollation[k - 1] IS DISTINCT FROM
                                          (SELECT a.attcollation FROM pg_attribute a
                                           WHERE a.attrelid = x.indrelid AND a.attnum = x.indkey[k - 1])
                                      AND x.indkey[k - 1] <> 0
                                THEN ' COLLATE ' || (SELECT quote_ident(o.collname) FROM pg_collation o
                                                     WHERE o.oid = x.indcollation[k - 1])
                                ELSE '' END
                             || coalesce((SELECT ' ' || o.opcname FROM pg_opclass o
                                          WHERE o.oid = x.indclass[k - 1] AND NOT o.opcdefault), '')
                             || CASE x.indoption[k - 1] & 3 WHEN 1 THEN ' DESC NULLS LAST' WHEN 2 THEN ' NULLS FIRST'
                                                            WHEN 3 THEN ' DESC' ELSE '' END
                      FROM generate_series(1, x.indnkeyatts::int4) AS k ORDER BY k)::text[],
                ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true)
                      FROM generate_series(x.indnkeyatts::int4 + 1, x.indnatts::int4) AS k ORDER BY k)::text[],
                pg_get_expr(x.indpred, x.indrelid, true), x.amname::text, pg_get_indexdef(x.indexrelid),
                CASE WHEN $1 THEN x.relpages::int8 * current_setting('block_size')::int8
                     ELSE pg_relation_size(x.indexrelid) END,
                s.idx_scan, extract(epoch FROM {last_scan})::float8,
                x.indisunique, x.indisvalid AND x.indisready,
                (SELECT con.conname::text FROM pg_constraint con
                 WHERE con.conindid = x.indexrelid AND con.contype IN ('p', 'u', 'x') LIMIT 1),
                x.indisprimary, x.indisexclusion, x.indisreplident, x.indisclustered, x.kind = 'I',
                (SELECT p.inhparent::regclass::text FROM pg_inherits p WHERE p.inhrelid = x.indexrelid LIMIT 1),
                (SELECT con.conname::text FROM pg_constraint con
                 WHERE con.contype = 'f' AND con.conrelid = x.indrelid AND x.indpred IS NULL AND x.indisvalid
                   AND cardinality(con.conkey) <= x.indnkeyatts
                   AND (SELECT array_agg(x.indkey[k - 1] ORDER BY x.indkey[k - 1])
                        FROM generate_series(1, cardinality(con.conkey)) AS k)
                       = (SELECT array_agg(c ORDER BY c) FROM unnest(con.conkey) AS c)
                 ORDER BY 1 LIMIT 1)
         FROM largest x LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = x.indexrelid"
    );
    let measured = parts.list(&sql, &[&false], index);
    let mut indexes = measured.or_else(|_| parts.list(&sql, &[&true], index))?;
    indexes.sort_by(|one, other| {
        other.size.cmp(&one.size).then_with(|| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)))
    });
    Ok(indexes)
}

fn index(row: &Row) -> Result<IndexReading, Error> {
    let unique: bool = row.try_get(11)?;
    Ok(IndexReading {
        schema: row.try_get(0)?,
        table: row.try_get(1)?,
        name: row.try_get(2)?,
        keys: row.try_get(3)?,
        include: row.try_get(4)?,
        predicate: row.try_get(5)?,
        method: row.try_get(6)?,
        definition: row.try_get(7)?,
        size: Bytes::new(count(row.try_get(8)?)),
        expected_size: None,
        scans: row.try_get::<_, Option<i64>>(9)?.map(|scans| count(Some(scans))),
        scanned_at: timestamp(row.try_get(10)?),
        unique,
        valid: row.try_get(12)?,
        constraint: row.try_get(13)?,
        protected: protection(row, unique)?,
    })
}

/// Returns why an index may never be dropped: the strongest of the reasons.
fn protection(row: &Row, unique: bool) -> Result<Option<String>, Error> {
    let reasons = [
        (row.try_get(14)?, "is the primary key"),
        (row.try_get(15)?, "enforces an exclusion constraint"),
        (row.try_get(16)?, "is the replica identity of the table"),
        (unique, "enforces that values are unique"),
        (row.try_get(18)?, "is the parent of the indexes of partitions"),
        (row.try_get(17)?, "is the index that the table is clustered by"),
    ];
    let plain = reasons.iter().find(|(holds, _)| *holds).map(|(_, reason)| (*reason).to_owned());
    let parent: Option<String> = row.try_get(19)?;
    let foreign_key: Option<String> = row.try_get(20)?;
    Ok(plain
        .or_else(|| parent.map(|parent| format!("belongs to the partitioned index {parent}")))
        .or_else(|| foreign_key.map(|name| format!("supports the foreign key {name}"))))
}
