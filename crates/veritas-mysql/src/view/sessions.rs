//! Sessions, and who waits for whom.

use std::time::Duration;

use veritas_database::{
    fingerprint,
    server::{ActivityReading, Engine, LockReading, Section, SessionReading},
};

use super::{Columns, not_read};
use crate::session::Session;

/// A session that runs a statement.
pub(super) const ACTIVE: &str = "active";
/// A session that does nothing.
pub(super) const IDLE: &str = "idle";
/// A session that does nothing inside of a transaction.
pub(super) const IDLE_IN_TRANSACTION: &str = "idle in transaction";

/// How many sessions are shown one by one.
const SHOWN: usize = 50;

/// All sessions but ours, and the age of the transaction that each has open. Without the
/// right `PROCESS` the server shows our own only.
const SESSIONS: &str = "SELECT p.ID, p.USER, p.COMMAND, p.TIME, p.STATE, LEFT(p.INFO, 4096), \
     TIMESTAMPDIFF(SECOND, x.trx_started, NOW()), x.trx_state \
     FROM information_schema.PROCESSLIST p LEFT JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = p.ID \
     WHERE p.ID <> CONNECTION_ID() AND p.COMMAND NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') \
     ORDER BY x.trx_started IS NULL, x.trx_started LIMIT 1000";

pub(super) fn activity(session: &mut Session) -> Section<ActivityReading> {
    let rows = session.query(SESSIONS).map_err(|error| not_read(&error, "the sessions (GRANT PROCESS)"))?;
    let mut activity = ActivityReading::default();
    for row in rows {
        let reading = one(row);
        add(&mut activity.states, &reading.state);
        if let Some(wait) = &reading.wait {
            add(&mut activity.waits, wait);
        }
        if activity.sessions.len() < SHOWN && (reading.transaction.is_some() || reading.state == ACTIVE) {
            activity.sessions.push(reading);
        }
    }
    Ok(activity)
}

fn one(row: Vec<Option<String>>) -> SessionReading {
    let mut columns = Columns::of(row);
    let pid = columns.count();
    let user = columns.text();
    let command = columns.name();
    let in_state = columns.number().map(Duration::from_secs);
    let doing = columns.text();
    let text = columns.text();
    let transaction = columns.number().map(Duration::from_secs);
    let waits_for_row = columns.text().as_deref() == Some("LOCK WAIT");
    let wait = if waits_for_row {
        Some("Lock: row".to_owned())
    } else {
        // What the server calls waiting for the lock of a whole table or its definition.
        doing.filter(|doing| doing.starts_with("Waiting for") && doing.contains("lock"))
    };
    let state = match (command.as_str(), transaction.is_some()) {
        ("Sleep", true) => IDLE_IN_TRANSACTION,
        ("Sleep", false) => IDLE,
        _ => ACTIVE,
    };
    let statement = text.map(|text| fingerprint::statement(&text));
    SessionReading {
        pid: i64::try_from(pid).unwrap_or(i64::MAX),
        user,
        application: None,
        state: state.to_owned(),
        transaction,
        in_state,
        wait,
        fingerprint: statement.as_ref().map(|statement| statement.fingerprint),
        statement: statement.map(|statement| statement.text.to_string()),
    }
}

fn add(counts: &mut Vec<(String, u64)>, word: &str) {
    match counts.iter_mut().find(|(known, _)| known == word) {
        Some((_, count)) => *count += 1,
        None => counts.push((word.to_owned(), 1)),
    }
}

/// Transactions that wait for a row, and those that hold it, in `MariaDB`.
const LOCKS: &str = "SELECT r.trx_mysql_thread_id, LEFT(r.trx_query, 4096), \
     TIMESTAMPDIFF(SECOND, r.trx_wait_started, NOW()), b.trx_mysql_thread_id, LEFT(b.trx_query, 4096), \
     TIMESTAMPDIFF(SECOND, b.trx_started, NOW()), l.lock_table, l.lock_index, l.lock_mode \
     FROM information_schema.INNODB_LOCK_WAITS w \
     JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id \
     JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id \
     JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id \
     ORDER BY r.trx_wait_started, r.trx_id LIMIT 200";

/// The same in `MySQL` 8.
const LOCKS_MYSQL: &str = "SELECT waiting_pid, LEFT(waiting_query, 4096), wait_age_secs, blocking_pid, \
     LEFT(blocking_query, 4096), TIMESTAMPDIFF(SECOND, blocking_trx_started, NOW()), locked_table, locked_index, \
     waiting_lock_mode FROM sys.innodb_lock_waits ORDER BY wait_started LIMIT 200";

pub(super) fn locks(session: &mut Session) -> Section<Vec<LockReading>> {
    let sql = if session.engine() == Engine::MySql { LOCKS_MYSQL } else { LOCKS };
    let rows = session.query(sql).map_err(|error| not_read(&error, "the locks (GRANT PROCESS)"))?;
    let mut locks: Vec<LockReading> = Vec::new();
    for row in rows {
        let mut columns = Columns::of(row);
        let waiting = party(columns.count(), columns.text(), ACTIVE);
        let waited = columns.number().map(Duration::from_secs);
        let (pid, text) = (columns.count(), columns.text());
        let state = if text.is_some() { ACTIVE } else { IDLE_IN_TRANSACTION };
        let mut blocker = party(pid, text, state);
        blocker.transaction = columns.number().map(Duration::from_secs);
        if let Some(known) = locks.iter_mut().find(|lock| lock.waiting.pid == waiting.pid) {
            known.blockers.push(blocker);
            continue;
        }
        let table = columns.name().replace('`', "");
        let object = columns.text().map_or_else(
            || format!("rows of {table}"),
            |index| format!("rows of {table} by {}", index.replace('`', "")),
        );
        locks.push(LockReading { waiting, blockers: vec![blocker], object, mode: columns.name(), waited });
    }
    Ok(locks)
}

fn party(pid: u64, text: Option<String>, state: &str) -> SessionReading {
    let statement = text.map(|text| fingerprint::statement(&text));
    SessionReading {
        pid: i64::try_from(pid).unwrap_or(i64::MAX),
        user: None,
        application: None,
        state: state.to_owned(),
        transaction: None,
        in_state: None,
        wait: None,
        fingerprint: statement.as_ref().map(|statement| statement.fingerprint),
        statement: statement.map(|statement| statement.text.to_string()),
    }
}
