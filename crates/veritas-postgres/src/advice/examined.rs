//! What the plans of a turn show: findings with their evidence, and the history of plans.

use std::collections::{BTreeMap, BTreeSet};

use veritas_database::{
    StatementSnapshot, StatementStatistics, Value,
    server::{ServerReading, ServerStatement, SettingReading, StatementWindow},
};
use veritas_model::{Bytes, Finding, FindingKind, Fingerprint, Moments, Subject, Timestamp};

use super::{Case, proposals, round::Prepared, values_of};
use crate::{
    findings::{self, Measured, PlanContext},
    guard::Parameters,
    history::{PlanHistory, generic_plan},
    plan::Plan,
    session::Session,
};

/// Statements of one turn whose plan for all values is compared with those for values.
const COMPARED: usize = 5;
/// Values that it is compared for.
const VECTORS: usize = 4;

/// What a turn looked at.
pub(super) struct Turn<'a> {
    pub(super) cases: &'a [Case],
    pub(super) prepared: &'a Prepared,
    pub(super) reading: &'a ServerReading,
    pub(super) before: Option<&'a ServerReading>,
    pub(super) snapshot: &'a StatementSnapshot,
    pub(super) now: Timestamp,
}

impl Turn<'_> {
    /// Notes the plans and what their statements cost, and says what they show. Asks the
    /// planner for some more plans: five statements' at most, five plans each.
    pub(super) fn examine(&self, session: &mut Session, history: &mut PlanHistory) -> Vec<Finding> {
        let recorded: BTreeMap<Fingerprint, &StatementStatistics> =
            self.snapshot.statements.iter().map(|known| (known.fingerprint, known)).collect();
        let tables = self.reading.tables.as_deref().unwrap_or_default();
        let all: f64 = self.cases.iter().map(|case| case.seconds).sum();
        let mut compared = 0;
        let mut found = Vec::new();
        for (position, plan) in self.prepared.plans.iter().enumerate() {
            let case = &self.cases[self.prepared.input[position]];
            let known = recorded.get(&case.fingerprint).copied();
            let subject = Subject::Statement {
                name: case.name.clone(),
                fingerprint: case.fingerprint,
                normalized: case.normalized.clone(),
            };
            let window = self.window(case.fingerprint);
            let share = if all > 0.0 { case.seconds / all } else { 0.0 };
            history.saw(case.fingerprint, plan, self.now);
            if let Some(cost) = &window {
                history.cost(case.fingerprint, cost.window(self));
            }
            let context = PlanContext {
                subject: &subject,
                plan,
                measured: Measured { time_share: Some(share), ..measured(case, window.as_ref(), known) },
                facts: &self.prepared.facts.tables,
                tables,
                work_mem: setting(self.reading, "work_mem").and_then(bytes),
                hash_memory: setting(self.reading, "hash_mem_multiplier")
                    .and_then(|setting| setting.value.parse().ok()),
                now: self.now,
            };
            let mut of_statement = findings::of_plan(&context);
            of_statement.extend(history.finding(&subject, share, self.now));
            if compared < COMPARED
                && let Some(vectors) = known.and_then(different_vectors)
            {
                compared += 1;
                of_statement.extend(self.compare(session, position, &vectors, &subject, share));
            }
            for finding in &mut of_statement {
                finding.callers = proposals::callers(self.snapshot, case);
            }
            found.extend(of_statement);
        }
        found
    }

    /// Compares the plan for all values with those for values that were seen.
    fn compare(
        &self,
        session: &mut Session,
        position: usize,
        vectors: &[Vec<Option<String>>],
        subject: &Subject,
        share: f64,
    ) -> Option<Finding> {
        let statement = &self.prepared.asked[position].statement;
        if statement.parameters() == 0 {
            return None;
        }
        let generic = statement.explain(session, Parameters::Unknown).ok()?;
        let custom: Vec<Plan> = vectors
            .iter()
            .filter_map(|values| statement.explain(session, Parameters::Values(values)).ok())
            .collect();
        generic_plan(subject, &generic, &custom, share, self.now)
    }

    /// Returns what the server counted of a statement since the reading before.
    fn window(&self, fingerprint: Fingerprint) -> Option<Counted> {
        let of = |reading: Option<&ServerReading>| -> Option<ServerStatement> {
            let statements = reading?.statements.as_ref().ok()?;
            statements.iter().find(|statement| statement.fingerprint == fingerprint).cloned()
        };
        let now = of(Some(self.reading))?;
        let Some(then) = of(self.before).filter(|then| then.seconds.count <= now.seconds.count) else {
            return Some(Counted::whole(&now));
        };
        Some(Counted {
            work: now.seconds.since(&then.seconds),
            rows: now.rows.saturating_sub(then.rows),
            buffers: pages(&now).saturating_sub(pages(&then)),
            temporary: now.temporary_written.saturating_sub(then.temporary_written),
            is_window: true,
        })
    }
}

/// What a server counted of a statement.
struct Counted {
    work: Moments,
    rows: u64,
    buffers: u64,
    temporary: u64,
    /// Whether it is a window between two readings, not all that the server ever counted.
    is_window: bool,
}

impl Counted {
    fn whole(statement: &ServerStatement) -> Self {
        Self {
            work: statement.seconds,
            rows: statement.rows,
            buffers: pages(statement),
            temporary: statement.temporary_written,
            is_window: false,
        }
    }

    fn window(&self, turn: &Turn<'_>) -> StatementWindow {
        let since = turn.before.filter(|_| self.is_window);
        StatementWindow {
            at: turn.reading.read_at,
            seconds: since.map_or(0.0, |before| turn.reading.read_at.since(before.read_at).as_secs_f64()),
            work: self.work,
            rows: self.rows,
            buffers: self.buffers,
        }
    }
}

fn pages(statement: &ServerStatement) -> u64 {
    statement.buffers_hit.saturating_add(statement.buffers_read)
}

/// Returns the figures of a case: the server's where it counts, else the recorder's.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn measured(case: &Case, counted: Option<&Counted>, known: Option<&StatementStatistics>) -> Measured {
    let largest_offset = known.and_then(largest_offset);
    let of_server = counted.filter(|counted| counted.work.count > 0);
    let Some(counted) = of_server else {
        let rows = known.filter(|known| known.calls > 0);
        return Measured {
            calls: known.map(|known| known.calls),
            mean_seconds: (case.calls > 0.0).then(|| case.seconds / case.calls),
            rows_per_call: rows.map(|known| known.rows_returned as f64 / known.calls as f64),
            largest_offset,
            ..Measured::default()
        };
    };
    let calls = counted.work.count as f64;
    Measured {
        calls: Some(counted.work.count),
        mean_seconds: counted.work.mean(),
        rows_per_call: Some(counted.rows as f64 / calls),
        buffers_per_call: Some(counted.buffers as f64 / calls),
        temporary_per_call: Some(counted.temporary as f64 / calls),
        largest_offset,
        time_share: None,
    }
}

/// Returns the largest `OFFSET` among the calls that were seen.
fn largest_offset(known: &StatementStatistics) -> Option<u64> {
    let sql = known.sample_sql.as_ref()?.to_lowercase();
    let (_, after) = sql.rsplit_once("offset")?;
    let word =
        after.trim_start().split(|character: char| !character.is_ascii_digit() && character != '$').next()?;
    let Some(number) = word.strip_prefix('$') else { return word.parse().ok() };
    let position = number.parse::<usize>().ok()?.checked_sub(1)?;
    let offsets = known.sample_parameters.iter().filter_map(|vector| match vector.get(position) {
        Some(Value::Integer(offset)) => u64::try_from(*offset).ok(),
        _ => None,
    });
    offsets.max()
}

/// Returns values of a few calls, when there are enough different ones to compare plans for.
fn different_vectors(known: &StatementStatistics) -> Option<Vec<Vec<Option<String>>>> {
    let vectors: BTreeSet<Vec<Option<String>>> = known
        .sample_parameters
        .iter()
        .filter(|vector| !vector.is_empty())
        .filter_map(|vector| values_of(vector))
        .collect();
    (vectors.len() >= 3).then(|| vectors.into_iter().take(VECTORS).collect())
}

fn setting<'a>(reading: &'a ServerReading, name: &str) -> Option<&'a SettingReading> {
    reading.settings.as_ref().ok()?.iter().find(|setting| setting.name == name)
}

/// Reads a setting that is counted in units of bytes.
fn bytes(setting: &SettingReading) -> Option<Bytes> {
    let value: u64 = setting.value.parse().ok()?;
    let unit = match setting.unit.as_deref()? {
        "B" => 1,
        "kB" => 1024,
        "8kB" => 8 * 1024,
        "MB" => 1024 * 1024,
        _ => return None,
    };
    value.checked_mul(unit).map(Bytes::new)
}

/// Returns the statements whose predicates no index serves as they are written.
pub(super) fn misspelt(shown: &[Finding]) -> BTreeSet<Fingerprint> {
    let of_text = shown
        .iter()
        .filter(|finding| matches!(finding.kind, FindingKind::NonSargable | FindingKind::ImplicitCast));
    of_text
        .filter_map(|finding| match &finding.subject {
            Subject::Statement { fingerprint, .. } => Some(*fingerprint),
            _ => None,
        })
        .collect()
}

/// Adds what plans show to what the search said. Of one statement a missing index says more
/// than that it scans.
pub(super) fn add(advised: &mut Vec<Finding>, shown: Vec<Finding>) {
    for finding in shown {
        let is_known = advised.iter().any(|known| {
            known.id == finding.id
                || known.subject == finding.subject
                    && known.kind == FindingKind::MissingIndex
                    && finding.kind == FindingKind::SequentialScan
        });
        if !is_known {
            advised.push(finding);
        }
    }
}
