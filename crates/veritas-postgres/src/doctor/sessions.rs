//! What sessions do at the moment, and how many there are.

use super::{
    Fault, Severity,
    visit::{Examination, Found, Visit, seconds},
};
use crate::session::ident;

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("long_transaction", "no transaction is open for long", long_transaction),
    Examination::new("idle_in_transaction", "no session does nothing inside of a transaction", idle),
    Examination::new("lock_wait", "nobody waits long for a lock", lock_wait),
    Examination::new("prepared_transaction", "no prepared transaction was forgotten", prepared),
    Examination::new("connections_used", "connections are free", connections),
];

/// Sessions of clients whose transaction is open for `$1` seconds, and that do something.
const LONG: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('pid %s, role %s, %s, open for %s s', a.pid, a.usename, a.state, \
     floor(extract(epoch FROM clock_timestamp() - a.xact_start))), a.pid::text \
     FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() \
     AND a.backend_type = 'client backend' AND a.state NOT LIKE 'idle%' \
     AND extract(epoch FROM clock_timestamp() - a.xact_start)::float8 >= $1::float8 \
     ORDER BY a.xact_start LIMIT $2::bigint";

fn long_transaction(visit: &mut Visit<'_>) -> Found {
    visit.must_see_sessions()?;
    let (limit, most) = (seconds(visit.limits.transaction), visit.objects());
    let listed = visit.list(LONG, &[&limit, &most])?;
    let detail = "While it is open, vacuum cannot clean a row that was changed since it began, in any table.";
    Ok(listed.fault(Severity::Warning, "Transactions open for long", detail, terminate))
}

/// Sessions that do nothing inside of a transaction for `$1` seconds.
const IDLE: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('pid %s, role %s, idle for %s s', a.pid, a.usename, \
     floor(extract(epoch FROM clock_timestamp() - a.state_change))), a.pid::text \
     FROM pg_catalog.pg_stat_activity a WHERE a.state LIKE 'idle in transaction%' \
     AND extract(epoch FROM clock_timestamp() - a.state_change)::float8 >= $1::float8 \
     ORDER BY a.state_change LIMIT $2::bigint";

fn idle(visit: &mut Visit<'_>) -> Found {
    visit.must_see_sessions()?;
    let (limit, most) = (seconds(visit.limits.idle_in_transaction), visit.objects());
    let listed = visit.list(IDLE, &[&limit, &most])?;
    let detail = "Each holds its locks, and keeps vacuum from cleaning, while the application does something else or \
                  has forgotten it.";
    Ok(listed.fault(Severity::Warning, "Sessions that do nothing inside of a transaction", detail, terminate))
}

fn terminate(row: &[String]) -> String {
    format!("SELECT pg_terminate_backend({})", row.first().map_or("", String::as_str))
}

/// Sessions that wait for a lock for `$1` seconds, and who holds it.
const WAITS: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('pid %s waits for pid %s, for %s s', a.pid, b.blockers, \
     floor(extract(epoch FROM clock_timestamp() - a.query_start))), b.blockers \
     FROM pg_catalog.pg_stat_activity a, \
     LATERAL (SELECT pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(a.pid), ', ') AS blockers) b \
     WHERE a.wait_event_type = 'Lock' AND b.blockers <> '' \
     AND extract(epoch FROM clock_timestamp() - a.query_start)::float8 >= $1::float8 \
     ORDER BY a.query_start LIMIT $2::bigint";

fn lock_wait(visit: &mut Visit<'_>) -> Found {
    visit.must_see_sessions()?;
    let (limit, most) = (seconds(visit.limits.lock_wait), visit.objects());
    let listed = visit.list(WAITS, &[&limit, &most])?;
    let detail = "They do nothing until whoever holds the lock ends its transaction.";
    Ok(listed.fault(Severity::Warning, "Sessions wait for locks", detail, |row| {
        let blocker = row.first().map_or("", String::as_str);
        format!("see what pid {blocker} does; SELECT pg_terminate_backend(pid) ends it")
    }))
}

/// Prepared transactions that wait for `$1` seconds.
const PREPARED: &str = "SELECT count(*) OVER ()::text, \
     pg_catalog.format('%L in %s, waiting for %s s', p.gid, p.database, \
     floor(extract(epoch FROM clock_timestamp() - p.prepared))), pg_catalog.quote_literal(p.gid), p.database::text \
     FROM pg_catalog.pg_prepared_xacts p \
     WHERE extract(epoch FROM clock_timestamp() - p.prepared)::float8 >= $1::float8 ORDER BY p.prepared LIMIT $2::bigint";

fn prepared(visit: &mut Visit<'_>) -> Found {
    let (limit, most) = (seconds(visit.limits.prepared), visit.objects());
    let listed = visit.list(PREPARED, &[&limit, &most])?;
    let detail =
        "They hold their locks and keep vacuum from cleaning, over restarts too, until somebody ends them.";
    Ok(listed.fault(Severity::Warning, "Prepared transactions that nobody ends", detail, |row| {
        let (gid, database) = (row.first().map_or("", String::as_str), row.get(1).map_or("", String::as_str));
        format!("in {}: ROLLBACK PREPARED {gid}, or COMMIT PREPARED {gid}", ident(database))
    }))
}

/// Sessions that have a database: those of clients, and a few of the server's own.
const CONNECTIONS: &str = "SELECT sum(numbackends)::bigint::text FROM pg_catalog.pg_stat_database";

fn connections(visit: &mut Visit<'_>) -> Found {
    let used = visit.numbers(CONNECTIONS, &[])?.first().copied().flatten();
    let used = used.ok_or("the server does not say how many connections there are")?;
    let reserved =
        visit.number("superuser_reserved_connections")? + visit.number("reserved_connections").unwrap_or(0.0);
    let most = visit.number("max_connections")? - reserved;
    if used < visit.limits.used_share * most {
        return Ok(None);
    }
    let detail = "When they are used up, applications are refused.";
    let fix = "put a pooler in front (pgbouncer), make the applications' pools smaller, or raise max_connections \
               (needs a restart, and memory for each)";
    let fault = Fault::new(Severity::Warning, "Few connections are free", detail, fix);
    Ok(Some(fault.seen(vec![format!("{used} of {most} in use")])))
}
