//! Indexes that are broken, or that cost more than they give.

use super::{
    Severity,
    catalogue::{bytes, of_application},
    visit::{Examination, Found, Visit, count, seconds},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("invalid_index", "every index can be used", invalid),
    Examination::new("duplicate_index", "no index is there twice", duplicate),
    Examination::new("redundant_index", "no index is the beginning of another", redundant),
    Examination::new("unused_index", "every index is read", unused),
];

/// Indexes that are not valid and that nobody is building at the moment.
const INVALID: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I on %s', n.nspname, c.relname, i.indrelid::pg_catalog.regclass), \
     pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE NOT i.indisvalid AND c.relkind = 'i' \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn invalid(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(INVALID, &[&most])?;
    let detail = "Building it failed or was ended half way. Writes keep it up, and no statement reads it.";
    Ok(listed.fault(Severity::Warning, "Indexes that are not valid", detail, |row| {
        let index = row.first().map_or("", String::as_str);
        format!("REINDEX INDEX CONCURRENTLY {index}, or DROP INDEX CONCURRENTLY {index}")
    }))
}

/// What may be dropped where another serves the same: nothing that says that rows are
/// unique, that a constraint needs, that names rows to replicas, or that orders the table.
macro_rules! droppable {
    () => {
        "NOT i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion AND NOT i.indisreplident \
         AND NOT i.indisclustered AND i.indisvalid \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid)"
    };
}

/// Droppable indexes of which the same is there again. Of two that are both droppable the
/// younger one is named.
const DUPLICATE: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I is the same as %I, %s bytes', n.nspname, c.relname, \
     (SELECT x.relname FROM pg_catalog.pg_class x WHERE x.oid = o.indexrelid), ",
    bytes!("c"),
    "), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
     LATERAL (SELECT p.indexrelid FROM pg_catalog.pg_index p JOIN pg_catalog.pg_class d ON d.oid = p.indexrelid \
     WHERE p.indrelid = i.indrelid AND p.indexrelid <> i.indexrelid AND p.indisvalid \
     AND d.relam = c.relam AND p.indkey = i.indkey AND p.indnkeyatts = i.indnkeyatts AND p.indclass = i.indclass \
     AND p.indcollation = i.indcollation AND p.indoption = i.indoption \
     AND p.indexprs::text IS NOT DISTINCT FROM i.indexprs::text \
     AND p.indpred::text IS NOT DISTINCT FROM i.indpred::text \
     AND (p.indisunique OR p.indexrelid < i.indexrelid) ORDER BY p.indisunique DESC, p.indexrelid LIMIT 1) o WHERE ",
    droppable!(),
    " AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn duplicate(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(DUPLICATE, &[&most])?;
    let detail = "Each write keeps both up, and both take the cache's room.";
    Ok(listed.fault(Severity::Warning, "Indexes that are there twice", detail, drop_index))
}

fn drop_index(row: &[String]) -> String {
    format!("DROP INDEX CONCURRENTLY {}", row.first().map_or("", String::as_str))
}

/// Droppable B-trees on plain columns with which another one begins, that has the same
/// condition. The carried columns of the shorter one must be in the longer one too.
const REDUNDANT: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I is the beginning of %I, %s bytes', n.nspname, c.relname, \
     (SELECT x.relname FROM pg_catalog.pg_class x WHERE x.oid = o.indexrelid), ",
    bytes!("c"),
    "), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree' \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
     LATERAL (SELECT p.indexrelid FROM pg_catalog.pg_index p JOIN pg_catalog.pg_class d ON d.oid = p.indexrelid \
     WHERE p.indrelid = i.indrelid AND p.indexrelid <> i.indexrelid AND p.indisvalid AND d.relam = c.relam \
     AND p.indnkeyatts > i.indnkeyatts AND p.indexprs IS NULL \
     AND (p.indkey::int2[])[0:i.indnkeyatts - 1] = (i.indkey::int2[])[0:i.indnkeyatts - 1] \
     AND (p.indclass::oid[])[0:i.indnkeyatts - 1] = (i.indclass::oid[])[0:i.indnkeyatts - 1] \
     AND (p.indcollation::oid[])[0:i.indnkeyatts - 1] = (i.indcollation::oid[])[0:i.indnkeyatts - 1] \
     AND (p.indoption::int2[])[0:i.indnkeyatts - 1] = (i.indoption::int2[])[0:i.indnkeyatts - 1] \
     AND p.indkey::int2[] @> i.indkey::int2[] \
     AND p.indpred::text IS NOT DISTINCT FROM i.indpred::text ORDER BY p.indexrelid LIMIT 1) o \
     WHERE i.indexprs IS NULL AND ",
    droppable!(),
    " AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn redundant(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(REDUNDANT, &[&most])?;
    let detail = "The longer index finds the same rows. The shorter one is smaller and keeps duplicates better \
                  packed, so compare the plans of statements that read it before it goes.";
    Ok(listed.fault(Severity::Note, "Indexes with which another begins", detail, drop_index))
}

/// Droppable indexes of `$1` bytes that were never scanned, while their table was, and
/// that serve no foreign key. Counters count since the statistics of the database were
/// reset, or the server was set up.
const UNUSED: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I on %I, %s bytes', n.nspname, c.relname, s.relname, ",
    bytes!("c"),
    "), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_stat_all_indexes s JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid \
     JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_stat_all_tables t ON t.relid = i.indrelid \
     WHERE s.idx_scan = 0 AND t.seq_scan + COALESCE(t.idx_scan, 0) > 0 AND ",
    bytes!("c"),
    " >= $1::bigint AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' \
     AND f.conrelid = i.indrelid AND (i.indkey::int2[])[0:pg_catalog.cardinality(f.conkey) - 1] @> f.conkey) AND ",
    droppable!(),
    " AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $2::bigint"
);

/// For how many seconds the counters of this database count: since they were reset, else
/// since the server started, which is the least that is certain.
const COUNTED: &str = "SELECT extract(epoch FROM clock_timestamp() - COALESCE(d.stats_reset, \
     pg_catalog.pg_postmaster_start_time()))::float8::text \
     FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()";

fn unused(visit: &mut Visit<'_>) -> Found {
    let counted = visit.numbers(COUNTED, &[])?.first().copied().flatten().unwrap_or(0.0);
    if counted < seconds(visit.limits.disuse) {
        return Err(format!("the counters count for {:.1} days only", counted / 86_400.0));
    }
    let (wasted, most) = (count(visit.limits.wasted), visit.objects());
    let listed = visit.list(UNUSED, &[&wasted, &most])?;
    let detail = "Writes keep them up, and nothing reads them on this server. Replicas count for themselves: ask them \
                  too before dropping.";
    Ok(listed.fault(Severity::Note, "Indexes that are never read", detail, drop_index))
}
