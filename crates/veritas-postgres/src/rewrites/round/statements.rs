//! The statements of a round: those that requests repeat, then those that cost most.

use std::collections::{BTreeMap, BTreeSet};

use veritas_database::{
    StatementKind, StatementSnapshot, StatementStatistics, Value,
    server::{ServerReading, ServerStatement},
};
use veritas_model::{Caller, Fingerprint, Subject};

/// Callers named in a finding.
const CALLERS: usize = 5;

/// A statement that may be looked at.
pub(super) struct Candidate {
    pub(super) fingerprint: Fingerprint,
    pub(super) subject: Subject,
    pub(super) sql: String,
    pub(super) kept: Vec<Vec<Value>>,
    pub(super) seconds: f64,
    pub(super) rows_per_call: u64,
    pub(super) repeated: bool,
    pub(super) callers: Vec<Caller>,
}

/// Returns the queries that cost most, and those that requests repeat.
pub(super) fn candidates(
    reading: &ServerReading,
    snapshot: &StatementSnapshot,
    repeated: &BTreeSet<Fingerprint>,
    most: usize,
) -> Vec<Candidate> {
    let recorded: BTreeMap<Fingerprint, &StatementStatistics> =
        snapshot.statements.iter().map(|statement| (statement.fingerprint, statement)).collect();
    let mut all: BTreeMap<Fingerprint, Candidate> = BTreeMap::new();
    for statement in reading.statements.iter().flatten() {
        if !statement.writes && !statement.text.is_empty() {
            let known = recorded.get(&statement.fingerprint).copied();
            all.insert(statement.fingerprint, of_server(statement, known));
        }
    }
    for statement in recorded.values().filter(|statement| statement.kind == StatementKind::Select) {
        if let Some(candidate) = of_recorder(statement) {
            all.entry(statement.fingerprint).or_insert(candidate);
        }
    }
    let mut all: Vec<Candidate> = all.into_values().collect();
    for candidate in &mut all {
        candidate.repeated = repeated.contains(&candidate.fingerprint);
    }
    all.sort_by(|one, other| {
        other.repeated.cmp(&one.repeated).then_with(|| other.seconds.total_cmp(&one.seconds))
    });
    all.truncate(most);
    all
}

fn of_server(statement: &ServerStatement, recorded: Option<&StatementStatistics>) -> Candidate {
    let calls = statement.seconds.count.max(1);
    let rows_per_call = (statement.rows / calls).max(1);
    match recorded.and_then(of_recorder) {
        Some(known) => {
            Candidate { seconds: statement.seconds.sum.max(known.seconds), rows_per_call, ..known }
        }
        None => Candidate {
            fingerprint: statement.fingerprint,
            subject: Subject::Statement {
                name: statement.fingerprint.to_string(),
                fingerprint: statement.fingerprint,
                normalized: statement.normalized.clone(),
            },
            sql: statement.text.clone(),
            kept: Vec::new(),
            seconds: statement.seconds.sum,
            rows_per_call,
            repeated: false,
            callers: Vec::new(),
        },
    }
}

fn of_recorder(statement: &StatementStatistics) -> Option<Candidate> {
    Some(Candidate {
        fingerprint: statement.fingerprint,
        subject: Subject::Statement {
            name: statement.name.clone(),
            fingerprint: statement.fingerprint,
            normalized: statement.normalized.to_string(),
        },
        sql: statement.sample_sql.as_ref()?.to_string(),
        kept: statement.sample_parameters.clone(),
        seconds: statement.total_seconds,
        rows_per_call: (statement.rows_returned / statement.calls.max(1)).max(1),
        repeated: false,
        callers: statement.callers.iter().take(CALLERS).map(|count| count.caller.clone()).collect(),
    })
}
