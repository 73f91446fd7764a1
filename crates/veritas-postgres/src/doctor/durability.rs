//! What loses data, or stops the server one day.

use super::{
    Fault, Severity,
    catalogue::of_application,
    visit::{Examination, Found, Visit},
};
use crate::session::ident;

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("fsync_off", "what is committed is on disk", fsync),
    Examination::new("full_page_writes_off", "torn pages are mended", full_pages),
    Examination::new("checksum_failures", "no page was found damaged", checksums),
    Examination::new("wraparound", "transaction ids are far from their end", wraparound),
    Examination::new("multixact_wraparound", "multixact ids are far from their end", multixact),
    Examination::new("archiver_failing", "the log is archived", archiver),
    Examination::new("collation_version", "texts are sorted as when the indexes were made", collation),
    Examination::new("unlogged_table", "every table survives a crash", unlogged),
];

fn off(visit: &Visit<'_>, name: &str, title: &str, detail: &str) -> Found {
    if visit.is_on(name)? {
        return Ok(None);
    }
    let fix = format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()");
    Ok(Some(Fault::new(Severity::Critical, title, detail, fix)))
}

fn fsync(visit: &mut Visit<'_>) -> Found {
    let detail = "A power failure or a crash of the machine may leave a database that no longer starts.";
    off(visit, "fsync", "Nothing is forced to disk", detail)
}

fn full_pages(visit: &mut Visit<'_>) -> Found {
    let detail =
        "A page that was half written at a power failure stays damaged, unless the file system prevents it.";
    off(visit, "full_page_writes", "Torn pages are not mended", detail)
}

/// Pages found damaged, over all databases; null where pages have no checksums.
const CHECKSUMS: &str = "SELECT sum(checksum_failures)::bigint::text FROM pg_catalog.pg_stat_database";

fn checksums(visit: &mut Visit<'_>) -> Found {
    let failures = visit.numbers(CHECKSUMS, &[])?;
    let Some(failures) = failures.first().copied().flatten() else {
        return Err(
            "pages have no checksums: pg_checksums --enable, while the server is down, adds them".to_owned()
        );
    };
    Ok(damaged(failures))
}

/// Judges the count of damaged pages.
fn damaged(failures: f64) -> Option<Fault> {
    if failures <= 0.0 {
        return None;
    }
    let detail = "The disk, the memory or the file system gave back something else than was written.";
    let fix = "restore from a backup made before; check the hardware; the log names the files";
    let fault = Fault::new(Severity::Critical, "Pages were found damaged", detail, fix);
    Some(fault.seen(vec![format!("{failures} pages")]))
}

/// Databases by the age of their oldest unfrozen transaction id, beyond `$1`.
const AGES: &str = "SELECT count(*) OVER ()::text, pg_catalog.format('%s: %s', d.datname, pg_catalog.age(d.datfrozenxid)), \
     d.datname::text, pg_catalog.age(d.datfrozenxid)::text \
     FROM pg_catalog.pg_database d WHERE pg_catalog.age(d.datfrozenxid)::bigint >= $1::bigint \
     ORDER BY pg_catalog.age(d.datfrozenxid) DESC LIMIT $2::bigint";

/// The same for multixact ids.
const MULTIXACT_AGES: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('%s: %s', d.datname, pg_catalog.mxid_age(d.datminmxid)), \
     d.datname::text, pg_catalog.mxid_age(d.datminmxid)::text \
     FROM pg_catalog.pg_database d WHERE pg_catalog.mxid_age(d.datminmxid)::bigint >= $1::bigint \
     ORDER BY pg_catalog.mxid_age(d.datminmxid) DESC LIMIT $2::bigint";

/// From this age on the server is close to refusing writes (manual, 25.1.5).
const CLOSE: f64 = 1.5e9;

fn wraparound(visit: &mut Visit<'_>) -> Found {
    let title = "Databases near the end of their transaction ids";
    aged(visit, AGES, title)
}

fn multixact(visit: &mut Visit<'_>) -> Found {
    let title = "Databases near the end of their multixact ids";
    aged(visit, MULTIXACT_AGES, title)
}

fn aged(visit: &mut Visit<'_>, sql: &'static str, title: &str) -> Found {
    let (limit, most) = (i64::from(visit.limits.transaction_id_age), visit.objects());
    let listed = visit.list(sql, &[&limit, &most])?;
    let oldest = listed.rows.first().and_then(|row| row.get(3)?.parse::<f64>().ok()).unwrap_or(0.0);
    let severity = if oldest >= CLOSE { Severity::Critical } else { Severity::Warning };
    let detail = "At some 2,100,000,000 the server takes no more writes. Old rows are not frozen: by vacuum that is \
                  off or slow, or because an old transaction, prepared transaction or slot holds it back.";
    Ok(listed.fault(severity, title, detail, |row| {
        let database = row.first().map(|name| ident(name)).unwrap_or_default();
        format!("in {database}: end what holds old rows back, then VACUUM (FREEZE, VERBOSE)")
    }))
}

/// Whether the archiver's last attempt failed.
const ARCHIVER: &str = "SELECT a.failed_count::text, a.last_failed_wal \
     FROM pg_catalog.pg_stat_archiver a WHERE a.failed_count > 0 \
     AND a.last_failed_time > COALESCE(a.last_archived_time, '-infinity')";

fn archiver(visit: &mut Visit<'_>) -> Found {
    let rows = visit.ask(ARCHIVER, &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let detail = "The log that is not archived stays, until the disk is full; backups cannot be rolled forward past it.";
    let fix = "the log shows what archive_command said; run it by hand as the server's user";
    let fault = Fault::new(Severity::Critical, "The log is not archived", detail, fix);
    let seen = format!(
        "{} failures, last of {}",
        row.first().map_or("", String::as_str),
        row.get(1).map_or("", String::as_str)
    );
    Ok(Some(fault.seen(vec![seen])))
}

/// Collations in use whose library sorts otherwise than when they were made.
const COLLATIONS: &str = concat!(
    "WITH used AS (SELECT DISTINCT a.attcollation AS oid FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE a.attcollation <> 0 AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'm', 'p', 'i') AND ",
    of_application!(),
    ") SELECT count(*) OVER ()::text, \
     pg_catalog.format('collation %I.%I: made with %s, now %s', n.nspname, l.collname, l.collversion, \
     pg_catalog.pg_collation_actual_version(l.oid)), pg_catalog.format('%I.%I', n.nspname, l.collname) \
     FROM used u JOIN pg_catalog.pg_collation l ON l.oid = u.oid \
     JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace \
     WHERE l.collversion <> pg_catalog.pg_collation_actual_version(l.oid) LIMIT $1::bigint"
);

/// The same of the database's own collation, from version 15 on.
const DATABASE_COLLATION: &str = "SELECT '1', pg_catalog.format('database %I: made with %s, now %s', d.datname, \
     d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid)), d.datname::text \
     FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() \
     AND d.datcollversion <> pg_catalog.pg_database_collation_actual_version(d.oid)";

fn collation(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(COLLATIONS, &[&most])?;
    let detail = "The library sorts otherwise than when the indexes on texts were made: look-ups miss rows, and \
                  unique indexes let duplicates in.";
    let title = "Collations of another version";
    let of_database =
        if visit.major() >= 15 { visit.list(DATABASE_COLLATION, &[])? } else { visit.list(NOTHING, &[])? };
    let database = of_database.fault(Severity::Critical, title, detail, |row| {
        let name = row.first().map(|name| ident(name)).unwrap_or_default();
        format!("REINDEX DATABASE {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION")
    });
    let own = listed.fault(Severity::Critical, title, detail, |row| {
        let name = row.first().cloned().unwrap_or_default();
        format!("REINDEX every index that uses it; ALTER COLLATION {name} REFRESH VERSION")
    });
    Ok(database.or(own))
}

/// No row, for what a version does not have.
const NOTHING: &str = "SELECT '0' WHERE false";

/// Tables that are empty after a crash, and not on replicas at all.
const UNLOGGED: &str = concat!(
    "SELECT count(*) OVER ()::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
     pg_catalog.format('%I.%I', n.nspname, c.relname) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'u' AND ",
    of_application!(),
    " ORDER BY c.relpages DESC, 2 LIMIT $1::bigint"
);

fn unlogged(visit: &mut Visit<'_>) -> Found {
    let most = visit.objects();
    let listed = visit.list(UNLOGGED, &[&most])?;
    let detail =
        "After a crash they are empty, and replicas never have their rows. Fine for what can be made again.";
    Ok(listed.fault(Severity::Note, "Tables that do not survive a crash", detail, |row| {
        format!("ALTER TABLE {} SET LOGGED", row.first().map_or("", String::as_str))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_page_is_one_too_many() {
        assert_eq!(damaged(0.0), None);
        assert_eq!(damaged(1.0).unwrap().severity, Severity::Critical);
    }
}
