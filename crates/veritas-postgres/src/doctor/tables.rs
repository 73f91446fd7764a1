//! Tables that are read from start to end, and extensions of another version.

use super::{
    Severity,
    catalogue::of_application,
    visit::{Examination, Found, Visit},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("sequential_scans", "large tables are not read whole again and again", scans),
    Examination::new("extension_outdated", "extensions are of the installed version", extensions),
];

/// Tables of ten times `$1` rows that were read from start to end `$2` times and more
/// often than by an index. A scan that ends early (`LIMIT`) reads less than half.
const SCANS: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I: %s scans of %s rows, %s by an index', n.nspname, c.relname, \
     s.seq_scan, s.n_live_tup, COALESCE(s.idx_scan, 0)), pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE s.n_live_tup >= 10 * $1::bigint AND s.seq_scan >= $2::bigint AND s.seq_scan > COALESCE(s.idx_scan, 0) \
     AND s.seq_tup_read >= 0.5 * s.seq_scan * s.n_live_tup AND ",
    of_application!(),
    " ORDER BY s.seq_tup_read DESC, 2 LIMIT $3::bigint"
);

fn scans(visit: &mut Visit<'_>) -> Found {
    let limits = visit.limits;
    let (rows, times, most) = (i64::from(limits.rows), i64::from(limits.occurrences), visit.objects());
    let listed = visit.list(SCANS, &[&rows, &times, &most])?;
    let detail = "Statements may lack an index, or want so many rows that none would help: their plans tell.";
    Ok(listed.fault(Severity::Note, "Large tables that are read whole again and again", detail, |_| {
        "veritas db advise says which statements, and which indexes".to_owned()
    }))
}

/// Extensions of which a newer version is installed on the server.
const EXTENSIONS: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('%I: %s, and %s is there', e.name, e.installed_version, e.default_version), \
     pg_catalog.quote_ident(e.name) FROM pg_catalog.pg_available_extensions e \
     WHERE e.installed_version <> e.default_version ORDER BY e.name LIMIT $1::bigint";

fn extensions(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(EXTENSIONS, &[&most])?;
    let detail = "Their objects in this database are of an older version than their library.";
    Ok(listed.fault(Severity::Note, "Extensions of an older version", detail, |row| {
        format!("ALTER EXTENSION {} UPDATE", row.first().map_or("", String::as_str))
    }))
}
