//! Who waits for whom: `pg_locks` that are not granted, and `pg_blocking_pids` of those only.

use std::collections::BTreeMap;

use tokio_postgres::{Error, Row};
use veritas_database::server::{LockReading, Section, SessionReading};

use super::{activity::session, part::Parts, span, versions};

/// The most waiting sessions that a reading shows.
pub const MOST_WAITING: usize = 50;
/// The most sessions that are named as blocking one.
pub const MOST_BLOCKERS: usize = 10;

/// One wait, before the sessions are known.
struct Wait {
    pid: i64,
    blockers: Vec<i64>,
    object: String,
    mode: String,
    waited: Option<f64>,
}

/// Reads who waits for whom in this database, the longest wait first. Asking who blocks takes a
/// lock of the server's lock manager for a moment, so it is asked for sessions that wait only.
pub(super) fn read(parts: &mut Parts<'_>) -> Section<Vec<LockReading>> {
    let wait_start = versions::wait_start(parts.version());
    // A session waits for one lock at a time. Transactions belong to no database, so the
    // session tells where it is.
    let waits = format!(
        "SELECT l.pid::int8,
                pg_blocking_pids(l.pid)::int8[],
                CASE WHEN c.oid IS NOT NULL THEN l.locktype || ' ' || n.nspname || '.' || c.relname
                     ELSE l.locktype END,
                l.mode,
                extract(epoch FROM clock_timestamp() - coalesce({wait_start}, a.state_change))::float8
         FROM pg_locks l
         JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
         LEFT JOIN pg_class c ON c.oid = l.relation AND l.database = a.datid
         LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT l.granted
         ORDER BY 5 DESC NULLS LAST
         LIMIT {MOST_WAITING}"
    );
    let waits = parts.list(&waits, &[], wait)?;
    if waits.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted: Vec<i64> =
        waits.iter().flat_map(|wait| [&[wait.pid], &wait.blockers[..]].concat()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let sessions = parts.list(SESSIONS, &[&wanted], session)?;
    let sessions: BTreeMap<i64, SessionReading> =
        sessions.into_iter().map(|session| (session.pid, session)).collect();
    Ok(waits.into_iter().map(|wait| reading(wait, &sessions)).collect())
}

// The sessions that wait and those that are waited for, by number.
const SESSIONS: &str = "
    SELECT pid::int8, usename::text, application_name, state,
           extract(epoch FROM clock_timestamp() - xact_start)::float8,
           extract(epoch FROM clock_timestamp() - state_change)::float8,
           wait_event_type || ': ' || wait_event,
           query, octet_length(query) >= pg_size_bytes(current_setting('track_activity_query_size')) - 1
    FROM pg_stat_activity WHERE pid::int8 = ANY($1)";

fn wait(row: &Row) -> Result<Wait, Error> {
    let mut blockers: Vec<i64> = row.try_get(1)?;
    // A prepared transaction or a parallel worker may be named more than once.
    blockers.sort_unstable();
    blockers.dedup();
    blockers.truncate(MOST_BLOCKERS);
    Ok(Wait {
        pid: row.try_get(0)?,
        blockers,
        object: row.try_get(2)?,
        mode: row.try_get(3)?,
        waited: row.try_get(4)?,
    })
}

fn reading(wait: Wait, sessions: &BTreeMap<i64, SessionReading>) -> LockReading {
    let find = |pid: i64| sessions.get(&pid).cloned().unwrap_or_else(|| gone(pid));
    LockReading {
        waiting: find(wait.pid),
        blockers: wait.blockers.iter().map(|pid| find(*pid)).collect(),
        object: wait.object,
        mode: wait.mode,
        waited: span(wait.waited),
    }
}

/// A session that has ended since, or none at all: number 0 stands for a prepared transaction.
fn gone(pid: i64) -> SessionReading {
    SessionReading {
        pid,
        user: None,
        application: None,
        state: if pid == 0 { "prepared transaction" } else { "gone" }.to_owned(),
        transaction: None,
        in_state: None,
        wait: None,
        statement: None,
        fingerprint: None,
    }
}
