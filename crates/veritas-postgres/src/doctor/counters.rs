//! What the server has counted since its counters were reset.

use super::{
    Fault, Severity,
    visit::{Examination, Found, Visit},
};

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("temporary_files", "sorts and hashes fit into memory", temporary),
    Examination::new("cache_misses", "most pages are found in the buffers", cache),
    Examination::new("deadlocks", "transactions do not lock each other out", deadlocks),
    Examination::new("rollbacks", "most transactions are committed", rollbacks),
    Examination::new("checkpoints_requested", "checkpoints come by time", checkpoints),
];

/// Counters of this database.
const DATABASE: &str = "SELECT d.temp_bytes::text, d.temp_files::text, d.blks_hit::text, d.blks_read::text, \
     d.deadlocks::text, d.xact_commit::text, d.xact_rollback::text \
     FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()";

fn database<const N: usize>(visit: &mut Visit<'_>, places: [usize; N]) -> Result<[f64; N], String> {
    let numbers = visit.numbers(DATABASE, &[])?;
    Ok(places.map(|place| numbers.get(place).copied().flatten().unwrap_or(0.0)))
}

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn temporary(visit: &mut Visit<'_>) -> Found {
    let [bytes, files] = database(visit, [0, 1])?;
    if bytes < visit.limits.temporary.get() as f64 {
        return Ok(None);
    }
    let detail = "Sorts and hashes that do not fit into work_mem go to disk.";
    let fix = "EXPLAIN (ANALYZE, BUFFERS) shows which statements (external sort, batches above 1); \
               SET LOCAL work_mem for them, or raise it for their role";
    let fault = Fault::new(Severity::Note, "Sorts and hashes are written to disk", detail, fix);
    Ok(Some(fault.seen(vec![format!("{files} temporary files, {:.0} MiB", bytes / 1_048_576.0)])))
}

/// Below this share of pages found in the buffers, work that repeats should hit more often.
const FOUND: f64 = 0.9;

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn cache(visit: &mut Visit<'_>) -> Found {
    let [hit, read] = database(visit, [2, 3])?;
    if hit + read < visit.limits.page_requests as f64 {
        return Err("too few pages were asked for to judge".to_owned());
    }
    let share = hit / (hit + read);
    if share >= FOUND {
        return Ok(None);
    }
    let detail = "Pages come from the system's cache or from the disk. Reports over large tables do this whatever the \
                  size of the buffers.";
    let fix = "find the statements that read most (pg_stat_statements: shared_blks_read); an index often helps more \
               than larger shared_buffers";
    let fault = Fault::new(Severity::Note, "Many pages are not found in the buffers", detail, fix);
    Ok(Some(fault.seen(vec![format!("{:.1} % of {:.0} pages found", 100.0 * share, hit + read)])))
}

fn deadlocks(visit: &mut Visit<'_>) -> Found {
    let [deadlocks] = database(visit, [4])?;
    if deadlocks < f64::from(visit.limits.occurrences) {
        return Ok(None);
    }
    let detail =
        "Transactions take the same locks in different orders; the server ends one of them after a second.";
    let fix = "take locks in one order (UPDATE by ascending key, SELECT … FOR UPDATE first); the log names the statements";
    let fault = Fault::new(Severity::Warning, "Transactions lock each other out", detail, fix);
    Ok(Some(fault.seen(vec![format!("{deadlocks} deadlocks")])))
}

/// The share of transactions that may be rolled back.
const ROLLED_BACK: f64 = 0.1;

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
fn rollbacks(visit: &mut Visit<'_>) -> Found {
    let [committed, rolled_back] = database(visit, [5, 6])?;
    let all = committed + rolled_back;
    if all < visit.limits.transactions as f64 {
        return Err("too few transactions ended to judge".to_owned());
    }
    if rolled_back < ROLLED_BACK * all {
        return Ok(None);
    }
    let detail =
        "Their work is thrown away. Some libraries end every read by a rollback, which costs nothing.";
    let fix = "the log says which statements fail (log_min_error_statement = error)";
    let fault = Fault::new(Severity::Note, "Many transactions are rolled back", detail, fix);
    Ok(Some(fault.seen(vec![format!("{:.0} % of {all}", 100.0 * rolled_back / all)])))
}

/// Checkpoints requested and timed, before version 17.
const CHECKPOINTS: &str =
    "SELECT checkpoints_req::text, checkpoints_timed::text FROM pg_catalog.pg_stat_bgwriter";

/// The same from version 17 on.
const CHECKPOINTS_17: &str =
    "SELECT num_requested::text, num_timed::text FROM pg_catalog.pg_stat_checkpointer";

fn checkpoints(visit: &mut Visit<'_>) -> Found {
    let sql = if visit.major() >= 17 { CHECKPOINTS_17 } else { CHECKPOINTS };
    let counts = visit.numbers(sql, &[])?;
    let [requested, timed] = [0, 1].map(|place| counts.get(place).copied().flatten().unwrap_or(0.0));
    if requested < f64::from(visit.limits.occurrences) || requested <= timed {
        return Ok(None);
    }
    let detail = "The log reaches its size before its time. After each checkpoint whole pages are written to the log again.";
    let fix = "ALTER SYSTEM SET max_wal_size to two to four times what it is; SELECT pg_reload_conf()";
    let fault = Fault::new(Severity::Note, "Checkpoints come by size, not by time", detail, fix);
    let size = visit
        .setting("max_wal_size")
        .map_or_else(|_| String::new(), |it| format!("{} {}", it.value, it.unit));
    Ok(Some(fault.seen(vec![format!("{requested} requested, {timed} by time; max_wal_size = {size}")])))
}
