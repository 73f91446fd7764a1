//! Keys: primary, foreign, and the numbers that they are made of.

use super::{
    Severity,
    catalogue::of_application,
    visit::{Examination, Found, Visit},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("no_primary_key", "every table has a primary key", primary),
    Examination::new("foreign_key_without_index", "foreign keys are indexed", foreign),
    Examination::new("constraint_not_valid", "every constraint was checked", not_valid),
    Examination::new("sequence_near_end", "sequences have numbers left", sequences),
    Examination::new("integer_key_near_end", "integer keys have numbers left", integers),
];

/// Tables without a primary key, partitions left out.
const NO_PRIMARY: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
     pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn primary(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(NO_PRIMARY, &[&most])?;
    let detail = "The same row can stand there twice, nothing names one row, and logical replication of updates fails.";
    Ok(listed.fault(Severity::Note, "Tables without a primary key", detail, |row| {
        let table = row.first().map_or("", String::as_str);
        format!("ALTER TABLE {table} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, or a key of its columns")
    }))
}

/// Foreign keys of tables with `$1` rows of which no index begins with the columns, in any order.
const UNINDEXED: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I on %I.%I (%s)', k.conname, n.nspname, c.relname, l.columns), \
     pg_catalog.format('%I.%I', n.nspname, c.relname), l.columns \
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
     LATERAL (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY o.place) AS columns \
     FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY o(attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum) l \
     WHERE k.contype = 'f' AND k.conparentid = 0 AND c.reltuples >= $1::bigint \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid \
     AND i.indpred IS NULL \
     AND (i.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1] @> k.conkey) AND ",
    of_application!(),
    " ORDER BY c.reltuples DESC, 2 LIMIT $2::bigint"
);

fn foreign(visit: &mut Visit<'_>) -> Found {
    let (rows, most) = (i64::from(visit.limits.rows), visit.objects());
    let listed = visit.list(UNINDEXED, &[&rows, &most])?;
    let detail = "Deleting a row that is referred to, or changing its key, reads the whole referring table, and so do \
                  joins along the key.";
    Ok(listed.fault(Severity::Warning, "Foreign keys without an index", detail, |row| {
        let (table, columns) =
            (row.first().map_or("", String::as_str), row.get(1).map_or("", String::as_str));
        format!("CREATE INDEX CONCURRENTLY ON {table} ({columns})")
    }))
}

/// Constraints that hold for new rows only.
const NOT_VALID: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I on %I.%I', k.conname, n.nspname, c.relname), \
     pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.quote_ident(k.conname) \
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT k.convalidated AND ",
    of_application!(),
    " ORDER BY 2 LIMIT $1::bigint"
);

fn not_valid(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(NOT_VALID, &[&most])?;
    let detail = "Rows that were there before may break them, and the planner does not rely on them.";
    Ok(listed.fault(Severity::Note, "Constraints that were never checked", detail, |row| {
        let (table, name) = (row.first().map_or("", String::as_str), row.get(1).map_or("", String::as_str));
        format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    }))
}

/// Sequences that do not begin again and have used the share `$1` of their numbers; the
/// role sees the last number of those that it may use.
const SEQUENCES: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('%I.%I: %s of %s', s.schemaname, s.sequencename, s.last_value, \
     CASE WHEN s.increment_by > 0 THEN s.max_value ELSE s.min_value END), \
     pg_catalog.format('%I.%I', s.schemaname, s.sequencename) FROM pg_catalog.pg_sequences s \
     WHERE NOT s.cycle AND s.last_value IS NOT NULL AND s.schemaname !~ '^pg_' \
     AND (s.last_value::float8 - s.start_value) \
     / NULLIF((CASE WHEN s.increment_by > 0 THEN s.max_value ELSE s.min_value END)::float8 - s.start_value, 0) >= $1::float8 \
     ORDER BY s.schemaname, s.sequencename LIMIT $2::bigint";

fn sequences(visit: &mut Visit<'_>) -> Found {
    let (share, most) = (visit.limits.used_share, visit.objects());
    let listed = visit.list(SEQUENCES, &[&share, &most])?;
    let detail = "When the last number is used, every insert that wants one fails.";
    Ok(listed.fault(Severity::Critical, "Sequences near their end", detail, |row| {
        let sequence = row.first().map_or("", String::as_str);
        format!("ALTER SEQUENCE {sequence} AS bigint NO MAXVALUE, and widen the column that it fills")
    }))
}

/// Columns narrower than 8 bytes that a sequence fills, which has reached the share `$1`
/// of the largest number that the column takes. Columns that own their sequence, and
/// columns whose default names it.
const INTEGERS: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I.%I: %s of %s', n.nspname, c.relname, a.attname, \
     q.last_value, m.largest), pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname) \
     FROM (SELECT DISTINCT d.refobjid AS relid, d.refobjsubid AS attnum, d.objid AS sequence \
     FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') \
     AND d.refobjsubid > 0 UNION SELECT f.adrelid, f.adnum, e.refobjid FROM pg_catalog.pg_attrdef f \
     JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND e.objid = f.oid \
     AND e.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) u \
     JOIN pg_catalog.pg_class c ON c.oid = u.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = u.relid AND a.attnum = u.attnum \
     JOIN pg_catalog.pg_class z ON z.oid = u.sequence AND z.relkind = 'S' \
     JOIN pg_catalog.pg_namespace y ON y.oid = z.relnamespace \
     JOIN pg_catalog.pg_sequences q ON q.schemaname = y.nspname AND q.sequencename = z.relname, \
     LATERAL (SELECT CASE a.atttypid WHEN 'int2'::pg_catalog.regtype THEN 32767 \
     WHEN 'int4'::pg_catalog.regtype THEN 2147483647 END::float8 AS largest) m \
     WHERE q.last_value::float8 >= $1::float8 * m.largest AND ",
    of_application!(),
    " ORDER BY 2 LIMIT $2::bigint"
);

fn integers(visit: &mut Visit<'_>) -> Found {
    let (share, most) = (visit.limits.used_share, visit.objects());
    let listed = visit.list(INTEGERS, &[&share, &most])?;
    let detail = "Past the largest number that the column takes, every insert fails. Widening a large table takes long, so begin in time.";
    Ok(listed.fault(Severity::Critical, "Integer keys near their end", detail, |row| {
        let (table, column) = (row.first().map_or("", String::as_str), row.get(1).map_or("", String::as_str));
        format!(
            "ALTER TABLE {table} ALTER COLUMN {column} TYPE bigint (rewrites and locks the table; for a large one fill \
             a bigint column beside it, and swap)"
        )
    }))
}
