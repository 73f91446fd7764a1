//! Sessions that wait, sleep or stay too long, and how many there are.

use std::time::Duration;

use veritas_database::server::{ServerReading, SessionReading};
use veritas_model::{Finding, FindingKind, Impact, Observation, Unit};

use super::{Thresholds, Verdict, condition, figure, on_server};

/// From here on the next burst is refused.
const FULL: f64 = 0.85;

pub(super) fn findings(reading: &ServerReading, thresholds: &Thresholds) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(lock_waits(reading, thresholds.lock_wait));
    if let Ok(activity) = &reading.activity {
        for session in &activity.sessions {
            let idle = idle(reading, session, thresholds.idle_in_transaction);
            found.extend(idle.or_else(|| long(reading, session, thresholds.long_transaction)));
        }
    }
    found.extend(connections(reading));
    found
}

fn seconds(reading: &ServerReading, name: &str, duration: Duration) -> Observation {
    Observation::measured(name, duration.as_secs_f64(), Unit::Seconds, reading.read_at)
}

/// Who it is, for people, and the same again next time.
fn who(session: &SessionReading) -> String {
    let application = session.application.as_deref().filter(|name| !name.is_empty()).unwrap_or("a session");
    match &session.user {
        Some(user) => format!("{application} of {user}"),
        None => application.to_owned(),
    }
}

fn lock_waits(reading: &ServerReading, least: Duration) -> Vec<Finding> {
    let locks = reading.locks.as_deref().unwrap_or_default();
    let long = locks.iter().filter(|lock| lock.waited.is_some_and(|waited| waited >= least));
    let finding = long.map(|lock| {
        let blocker = lock.blockers.first().map_or_else(|| "a session".to_owned(), who);
        let state = lock.blockers.first().map_or("unknown", |session| session.state.as_str());
        let detail = format!(
            "{} waits for {} on {}, which {blocker} holds ({state})",
            who(&lock.waiting),
            lock.mode,
            lock.object
        );
        let recommendation = format!(
            "Let {blocker} commit earlier, and set lock_timeout for those who wait; {} is held meanwhile",
            lock.object
        );
        let mut evidence = vec![seconds(reading, "waited_seconds", lock.waited.unwrap_or_default())];
        evidence.push(figure(reading, "blockers", lock.blockers.len() as u64, Unit::Count));
        let cause = condition("locks", detail);
        let part = Some(format!("lock {}", lock.object));
        let kind = FindingKind::LockWait;
        on_server(reading, part, Impact::Medium, Verdict { kind, cause, recommendation, evidence })
    });
    finding.collect()
}

fn idle(reading: &ServerReading, session: &SessionReading, least: Duration) -> Option<Finding> {
    let is_idle = session.state.starts_with("idle in transaction");
    let since = session.in_state.filter(|since| is_idle && *since >= least)?;
    let recommendation = format!(
        "Let {} end its transaction before it does anything else, and set idle_in_transaction_session_timeout",
        who(session)
    );
    let cause = condition("activity", format!("{} holds a transaction open and does nothing", who(session)));
    let evidence = vec![seconds(reading, "idle_seconds", since)];
    let kind = FindingKind::IdleInTransaction;
    let part = Some(format!("session {}", who(session)));
    Some(on_server(reading, part, Impact::Medium, Verdict { kind, cause, recommendation, evidence }))
}

fn long(reading: &ServerReading, session: &SessionReading, least: Duration) -> Option<Finding> {
    // Who waits for a lock is not the one to be hurried.
    let waits =
        reading.locks.as_ref().is_ok_and(|locks| locks.iter().any(|lock| lock.waiting.pid == session.pid));
    if waits {
        return None;
    }
    let is_running = session.state == "active" || session.state.starts_with("idle in transaction");
    let open = session.transaction.filter(|open| is_running && *open >= least)?;
    let recommendation = format!(
        "Cut the work of {} into shorter transactions: while one is open, no dead row of any table is cleaned",
        who(session)
    );
    let cause = condition("activity", format!("a transaction of {} is open for very long", who(session)));
    let evidence = vec![seconds(reading, "transaction_seconds", open)];
    let kind = FindingKind::LongTransaction;
    let part = Some(format!("session {}", who(session)));
    Some(on_server(reading, part, Impact::Medium, Verdict { kind, cause, recommendation, evidence }))
}

fn connections(reading: &ServerReading) -> Option<Finding> {
    let connections = reading.connections.as_ref().ok()?;
    let usable = connections.max.saturating_sub(connections.reserved);
    #[expect(clippy::cast_precision_loss, reason = "counts of connections stay below 2^53")]
    let share =
        (usable > 0).then(|| connections.total as f64 / usable as f64).filter(|share| *share >= FULL)?;
    let recommendation = if connections.idle * 2 > connections.total {
        "Pool connections (smaller pools in the applications, or pgbouncer): most of them are idle"
    } else {
        "Shorten what holds connections, or pool them: more of them make a busy server slower, not faster"
    };
    let detail = format!("{} of {usable} connections are taken", connections.total);
    let evidence = vec![
        figure(reading, "connections", connections.total, Unit::Count),
        figure(reading, "idle_connections", connections.idle, Unit::Count),
        Observation::measured("share_of_connections", share, Unit::Ratio, reading.read_at),
    ];
    let kind = FindingKind::Connections;
    let cause = condition("connections", detail);
    let recommendation = recommendation.to_owned();
    Some(on_server(reading, None, Impact::High, Verdict { kind, cause, recommendation, evidence }))
}
