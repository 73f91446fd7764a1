//! What is wrong with a server, from a reading.

pub mod settings;

use std::{collections::BTreeSet, time::Duration};

use veritas_database::server::{IndexReading, LockReading, ServerReading, ServerStatement, Severity};
use veritas_model::{Cause, Finding, FindingKind, Impact, Observation, Subject, Timestamp, Unit};

use crate::{
    hide::retirement,
    view::{FullScans, MySqlReading},
};

/// From where on something is a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingOptions {
    /// How long the server must be up before an index that was not read is called unused.
    pub disuse: Duration,
    /// How long a transaction may be open.
    pub transaction: Duration,
    /// How long a session may do nothing inside of a transaction.
    pub idle_in_transaction: Duration,
    /// How long a session may wait for a lock.
    pub lock_wait: Duration,
    /// The share of the connections that may be in use.
    pub used_share: f64,
    /// How many rows a call must examine on average to be a scan.
    pub rows: u64,
    /// How long a call must take on average to be slow.
    pub slow: Duration,
}

impl Default for FindingOptions {
    /// 7 days unread; transactions of 10 min, 1 min idle; locks 1 s; 80 % of the
    /// connections; 1,000 rows a call; slow from 1 s.
    fn default() -> Self {
        Self {
            disuse: Duration::from_hours(7 * 24),
            transaction: Duration::from_mins(10),
            idle_in_transaction: Duration::from_mins(1),
            lock_wait: Duration::from_secs(1),
            used_share: 0.8,
            rows: 1_000,
            slow: Duration::from_secs(1),
        }
    }
}

/// Returns what is wrong. Costs no look at the server.
pub fn of(reading: &MySqlReading, options: &FindingOptions, now: Timestamp) -> Vec<Finding> {
    let server = &reading.reading;
    let mut findings = Vec::new();
    indexes(server, options, now, &mut findings);
    scans(server, &reading.full_scans, options, now, &mut findings);
    slow(server, options, now, &mut findings);
    sessions(server, options, now, &mut findings);
    connections(server, options, now, &mut findings);
    for judged in settings::judge(reading) {
        if judged.severity >= Severity::Warning {
            let cause = condition("settings", judged.detail);
            findings.push(finding(server, FindingKind::ServerSetting, judged.code, cause, judged.fix, now));
        }
    }
    findings
}

fn finding(
    server: &ServerReading,
    kind: FindingKind,
    part: &str,
    cause: Cause,
    recommendation: String,
    now: Timestamp,
) -> Finding {
    let subject = Subject::Server { name: server.name.clone(), part: Some(part.to_owned()) };
    Finding {
        id: Finding::identity(kind, &subject),
        kind,
        subject,
        cause,
        recommendation,
        impact: Impact::Low,
        evidence: Vec::new(),
        callers: Vec::new(),
        found_at: now,
        seen_at: now,
    }
}

fn indexes(server: &ServerReading, options: &FindingOptions, now: Timestamp, findings: &mut Vec<Finding>) {
    let Ok(indexes) = &server.indexes else { return };
    for index in indexes.iter().filter(|index| index.valid && index.method == "btree") {
        let Ok(retire) = retirement(server.engine, index) else { continue };
        let known_for_long = server.uptime.is_some_and(|uptime| uptime >= options.disuse);
        let (kind, detail) = if let Some(same) = indexes.iter().find(|other| is_duplicate(index, other)) {
            (FindingKind::DuplicateIndex, format!("the index {} is the same", same.name))
        } else if let Some(longer) = indexes.iter().find(|other| is_beginning(index, other)) {
            (FindingKind::RedundantIndex, format!("the index {} begins with it", longer.name))
        } else if index.scans == Some(0) && known_for_long && is_used(server, &index.table) {
            let detail = "nothing has read it since the server started; replicas count for themselves";
            (FindingKind::UnusedIndex, detail.to_owned())
        } else {
            continue;
        };
        let cause = Cause::Index {
            table: index.table.clone(),
            index: index.name.clone(),
            detail,
            bytes: (index.size.get() > 0).then(|| index.size.get()),
        };
        let advice = format!("hide it and watch: {}; later {}", retire.hide, retire.drop);
        let part = format!("{}.{}", index.table, index.name);
        findings.push(finding(server, kind, &part, cause, advice, now));
    }
}

fn is_used(server: &ServerReading, table: &str) -> bool {
    server.tables.as_ref().is_ok_and(|tables| {
        tables
            .iter()
            .any(|known| known.name == table && known.sequential_rows + known.index_scans.unwrap_or(0) > 0)
    })
}

/// Returns whether `other` serves the same. Of two that may both go, the later name is the one.
fn is_duplicate(index: &IndexReading, other: &IndexReading) -> bool {
    index.table == other.table
        && index.name != other.name
        && other.valid
        && index.method == other.method
        && index.keys == other.keys
        && (other.unique || other.protected.is_some() || other.name < index.name)
}

fn is_beginning(index: &IndexReading, other: &IndexReading) -> bool {
    index.table == other.table
        && other.valid
        && index.method == other.method
        && other.keys.len() > index.keys.len()
        && other.keys.starts_with(&index.keys)
}

fn scans(
    server: &ServerReading,
    scans: &[FullScans],
    options: &FindingOptions,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let Ok(statements) = &server.statements else { return };
    let all: f64 = statements.iter().map(|statement| statement.seconds.sum).sum();
    for scan in scans {
        let per_call = scan.rows_examined / scan.calls.max(1);
        let kept = scan.rows_kept / scan.calls.max(1);
        if per_call < options.rows || kept * 10 > per_call {
            continue;
        }
        let Some(statement) = statements.iter().find(|known| known.fingerprint == scan.fingerprint) else {
            continue;
        };
        findings.push(scanned(statement, per_call, kept, all, now));
    }
}

/// Says which statements are slow, where nothing else says why.
#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn slow(server: &ServerReading, options: &FindingOptions, now: Timestamp, findings: &mut Vec<Finding>) {
    let Ok(statements) = &server.statements else { return };
    let all: f64 = statements.iter().map(|statement| statement.seconds.sum).sum();
    let said: BTreeSet<String> = findings
        .iter()
        .filter_map(|finding| match &finding.subject {
            Subject::Statement { fingerprint, .. } => Some(fingerprint.to_string()),
            _ => None,
        })
        .collect();
    for statement in statements {
        let Some(mean) = statement.seconds.mean() else { continue };
        if mean < options.slow.as_secs_f64() || said.contains(&statement.fingerprint.to_string()) {
            continue;
        }
        let share = if all > 0.0 { statement.seconds.sum / all } else { 0.0 };
        let subject = subject_of(statement);
        findings.push(Finding {
            id: Finding::identity(FindingKind::SlowStatement, &subject),
            kind: FindingKind::SlowStatement,
            subject,
            cause: Cause::AboveThreshold,
            recommendation: "look at its plan (EXPLAIN): it uses indexes, and is slow all the same"
                .to_owned(),
            impact: Impact::of_time_share(share),
            evidence: vec![
                Observation::measured("calls", statement.seconds.count as f64, Unit::Count, now),
                Observation::measured("mean_seconds", mean, Unit::Seconds, now),
                Observation::measured("share_of_database_time", share, Unit::Ratio, now),
            ],
            callers: Vec::new(),
            found_at: now,
            seen_at: now,
        });
    }
}

/// Returns a statement as the subject of a finding.
pub(crate) fn subject_of(statement: &ServerStatement) -> Subject {
    Subject::Statement {
        name: statement.fingerprint.to_string(),
        fingerprint: statement.fingerprint,
        normalized: statement.normalized.clone(),
    }
}

fn scanned(statement: &ServerStatement, read: u64, kept: u64, all: f64, now: Timestamp) -> Finding {
    let subject = subject_of(statement);
    let table = statement.tables.first().cloned().unwrap_or_default();
    let kind = FindingKind::SequentialScan;
    Finding {
        id: Finding::identity(kind, &subject),
        kind,
        subject,
        cause: Cause::SequentialScan {
            table: table.clone(),
            rows_read: read,
            rows_kept: kept,
            plan: String::new(),
        },
        recommendation: format!(
            "an index on the columns that it compares may help: try one on a copy of {table}"
        ),
        impact: Impact::of_time_share(if all > 0.0 { statement.seconds.sum / all } else { 0.0 }),
        evidence: vec![Observation::measured("total_seconds", statement.seconds.sum, Unit::Seconds, now)],
        callers: Vec::new(),
        found_at: now,
        seen_at: now,
    }
}

fn condition(section: &str, detail: String) -> Cause {
    Cause::ServerCondition { section: section.to_owned(), detail }
}

fn sessions(server: &ServerReading, options: &FindingOptions, now: Timestamp, findings: &mut Vec<Finding>) {
    let waits = server.locks.as_deref().unwrap_or_default();
    let long: Vec<&LockReading> =
        waits.iter().filter(|lock| lock.waited >= Some(options.lock_wait)).collect();
    if let Some(first) = long.first() {
        let blocker = first.blockers.first().map_or(0, |blocker| blocker.pid);
        let detail = format!(
            "{} sessions wait for locks; session {} waits for session {blocker}: {}",
            long.len(),
            first.waiting.pid,
            first.object
        );
        let advice = format!("see what session {blocker} does; KILL {blocker} ends it");
        findings.push(finding(
            server,
            FindingKind::LockWait,
            "locks",
            condition("locks", detail),
            advice,
            now,
        ));
    }
    let Ok(activity) = &server.activity else { return };
    let open = |limit: Duration, state: &str| {
        let mut found = activity.sessions.iter().filter(move |session| {
            session.state == state && session.transaction.is_some_and(|open| open >= limit)
        });
        let first = found.next()?;
        Some((first.pid, first.transaction.unwrap_or_default().as_secs(), 1 + found.count()))
    };
    let kinds = [
        (
            FindingKind::IdleInTransaction,
            options.idle_in_transaction,
            "idle in transaction",
            "hold a transaction open and do nothing",
        ),
        (FindingKind::LongTransaction, options.transaction, "active", "have a transaction open for long"),
    ];
    for (kind, limit, state, words) in kinds {
        let Some((pid, seconds, count)) = open(limit, state) else { continue };
        let detail = format!("{count} sessions {words}; session {pid} since {seconds} s");
        let advice =
            format!("end it in the application, or KILL {pid}; old versions of rows are kept until then");
        findings.push(finding(server, kind, "sessions", condition("sessions", detail), advice, now));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of connections are small")]
fn connections(
    server: &ServerReading,
    options: &FindingOptions,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let Ok(connections) = &server.connections else { return };
    if (connections.total as f64) < options.used_share * connections.max as f64 {
        return;
    }
    let detail = format!("{} of {} connections are in use", connections.total, connections.max);
    let advice = "make the applications' pools smaller, or raise max_connections".to_owned();
    let cause = condition("connections", detail);
    findings.push(finding(server, FindingKind::Connections, "connections", cause, advice, now));
}
