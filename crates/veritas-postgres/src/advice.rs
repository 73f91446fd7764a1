//! From what the server's statements cost to the indexes that would help, and those that
//! could go.
//!
//! [`PostgresAdvisor`] takes a turn at a time: the statements that cost most between two
//! readings, their plans, what is known of their tables, and a search within a budget of
//! bytes. A turn is bounded in time, in questions to the planner and in proposals, and it
//! only reads. [`advise_workload`] does the same once for statements that are given.
//!
//! What the planner expects ranks proposals and proves none.

mod drops;
mod examined;
mod proposals;
mod round;
mod sizing;
mod usage;
mod workload;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use veritas_database::{
    StatementSnapshot, StatementStatistics, Value,
    server::{ServerReading, ServerStatement},
};
use veritas_index_advisor::CostUnit;
use veritas_model::{Bytes, Finding, Fingerprint, Proposal, Timestamp};

pub use self::workload::{
    AdviseError, AdvisedIndex, WorkloadAdvice, WorkloadOptions, WorkloadStatement, advise_workload,
};
use self::{
    examined::Turn,
    round::{Bounds, Input, in_words},
};
use crate::{
    facts::{self, SampleOptions},
    history::PlanHistory,
    plan::{Plan, Relation},
    scratch::ScratchPlace,
    session::Session,
    target::PostgresTarget,
    what_if::{self, Method, Sampled},
};

/// The bounds of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvisorOptions {
    /// Bytes that new indexes may take on disk together; `None`: `budget_share` of the
    /// tables that the server told of.
    pub budget: Option<Bytes>,
    /// The share of the tables' size that indexes may take, 0 to 1, 10 GiB at most.
    pub budget_share: f64,
    /// New indexes in one turn at most, and indexes to drop as well.
    pub proposals: usize,
    /// How long a turn may take, one call to the server longer at most.
    pub longest_turn: Duration,
    /// Questions to the planner in one turn at most.
    pub plans: u32,
    /// Statements that are looked at, those that cost most first.
    pub statements: usize,
    /// Statements that the server has counted less often are left alone. All calls count, not
    /// those of a window: what takes longer than a window ends in few of them.
    pub fewest_calls: u64,
    /// How long an index must have been watched without a scan before it is called unused.
    pub disuse: Duration,
    /// How much of the tables is looked at.
    pub sample: SampleOptions,
    /// Where a sampled copy may be made when the server has no `hypopg`.
    pub scratch: ScratchPlace,
}

impl Default for AdvisorOptions {
    /// A fifth of the tables' size, 5 proposals, 5 s, 200 plans, 40 statements of 2 calls,
    /// a week without a scan, 300 pages of each table, no copies.
    fn default() -> Self {
        Self {
            budget: None,
            budget_share: 0.2,
            proposals: 5,
            longest_turn: Duration::from_secs(5),
            plans: 200,
            statements: 40,
            fewest_calls: 2,
            disuse: Duration::from_hours(7 * 24),
            sample: SampleOptions { pages: 300, rows: 30_000, seed: 1 },
            scratch: ScratchPlace::Off,
        }
    }
}

/// The largest budget that is taken without being told.
const LARGEST_BUDGET: u64 = 10 << 30;

/// What one turn brought.
#[derive(Debug, Clone, Default)]
pub struct Advice {
    /// Statements that an index would help, and indexes that could go.
    pub findings: Vec<Finding>,
    /// What could be done.
    pub proposals: Vec<Proposal>,
    /// What was looked at and left alone, and why.
    pub skipped: Vec<Skipped>,
    /// How the planner was asked, and why that way; `None` when it was not.
    pub what_if: Option<(Method, String)>,
    /// Why there is no advice on new indexes.
    pub failure: Option<String>,
}

/// A statement or an index that was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why; holds no literals.
    pub reason: String,
}

/// Finds indexes to create and to drop on one target.
///
/// Holds what it saw of the use of indexes since it was made (10 000 indexes at most), and
/// nothing else. Blocks for a turn: run it on a thread of its own, outside of any runtime.
#[derive(Debug)]
pub struct PostgresAdvisor {
    target: Arc<PostgresTarget>,
    options: AdvisorOptions,
    usage: Mutex<usage::Watched>,
    history: Mutex<PlanHistory>,
    /// The reading of the turn before: a turn may take longer than it is from one reading to the
    /// next, and what was called meanwhile is looked at as well.
    advised_on: Mutex<Option<Arc<ServerReading>>>,
}

/// A statement of a turn.
struct Case {
    fingerprint: Fingerprint,
    name: String,
    normalized: String,
    /// Calls and seconds within the window.
    calls: f64,
    seconds: f64,
    /// Calls that were counted in all.
    counted: u64,
    input: Input,
}

impl PostgresAdvisor {
    /// Makes an advisor; sends nothing.
    pub fn new(target: Arc<PostgresTarget>, options: AdvisorOptions) -> Self {
        Self {
            target,
            options,
            usage: Mutex::default(),
            history: Mutex::default(),
            advised_on: Mutex::default(),
        }
    }

    /// Returns what is known of the use of indexes, to be handed to [`Self::go_on_from`] after a
    /// restart: names and counters, at most a few MiB.
    pub fn usage_note(&self) -> String {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).note()
    }

    /// Goes on from what was known of the use of indexes before a restart.
    pub fn go_on_from(&self, usage_note: &str) {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).go_on_from(usage_note);
    }

    /// Takes one turn over the server's last reading and the recorder's statements.
    ///
    /// Never fails: what could not be done is in [`Advice::failure`] and
    /// [`Advice::skipped`]. The same advice has the same identities in every turn.
    pub fn advise(&self, reading: &ServerReading, snapshot: &StatementSnapshot, now: Timestamp) -> Advice {
        let mut advice = Advice::default();
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).see(reading, now);
        if reading.is_replica {
            advice.failure = Some("it is a replica: indexes are made on its primary".to_owned());
            return advice;
        }
        let started = self.target.clock.monotonic();
        let deadline = started.plus(self.options.longest_turn);
        let mut session = match self.target.connect() {
            Ok(session) => session,
            Err(error) => {
                advice.failure = Some(in_words(&error));
                return advice;
            }
        };
        let before = self.before(reading);
        let cases = self.cases(reading, before.as_deref(), snapshot);
        if cases.is_empty() {
            advice.failure = Some("no statement was called often enough yet".to_owned());
        } else if let Err(failure) = self.creates(
            &mut session,
            reading,
            before.as_deref(),
            &cases,
            snapshot,
            deadline,
            now,
            &mut advice,
        ) {
            advice.failure = Some(failure);
        }
        if !session.is_lost() {
            self.drops(&mut session, reading, now, &mut advice);
        }
        advice
    }

    /// Returns the reading from which on the window of this turn goes, and notes the present one
    /// for the next turn.
    fn before(&self, reading: &ServerReading) -> Option<Arc<ServerReading>> {
        let latest = self.target.latest.get(&self.target.name)?;
        let mut advised_on = self.advised_on.lock().unwrap_or_else(PoisonError::into_inner);
        let known = advised_on.take().filter(|known| known.read_at < reading.read_at);
        let is_latest = latest.reading.read_at == reading.read_at;
        *advised_on = is_latest.then_some(latest.reading);
        // Without statements there is nothing to compare with.
        known.filter(|known| known.statements.is_ok()).or(latest.before)
    }

    /// Returns the statements that cost most in the window, with values where the
    /// recorder has some.
    fn cases(
        &self,
        reading: &ServerReading,
        before: Option<&ServerReading>,
        snapshot: &StatementSnapshot,
    ) -> Vec<Case> {
        let recorded: BTreeMap<Fingerprint, &StatementStatistics> =
            snapshot.statements.iter().map(|statement| (statement.fingerprint, statement)).collect();
        let mut cases: Vec<Case> = match &reading.statements {
            Ok(statements) => statements
                .iter()
                .filter_map(|statement| {
                    let known = recorded.get(&statement.fingerprint).copied();
                    of_server(statement, before, known)
                })
                .collect(),
            Err(_) => snapshot.statements.iter().filter_map(of_recorder).collect(),
        };
        let fewest = self.options.fewest_calls;
        cases.retain(|case| case.counted >= fewest && case.calls > 0.0 && case.seconds > 0.0);
        cases.sort_by(|left, right| right.seconds.total_cmp(&left.seconds));
        cases.truncate(self.options.statements);
        cases
    }

    #[expect(clippy::too_many_arguments, reason = "one turn has one caller")]
    fn creates(
        &self,
        session: &mut Session,
        reading: &ServerReading,
        before: Option<&ServerReading>,
        cases: &[Case],
        snapshot: &StatementSnapshot,
        deadline: veritas_model::Monotonic,
        now: Timestamp,
        advice: &mut Advice,
    ) -> Result<(), String> {
        let clock = &self.target.clock;
        let bounds = Bounds {
            budget: self.budget(reading),
            max_calls: self.options.plans,
            max_indexes: self.options.proposals,
            deadline: Some(deadline),
            sample: self.options.sample.clone(),
            unit: CostUnit::Seconds,
            window: window(reading, before),
            exact_steps: 20_000,
            prove: None,
        };
        let inputs: Vec<Input> = cases.iter().map(|case| case.input.clone()).collect();
        let mut prepared = round::prepare(session, &inputs, &bounds, clock.as_ref())?;
        facts::observed_writes(&mut prepared.facts.tables, reading, before);
        advice.skipped.extend(
            prepared
                .skipped
                .iter()
                .map(|(at, reason)| Skipped { name: cases[*at].name.clone(), reason: reason.clone() }),
        );
        if prepared.asked.is_empty() {
            return Err("none of the statements could be planned".to_owned());
        }
        let turn = Turn { cases, prepared: &prepared, reading, before, snapshot, now };
        let shown = self.examine(session, &turn);
        let searched = self.search(session, &turn, &bounds, examined::misspelt(&shown), advice);
        examined::add(&mut advice.findings, shown);
        searched
    }

    /// Says what the plans show, and publishes those that are remembered.
    fn examine(&self, session: &mut Session, turn: &Turn<'_>) -> Vec<Finding> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = turn.examine(session, &mut history);
        let plans = history.readings().into_iter().map(|(fingerprint, (plans, _))| (fingerprint, plans));
        self.target.latest.publish_plans(&self.target.name, plans.collect());
        shown
    }

    /// Looks for indexes, and adds what it finds to the advice.
    fn search(
        &self,
        session: &mut Session,
        turn: &Turn<'_>,
        bounds: &Bounds,
        misspelt: BTreeSet<Fingerprint>,
        advice: &mut Advice,
    ) -> Result<(), String> {
        let Turn { cases, prepared, snapshot, now, .. } = *turn;
        let clock = &self.target.clock;
        let copied = || {
            let relations: BTreeSet<Relation> =
                prepared.plans.iter().flat_map(Plan::relations).cloned().collect();
            let relations: Vec<Relation> = relations.into_iter().collect();
            let (options, place) = (&self.target.options, &self.options.scratch);
            Sampled::create(options, place, &relations, &prepared.asked, Arc::clone(clock))
        };
        let mut opened = what_if::open(session, &prepared.asked, &prepared.plans, copied)
            .map_err(|error| in_words(&error))?;
        let found =
            round::search(prepared, bounds, &mut opened, clock.as_ref(), &mut |_| ControlFlow::Continue(()));
        let method = opened.method;
        advice.what_if = Some((method, opened.why.clone()));
        drop(opened);
        advice.skipped.extend(found.left_out.iter().map(|left| Skipped {
            name: cases[prepared.input[left.statement]].name.clone(),
            reason: left.why.to_string(),
        }));
        let about = proposals::About {
            target: &self.target.name,
            cases,
            prepared,
            callers: snapshot,
            misspelt,
            method,
            now,
        };
        proposals::creates(&about, &found, advice);
        Ok(())
    }

    /// Returns what new indexes may take.
    fn budget(&self, reading: &ServerReading) -> Bytes {
        let tables = reading.tables.iter().flatten().map(|table| table.size.get()).sum::<u64>();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes stay below 2^53, and the cast saturates"
        )]
        let share = (tables as f64 * self.options.budget_share.clamp(0.0, 1.0)) as u64;
        self.options.budget.unwrap_or(Bytes::new(share.min(LARGEST_BUDGET)))
    }
}

/// Returns the time between two readings; without an earlier one, since the server counts.
fn window(reading: &ServerReading, before: Option<&ServerReading>) -> Duration {
    match (before, reading.statements_reset_at) {
        (Some(before), _) => reading.read_at.since(before.read_at),
        (None, Some(reset)) => reading.read_at.since(reset),
        (None, None) => reading.uptime.unwrap_or_default(),
    }
}

fn of_server(
    statement: &ServerStatement,
    before: Option<&ServerReading>,
    recorded: Option<&StatementStatistics>,
) -> Option<Case> {
    let earlier = before
        .and_then(|before| before.statements.as_ref().ok())
        .and_then(|known| known.iter().find(|known| known.fingerprint == statement.fingerprint));
    let (now, then) = (&statement.seconds, earlier.map(|earlier| &earlier.seconds));
    // Counters that went back were reset.
    let then = then.filter(|then| then.count <= now.count && then.sum <= now.sum);
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    let calls = (now.count - then.map_or(0, |then| then.count)) as f64;
    let seconds = now.sum - then.map_or(0.0, |then| then.sum);
    if statement.text.is_empty() {
        return None;
    }
    let name = recorded.map_or_else(|| statement.fingerprint.to_string(), |known| known.name.clone());
    let (sql, values) = recorded.and_then(sample).unwrap_or_else(|| (statement.text.clone(), None));
    Some(Case {
        fingerprint: statement.fingerprint,
        normalized: statement.normalized.clone(),
        calls,
        seconds,
        counted: now.count,
        input: Input { name: name.clone(), sql, values, weight: seconds },
        name,
    })
}

fn of_recorder(statement: &StatementStatistics) -> Option<Case> {
    let (sql, values) = sample(statement)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    let calls = statement.calls as f64;
    Some(Case {
        fingerprint: statement.fingerprint,
        name: statement.name.clone(),
        normalized: statement.normalized.to_string(),
        calls,
        seconds: statement.total_seconds,
        counted: statement.calls,
        input: Input { name: statement.name.clone(), sql, values, weight: statement.total_seconds },
    })
}

/// Returns a call as it was sent, with the values of its parameters.
fn sample(statement: &StatementStatistics) -> Option<(String, Option<Vec<Option<String>>>)> {
    let sql = statement.sample_sql.as_ref()?.to_string();
    Some((sql, statement.sample_parameters.first().and_then(|values| values_of(values))))
}

/// Returns values as text, unless there are bytes among them.
fn values_of(values: &[Value]) -> Option<Vec<Option<String>>> {
    let as_text = values.iter().map(|value| match value {
        Value::Null => Some(None),
        Value::Integer(number) => Some(Some(number.to_string())),
        Value::Real(number) => Some(Some(number.to_string())),
        Value::Text(text) => Some(Some(text.clone())),
        Value::Blob(_) => None,
    });
    as_text.collect()
}
