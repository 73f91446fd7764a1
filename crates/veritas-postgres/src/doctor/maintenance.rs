//! Vacuum and statistics: whether tables are cleaned and known.

use super::{
    Fault, Severity,
    catalogue::{bytes, of_application},
    visit::{Examination, Found, Visit, count},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("autovacuum_off", "autovacuum works", autovacuum),
    Examination::new("autovacuum_off_table", "autovacuum cleans every table", of_tables),
    Examination::new("never_analyzed", "the planner knows every table", never_analyzed),
    Examination::new("stale_statistics", "statistics are of the present rows", stale),
    Examination::new("dead_rows", "dead rows are cleaned", dead),
    Examination::new("table_bloat", "tables are as large as their rows", table_bloat),
    Examination::new("index_bloat", "indexes are as large as their entries", index_bloat),
];

fn autovacuum(visit: &mut Visit<'_>) -> Found {
    let mut off = Vec::new();
    for name in ["autovacuum", "track_counts"] {
        if !visit.is_on(name)? {
            off.push(format!("{name} = off"));
        }
    }
    if off.is_empty() {
        return Ok(None);
    }
    let detail = "Dead rows are not cleaned, statistics grow old, and transaction ids run out.";
    let fix = "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()";
    Ok(Some(Fault::new(Severity::Critical, "Autovacuum does not work", detail, fix).seen(off)))
}

/// Tables for which it is switched off.
const OFF: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
     pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.reloptions::text ~ 'autovacuum_enabled=(off|false|no|0)' AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn of_tables(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(OFF, &[&most])?;
    let detail = "Nobody cleans these tables or gathers their statistics.";
    Ok(listed.fault(Severity::Warning, "Tables without autovacuum", detail, |row| {
        format!("ALTER TABLE {} RESET (autovacuum_enabled)", row.first().map_or("", String::as_str))
    }))
}

/// Tables of `$1` changed rows of which no statistics were ever gathered.
const NEVER: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s rows', n.nspname, c.relname, s.n_live_tup), \
     pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND s.last_analyze IS NULL AND s.last_autoanalyze IS NULL \
     AND s.n_mod_since_analyze >= $1::bigint AND ",
    of_application!(),
    " ORDER BY s.n_live_tup DESC, 2 LIMIT $2::bigint"
);

fn never_analyzed(visit: &mut Visit<'_>) -> Found {
    let (rows, most) = (i64::from(visit.limits.rows), visit.objects());
    let listed = visit.list(NEVER, &[&rows, &most])?;
    let detail = "The planner guesses how many rows a condition keeps, and often wrongly by far.";
    Ok(listed.fault(Severity::Warning, "Tables without statistics", detail, analyze))
}

/// Tables of which half of the rows, and `$1` of them, changed since statistics were gathered.
const STALE: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s rows changed of %s', n.nspname, c.relname, \
     s.n_mod_since_analyze, s.n_live_tup), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND COALESCE(s.last_analyze, s.last_autoanalyze) IS NOT NULL \
     AND s.n_mod_since_analyze >= $1::bigint AND s.n_mod_since_analyze >= 0.5 * s.n_live_tup AND ",
    of_application!(),
    " ORDER BY s.n_mod_since_analyze DESC, 2 LIMIT $2::bigint"
);

fn stale(visit: &mut Visit<'_>) -> Found {
    let (rows, most) = (i64::from(visit.limits.rows), visit.objects());
    let listed = visit.list(STALE, &[&rows, &most])?;
    let detail = "The planner's figures are of rows that are gone. Autovacuum gathers them at a tenth changed, so it \
                  does not keep up.";
    Ok(listed.fault(Severity::Warning, "Tables with old statistics", detail, analyze))
}

fn analyze(row: &[String]) -> String {
    format!("ANALYZE {}", row.first().map_or("", String::as_str))
}

/// Tables with `$1` dead rows that are three for ten that live.
const DEAD: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s dead rows, %s live', n.nspname, c.relname, \
     s.n_dead_tup, s.n_live_tup), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND s.n_dead_tup >= $1::bigint AND s.n_dead_tup >= 0.3 * s.n_live_tup AND ",
    of_application!(),
    " ORDER BY s.n_dead_tup DESC, 2 LIMIT $2::bigint"
);

fn dead(visit: &mut Visit<'_>) -> Found {
    let (rows, most) = (i64::from(visit.limits.rows), visit.objects());
    let listed = visit.list(DEAD, &[&rows, &most])?;
    let detail =
        "Every scan reads them too. Vacuum is off or too slow, or an old transaction keeps it from cleaning.";
    Ok(listed.fault(Severity::Warning, "Tables with many dead rows", detail, |row| {
        let table = row.first().map_or("", String::as_str);
        format!("VACUUM (ANALYZE) {table}; ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.05)")
    }))
}

/// Tables that have twice the pages that their rows need, and `$1` bytes too many. A row
/// takes 24 bytes of header, 4 of pointer, and its columns at their mean width by
/// `pg_stats`, which shows what the role may read; a page has 24 bytes of header. What
/// lies outside of the row (TOAST) is neither counted nor needed.
const TABLE_BLOAT: &str = concat!(
    "WITH width AS (SELECT a.starelid AS relid, count(*) AS columns, sum(a.avg_width) AS bytes FROM \
     (SELECT c.oid AS starelid, s.avg_width FROM pg_catalog.pg_stats s \
     JOIN pg_catalog.pg_namespace m ON m.nspname = s.schemaname \
     JOIN pg_catalog.pg_class c ON c.relnamespace = m.oid AND c.relname = s.tablename WHERE NOT s.inherited) a \
     GROUP BY a.starelid), \
     estimate AS (SELECT c.oid, n.nspname, c.relname, c.relpages, ceil(c.reltuples::float8 \
     * (28 + 8 * ceil((w.bytes + 4)::float8 / 8)) / ((pg_catalog.current_setting('block_size')::int - 24) \
     * COALESCE(substring(c.reloptions::text from 'fillfactor=([0-9]+)')::float8, 100) / 100)) AS needed \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN width w ON w.relid = c.oid WHERE c.relkind IN ('r', 'm') AND c.reltuples >= 0 \
     AND w.columns = (SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
     AND NOT a.attisdropped) AND ",
    of_application!(),
    ") SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s pages, its rows need some %s', nspname, relname, \
     relpages, needed), pg_catalog.format('%I.%I', nspname, relname) FROM estimate \
     WHERE relpages > 2 * needed + 10 \
     AND (relpages - needed) * pg_catalog.current_setting('block_size')::int >= $1::bigint \
     ORDER BY relpages - needed DESC LIMIT $2::bigint"
);

fn table_bloat(visit: &mut Visit<'_>) -> Found {
    let (wasted, most) = (count(visit.limits.wasted), visit.objects());
    let listed = visit.list(TABLE_BLOAT, &[&wasted, &most])?;
    let detail = "Estimated from the statistics. Scans read what is empty, and the cache holds it.";
    Ok(listed.fault(Severity::Note, "Tables that are half empty", detail, |row| {
        let table = row.first().map_or("", String::as_str);
        format!("pg_repack, or VACUUM (FULL) {table} in a window (locks it); pgstattuple measures it")
    }))
}

/// B-trees that have twice the pages that their entries need without deduplication, and
/// `$1` bytes too many. An entry takes 8 bytes of header, 4 of pointer, and its key
/// columns at their mean width; a page is filled to nine tenths and has 40 bytes of its own.
const INDEX_BLOAT: &str = concat!(
    "WITH estimate AS (SELECT n.nspname, c.relname, c.relpages, c.reltuples, ceil(c.reltuples::float8 \
     * (12 + 8 * ceil(w.bytes::float8 / 8)) / ((pg_catalog.current_setting('block_size')::int - 40) \
     * COALESCE(substring(c.reloptions::text from 'fillfactor=([0-9]+)')::float8, 90) / 100)) AS needed, ",
    bytes!("c"),
    " AS bytes FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree' \
     JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
     LATERAL (SELECT count(*) AS columns, sum(s.avg_width) AS bytes FROM pg_catalog.unnest(i.indkey::int2[]) k(attnum) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     JOIN pg_catalog.pg_stats s ON s.schemaname = (SELECT nspname FROM pg_catalog.pg_namespace o WHERE o.oid = t.relnamespace) \
     AND s.tablename = t.relname AND s.attname = a.attname AND NOT s.inherited) w \
     WHERE i.indexprs IS NULL AND i.indisvalid AND w.columns = i.indnatts AND c.reltuples >= 0 AND ",
    of_application!(),
    ") SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s pages, its entries need %s at most', nspname, relname, \
     relpages, needed), pg_catalog.format('%I.%I', nspname, relname) FROM estimate \
     WHERE relpages > 2 * needed + 10 AND bytes / 2 >= $1::bigint ORDER BY relpages - needed DESC LIMIT $2::bigint"
);

fn index_bloat(visit: &mut Visit<'_>) -> Found {
    let (wasted, most) = (count(visit.limits.wasted), visit.objects());
    let listed = visit.list(INDEX_BLOAT, &[&wasted, &most])?;
    let detail = "Estimated from the statistics. The cache holds what is empty.";
    Ok(listed.fault(Severity::Note, "Indexes that are half empty", detail, |row| {
        format!("REINDEX INDEX CONCURRENTLY {}", row.first().map_or("", String::as_str))
    }))
}
