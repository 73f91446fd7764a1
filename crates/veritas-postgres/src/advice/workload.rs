//! Advice for a workload that is given, once: what `veritas db advise` asks.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use veritas_index_advisor::{CostUnit, GapBasis, IndexSpec, Progress, SizeEstimate, Why};
use veritas_model::Bytes;

use super::{
    round::{self, Bounds, Input, in_words},
    sizing,
};
use crate::{
    actuator::IndexDefinition,
    facts::{SampleOptions, ScanOptions},
    plan::{Plan, Relation},
    scratch::ScratchPlace,
    session::{ConnectOptions, Session},
    what_if::{self, Method, Sampled},
};

/// The most statements that are looked at; those that weigh most come first.
const MOST_STATEMENTS: usize = 500;

/// One statement of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadStatement {
    /// Its text, with literals or with `$1`.
    pub sql: String,
    /// How often it is called.
    pub calls: f64,
    /// How long a call takes; `None` when not known, for one statement as for all: then
    /// statements weigh what the planner expects.
    pub mean_seconds: Option<f64>,
}

/// How a workload is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadOptions {
    /// Bytes that new indexes may take on disk together. The real ones keep to it too.
    pub budget: Bytes,
    /// How long it may take in all; the best answer so far is given then.
    pub time_limit: Duration,
    /// Questions to the planner at most.
    pub max_plans: u32,
    /// New indexes at most.
    pub max_indexes: usize,
    /// How much of the tables is looked at.
    pub sample: SampleOptions,
    /// Which tables are read whole to know how large an index really is that would be
    /// advised: where the sample cannot tell.
    pub scan: ScanOptions,
    /// Proves that no set of the same candidates is better than the answer by more than
    /// this share, or finds one that is. Takes thousands of plans: set `max_plans` and
    /// `time_limit` for it.
    pub prove: Option<f64>,
    /// Where a sampled copy may be made when the server has no `hypopg`.
    pub scratch: ScratchPlace,
}

impl WorkloadOptions {
    /// Returns options with a budget: 30 s, 400 plans, 64 indexes, no copies.
    pub fn within(budget: Bytes) -> Self {
        Self {
            budget,
            time_limit: Duration::from_secs(30),
            max_plans: 400,
            max_indexes: 64,
            sample: SampleOptions::default(),
            scan: ScanOptions::default(),
            prove: None,
            scratch: ScratchPlace::Off,
        }
    }
}

/// An index that is advised.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvisedIndex {
    /// What it is.
    pub spec: IndexSpec,
    /// The statement that creates it beside the running load.
    pub sql: String,
    /// The statement that drops it again.
    pub inverse: String,
    /// Its size on disk.
    pub size: SizeEstimate,
    /// What the workload's total would rise by without it, all others kept.
    pub gain: f64,
    /// The statements that it helps, by position in the workload that was given: planner
    /// cost of one call without it and with it.
    pub statements: Vec<(usize, f64, f64)>,
}

/// What is advised for a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadAdvice {
    /// Indexes to create, the largest gain first.
    pub chosen: Vec<AdvisedIndex>,
    /// The workload's total as it is now, in units of the planner or in seconds.
    pub cost_before: f64,
    /// The same with the indexes, their writes counted.
    pub cost_after: f64,
    /// What the totals are counted in.
    pub unit: CostUnit,
    /// How far the total may be from the best set of the same candidates, as a share;
    /// `None` when that is not known.
    pub gap: Option<f64>,
    /// What the gap rests on.
    pub gap_basis: GapBasis,
    /// How many candidates there were.
    pub candidates: usize,
    /// Questions to the planner, the plans of now not counted.
    pub plans: u32,
    /// Statements that were left out: the statement without literals, and why.
    pub skipped: Vec<(String, String)>,
    /// How the planner was asked.
    pub what_if: Method,
    /// Why that way.
    pub what_if_reason: String,
    /// What is less well known than it could be (a table that may not be read), for people.
    pub notes: Vec<String>,
    /// Why the search ended.
    pub stopped: Why,
    /// How long all of it took.
    pub took: Duration,
    /// How much of that went into reading rows of tables, for sizes: a table is read once,
    /// however many plans are asked for.
    pub reading: Duration,
}

/// Why there is no advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdviseError {
    /// The server was not reached.
    #[error("failed to connect: {0}")]
    Connect(String),
    /// No statement could be planned.
    #[error("failed to plan any of {statements} statements; the first: {reason}")]
    NothingPlanned {
        /// How many there were.
        statements: usize,
        /// Why the first was left out.
        reason: String,
    },
    /// The server was lost, or says nothing of its tables.
    #[error("failed to look at the tables: {0}")]
    Look(String),
    /// The planner cannot be asked about indexes that do not exist.
    #[error("failed to ask the planner what if: {0}")]
    WhatIf(String),
}

/// Advises indexes for `statements` on the database that `options` connect to.
///
/// Reads only: nothing is created, on no database but a copy of ours where
/// [`WorkloadOptions::scratch`] allows one. Blocks for [`WorkloadOptions::time_limit`]
/// and the deadline of one call at most. `progress` is told what happens and breaks the
/// search off; the answer is the best so far then.
///
/// # Errors
///
/// [`AdviseError`].
pub fn advise_workload(
    options: &ConnectOptions,
    statements: &[WorkloadStatement],
    how: &WorkloadOptions,
    clock: &round::SharedClock,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<WorkloadAdvice, AdviseError> {
    let started = clock.monotonic();
    let mut session = Session::connect(options).map_err(|error| AdviseError::Connect(in_words(&error)))?;
    let unit = unit_of(statements);
    let (inputs, position_of) = inputs(statements, unit);
    let bounds = Bounds {
        budget: how.budget,
        max_calls: how.max_plans,
        max_indexes: how.max_indexes,
        deadline: Some(started.plus(how.time_limit)),
        sample: how.sample.clone(),
        unit,
        window: Duration::ZERO,
        exact_steps: 40_000,
        prove: how.prove,
    };
    let mut prepared =
        round::prepare(&mut session, &inputs, &bounds, clock.as_ref()).map_err(AdviseError::Look)?;
    if prepared.asked.is_empty() {
        let reason = prepared.skipped.first().map_or("there is none", |(_, reason)| reason).to_owned();
        return Err(AdviseError::NothingPlanned { statements: statements.len(), reason });
    }
    let mut facts = std::mem::take(&mut prepared.facts);
    let copied = || {
        let relations: BTreeSet<Relation> =
            prepared.plans.iter().flat_map(Plan::relations).cloned().collect();
        let relations: Vec<Relation> = relations.into_iter().collect();
        Sampled::create(options, &how.scratch, &relations, &prepared.asked, Arc::clone(clock))
    };
    let mut opened = what_if::open(&mut session, &prepared.asked, &prepared.plans, copied)
        .map_err(|error| AdviseError::WhatIf(in_words(&error)))?;
    let (method, why) = (opened.method, opened.why.clone());
    let look = sizing::Look { prepared: &prepared, bounds: &bounds, how, options, clock: clock.as_ref() };
    let (found, read) = sizing::searched(&look, &mut facts, &mut opened, progress);
    let reading = prepared.sampling.saturating_add(read);
    drop(opened);

    let mut skipped: Vec<(String, String)> =
        prepared.skipped.iter().map(|(at, reason)| (normalized(&inputs[*at].sql), reason.clone())).collect();
    skipped.extend(
        found
            .left_out
            .iter()
            .map(|left| (normalized(&inputs[prepared.input[left.statement]].sql), left.why.to_string())),
    );
    let chosen = found.chosen.iter().filter_map(|chosen| {
        let definition = IndexDefinition::new(chosen.spec.clone()).ok()?;
        let of_statement = |gain: &veritas_index_advisor::StatementGain| {
            (position_of[prepared.input[gain.statement]], gain.before, gain.after)
        };
        Some(AdvisedIndex {
            spec: chosen.spec.clone(),
            sql: definition.create(),
            inverse: definition.drop(),
            size: chosen.size,
            gain: chosen.gain,
            statements: chosen.statements.iter().map(of_statement).collect(),
        })
    });
    Ok(WorkloadAdvice {
        chosen: chosen.collect(),
        cost_before: found.cost_before,
        cost_after: found.cost_after,
        unit,
        gap: found.gap,
        gap_basis: found.gap_basis,
        candidates: prepared.candidates.len(),
        plans: found.calls,
        skipped,
        what_if: method,
        what_if_reason: why,
        notes: facts.notes,
        stopped: found.stopped,
        took: clock.monotonic().since(started),
        reading,
    })
}

fn unit_of(statements: &[WorkloadStatement]) -> CostUnit {
    let timed = statements.iter().all(|statement| statement.mean_seconds.is_some_and(|mean| mean > 0.0));
    if timed { CostUnit::Seconds } else { CostUnit::Planner }
}

/// Returns what weighs most, and where each stood.
fn inputs(statements: &[WorkloadStatement], unit: CostUnit) -> (Vec<Input>, Vec<usize>) {
    let weight = |statement: &WorkloadStatement| match unit {
        CostUnit::Planner => statement.calls,
        CostUnit::Seconds => statement.calls * statement.mean_seconds.unwrap_or_default(),
    };
    let mut order: Vec<usize> = (0..statements.len()).collect();
    order.sort_by(|left, right| weight(&statements[*right]).total_cmp(&weight(&statements[*left])));
    order.truncate(MOST_STATEMENTS);
    let inputs = order.iter().map(|at| Input {
        name: format!("statement {}", at + 1),
        sql: statements[*at].sql.clone(),
        values: None,
        weight: weight(&statements[*at]),
    });
    (inputs.collect(), order.clone())
}

/// Returns a statement without its literals.
fn normalized(sql: &str) -> String {
    veritas_database::fingerprint::statement(sql).text.to_string()
}
