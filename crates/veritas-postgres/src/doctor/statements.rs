//! Whether the server counts its statements.

use super::{
    Fault, Severity,
    visit::{Examination, Found, Visit},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("statements_not_loaded", "pg_stat_statements is loaded", loaded),
    Examination::new("statements_not_created", "pg_stat_statements is there in this database", created),
    Examination::new("statements_not_tracked", "statements are counted", tracked),
    Examination::new("statements_evicted", "no statement was forgotten for want of room", evicted),
    Examination::new("io_not_timed", "reading and writing is timed", timed),
];

const NOT_LOADED: &str = "pg_stat_statements is not loaded";

/// Its settings are there exactly when the library was loaded at the server's start;
/// `shared_preload_libraries` itself is hidden from most roles.
fn is_loaded(visit: &Visit<'_>) -> bool {
    visit.setting("pg_stat_statements.max").is_ok()
}

#[expect(clippy::unnecessary_wraps, reason = "every examination has the same form")]
fn loaded(visit: &mut Visit<'_>) -> Found {
    if is_loaded(visit) {
        return Ok(None);
    }
    let detail = "Nobody knows which statements cost the time. It costs a few per cent at most.";
    let fix = "shared_preload_libraries = 'pg_stat_statements' in postgresql.conf (beside what is there), a restart, \
               and CREATE EXTENSION pg_stat_statements";
    Ok(Some(Fault::new(Severity::Warning, "pg_stat_statements is not loaded", detail, fix)))
}

/// The schema of the extension, where it is.
const EXTENSION: &str = "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e \
     JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'";

fn created(visit: &mut Visit<'_>) -> Found {
    if !visit.ask(EXTENSION, &[])?.is_empty() {
        return Ok(None);
    }
    let detail = "The view in which the server shows its statements is missing in this database.";
    let fix = "CREATE EXTENSION pg_stat_statements, as a superuser or the database's owner";
    let database = format!("database {}", visit.database);
    let fault =
        Fault::new(Severity::Warning, "pg_stat_statements is not created in this database", detail, fix);
    Ok(Some(fault.seen(vec![database])))
}

fn tracked(visit: &mut Visit<'_>) -> Found {
    if !is_loaded(visit) {
        return Err(NOT_LOADED.to_owned());
    }
    if visit.setting("pg_stat_statements.track")?.value != "none" {
        return Ok(None);
    }
    let detail = "The library is loaded, and was told to count nothing.";
    let fix = "ALTER SYSTEM SET pg_stat_statements.track = 'top'; SELECT pg_reload_conf()";
    Ok(Some(Fault::new(Severity::Warning, "Statements are not counted", detail, fix)))
}

/// The information of the extension, wherever it was created: how often entries were
/// thrown out, five in a hundred each time. The function stands in no catalogue schema,
/// so it is read through the catalogue's own way of naming it.
const EVICTIONS: &str = "SELECT pg_catalog.format('SELECT dealloc::text FROM %I.pg_stat_statements_info', n.nspname) \
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace \
     JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'pg_stat_statements_info' \
     WHERE e.extname = 'pg_stat_statements'";

fn evicted(visit: &mut Visit<'_>) -> Found {
    if !is_loaded(visit) {
        return Err(NOT_LOADED.to_owned());
    }
    let rows = visit.ask(EVICTIONS, &[])?;
    let sql = rows.first().and_then(|row| row.first()).cloned();
    let sql = sql.ok_or("pg_stat_statements is not created here, or too old to tell (1.9 does)")?;
    let evictions = visit.number_of(&sql)?;
    if evictions < f64::from(visit.limits.occurrences) {
        return Ok(None);
    }
    let detail =
        "There are more kinds of statements than places: what is shown is what ran last, not what cost most.";
    let fix = "ALTER SYSTEM SET pg_stat_statements.max = 10000 (needs a restart); texts that differ in a name or in \
               the length of a list make kinds of their own";
    let fault = Fault::new(Severity::Note, "Statements are forgotten for want of room", detail, fix);
    Ok(Some(fault.seen(vec![format!("{evictions} evictions")])))
}

fn timed(visit: &mut Visit<'_>) -> Found {
    if visit.is_on("track_io_timing")? {
        return Ok(None);
    }
    let detail = "It is not known whether a slow statement waits for the disk. pg_test_timing shows what timing costs.";
    let fix = "ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf()";
    Ok(Some(Fault::new(Severity::Note, "Reading and writing is not timed", detail, fix)))
}
