//! From statements that read much to keep little to the index that a copy says helps.
//!
//! No such server can be asked what an index would do. What a rule proposes is tried on a
//! copy where that is allowed ([`TrialOptions::allowed`]): a few statements a turn, each
//! once for the indexes that there are. What helped there is said as a missing index with
//! the measured rows as evidence; what was not tried is said as the rule that it is.

mod batches;

use std::{collections::BTreeMap, sync::Arc};

use mysql::Value;
use veritas_database::{
    StatementSnapshot, StatementStatistics,
    server::{ServerReading, ServerStatement},
};
use veritas_model::{
    Cause, Finding, FindingKind, Fingerprint, Observation, Subject, Timestamp, Unit, stable_hash,
};

use crate::{
    guard,
    session::Session,
    target::MySqlTarget,
    trial::{self, Batched, TrialError, TrialOptions, Tried},
    view::{self, MySqlReading},
};

/// Callers named in a finding.
const CALLERS: usize = 5;

/// The bounds of a turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AdvisorOptions {
    /// What trials may do.
    pub trial: TrialOptions,
}

/// What became of a statement.
#[derive(Debug, Clone)]
enum Outcome {
    /// An index saves enough on a copy.
    Helps(Box<Tried>),
    /// It was not tried, or nothing helped: why.
    Not(String),
}

/// Finds indexes for one target.
#[derive(Debug)]
pub struct MySqlAdvisor {
    target: Arc<MySqlTarget>,
    options: AdvisorOptions,
    /// What was found for each statement, for the indexes that there were then.
    known: BTreeMap<Fingerprint, (u64, Outcome)>,
    /// What the batch of each repeated statement showed; `None` where it has none to offer.
    batched: BTreeMap<Fingerprint, (u64, Option<Batched>)>,
}

impl MySqlAdvisor {
    /// Makes an advisor; sends nothing.
    pub fn new(target: Arc<MySqlTarget>, options: AdvisorOptions) -> Self {
        Self { target, options, known: BTreeMap::new(), batched: BTreeMap::new() }
    }

    /// Says of the scans among `findings` which index would help, as far as that is known.
    /// Blocks for the trials of so many statements at most.
    pub fn advise(
        &mut self,
        findings: &mut [Finding],
        whole: &MySqlReading,
        snapshot: &StatementSnapshot,
        trials: usize,
        now: Timestamp,
    ) {
        let reading = &whole.reading;
        let Ok(statements) = &reading.statements else { return };
        let schema = schema_of(reading);
        self.known.retain(|fingerprint, (of, _)| {
            *of == schema && statements.iter().any(|known| known.fingerprint == *fingerprint)
        });
        debug_assert!(self.known.len() <= view::MOST, "a reading is bounded");
        let mut left = trials;
        for finding in findings.iter_mut().filter(|finding| finding.kind == FindingKind::SequentialScan) {
            let Subject::Statement { fingerprint, .. } = &finding.subject else { continue };
            let fingerprint = *fingerprint;
            let Some(statement) = statements.iter().find(|known| known.fingerprint == fingerprint) else {
                continue;
            };
            let recorded = snapshot.statements.iter().find(|known| known.fingerprint == fingerprint);
            if let Some(recorded) = recorded {
                named(finding, recorded);
            }
            if !self.known.contains_key(&fingerprint) {
                let Some(fewer) = left.checked_sub(1) else { continue };
                left = fewer;
                let outcome = if reading.is_replica {
                    Outcome::Not("it is a replica: indexes are made on its primary".to_owned())
                } else {
                    self.look(statement, recorded)
                };
                self.known.insert(fingerprint, (schema, outcome));
            }
            match self.known.get(&fingerprint) {
                Some((_, Outcome::Helps(tried))) => missing(finding, tried, now),
                Some((_, Outcome::Not(why))) => {
                    let rule = trial::candidates(&statement.text).into_iter().next();
                    by_rule(finding, rule.as_ref(), &reading.database, why);
                }
                None => {}
            }
        }
    }

    fn look(&self, statement: &ServerStatement, recorded: Option<&StatementStatistics>) -> Outcome {
        let (sql, vectors) = recorded.and_then(calls).unwrap_or_else(|| (statement.text.clone(), Vec::new()));
        let tried = Session::connect(&self.target.options).map_err(|error| error.to_string()).and_then(
            |mut session| {
                let query = guard::check(&mut session, &sql).map_err(|refusal| refusal.to_string())?;
                drop(session);
                trial::run_each(&self.target.options, &query, &vectors, &self.options.trial)
                    .map_err(|error| in_words(&error))
            },
        );
        match tried {
            Ok(tried) => tried.into_iter().next().map_or_else(
                || Outcome::Not("no index saved enough on a copy".to_owned()),
                |best| Outcome::Helps(Box::new(best)),
            ),
            Err(why) => {
                tracing::debug!(target = self.target.name, why, "no index was tried");
                Outcome::Not(why)
            }
        }
    }
}

fn in_words(error: &TrialError) -> String {
    match error {
        TrialError::Server { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}

/// The indexes that there are, as a number: advice holds for these.
fn schema_of(reading: &ServerReading) -> u64 {
    let mut all: Vec<String> = reading
        .indexes
        .iter()
        .flatten()
        .map(|index| format!("{} {} {:?} {}", index.table, index.name, index.keys, index.valid))
        .collect();
    all.sort_unstable();
    stable_hash(all.join("\n").as_bytes())
}

/// Gives a statement the name and the callers that the application knows it by.
fn named(finding: &mut Finding, recorded: &StatementStatistics) {
    if let Subject::Statement { name, .. } = &mut finding.subject {
        name.clone_from(&recorded.name);
    }
    finding.id = Finding::identity(finding.kind, &finding.subject);
    finding.callers = recorded.callers.iter().take(CALLERS).map(|count| count.caller.clone()).collect();
}

/// Returns a call as it was sent, with the values of some. `None` where bytes are among them.
fn calls(recorded: &StatementStatistics) -> Option<(String, Vec<Vec<Value>>)> {
    let sql = recorded.sample_sql.as_ref()?.to_string();
    let value = |value: &veritas_database::Value| match value {
        veritas_database::Value::Null => Some(Value::NULL),
        veritas_database::Value::Integer(number) => Some(Value::Int(*number)),
        veritas_database::Value::Real(number) => Some(Value::Double(*number)),
        veritas_database::Value::Text(text) => Some(Value::from(text.as_str())),
        veritas_database::Value::Blob(_) => None,
    };
    let vectors: Option<Vec<Vec<Value>>> =
        recorded.sample_parameters.iter().map(|vector| vector.iter().map(value).collect()).collect();
    let mut vectors = vectors?;
    if vectors.is_empty() && !sql.contains('?') {
        vectors.push(Vec::new());
    }
    Some((sql, vectors))
}

/// Makes of a scan the index that is missing, with what was measured.
#[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
fn missing(finding: &mut Finding, tried: &Tried, now: Timestamp) {
    let calls = tried.calls.max(1) as f64;
    let per_call = |rows: u64| rows as f64 / calls;
    finding.kind = FindingKind::MissingIndex;
    finding.id = Finding::identity(finding.kind, &finding.subject);
    let values = if tried.sampled { "values sampled from its columns" } else { "the values of real calls" };
    finding.recommendation = format!(
        "{}; measured on a copy, {} calls with {values}: {:.0} rows read a call instead of {:.0}, the same rows \
         returned; it is taken back with {}",
        tried.create,
        tried.calls,
        per_call(tried.after.rows_read),
        per_call(tried.before.rows_read),
        tried.drop,
    );
    let mut evidence = vec![
        Observation::measured("rows_read_before", per_call(tried.before.rows_read), Unit::Rows, now),
        Observation::measured("rows_read_after", per_call(tried.after.rows_read), Unit::Rows, now),
        Observation::measured("share_of_rows_saved", tried.saved(), Unit::Ratio, now),
        Observation::measured("calls_measured", calls, Unit::Count, now),
    ];
    if let Some(bytes) = tried.bytes {
        evidence.push(Observation::measured("index_bytes", bytes.get() as f64, Unit::Bytes, now));
    }
    finding.evidence.extend(evidence);
    if let Cause::SequentialScan { table, .. } = &mut finding.cause {
        table.clone_from(&tried.candidate.table);
    }
}

/// Says what a rule proposes, and that nobody has measured it.
fn by_rule(finding: &mut Finding, rule: Option<&trial::Candidate>, database: &str, why: &str) {
    let Some(rule) = rule else { return };
    let (create, _) = rule.live(database);
    finding.recommendation =
        format!("an index may help: {create}. A rule says so; it is not measured: {why}");
}
