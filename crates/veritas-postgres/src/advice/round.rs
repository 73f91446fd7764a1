//! One round of advice: from texts of statements to a set of indexes within a budget.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use veritas_index_advisor as advisor;
use veritas_index_advisor::{
    CostUnit, Distinct, DistinctSource, IndexSpec, Progress, Scan, Search, Statement, TableFacts, TableId,
    Workload, WriteCost,
};
use veritas_model::{Bytes, Clock, Monotonic};

use crate::{
    candidates,
    facts::{self, Facts, SampleOptions},
    guard::Guard,
    plan::Plan,
    session::Session,
    what_if::Asked,
};

/// Candidates that are looked at, those of the heaviest scans first.
const GENERATED: usize = 2_000;
/// Candidates of those that fit into the budget that the planner is asked about.
const ASKED: usize = 400;

/// What one write of one entry costs, in units of the planner: 200 thousand rows
/// inserted into TPC-H's `lineitem` took 0.25 s more with one index and 1.3 s more with
/// four, where a unit of the planner takes 5 µs.
const WRITE_UNITS: WriteCost = WriteCost { insert: 0.3, update: 0.6, delete: 0.1 };
/// The same in seconds.
const WRITE_SECONDS: WriteCost = WriteCost { insert: 1.6e-6, update: 3.2e-6, delete: 0.5e-6 };

/// One statement that advice is asked for.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// A short name, for reports: never its text.
    pub(super) name: String,
    pub(super) sql: String,
    /// Values of its parameters, where they are known.
    pub(super) values: Option<Vec<Option<String>>>,
    /// Calls or seconds, by the unit of the round.
    pub(super) weight: f64,
}

/// The bounds of a round.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) budget: Bytes,
    pub(super) max_calls: u32,
    pub(super) max_indexes: usize,
    pub(super) deadline: Option<Monotonic>,
    pub(super) sample: SampleOptions,
    pub(super) unit: CostUnit,
    pub(super) window: Duration,
    pub(super) exact_steps: u32,
    /// How near to the best the answer is to be proven; `None`: it is not.
    pub(super) prove: Option<f64>,
}

/// What is known before the planner is asked about indexes.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// The statements that may be planned, in the workload's order.
    pub(super) asked: Vec<Asked>,
    /// Their plans as it is now.
    pub(super) plans: Vec<Plan>,
    /// The position of each among the inputs.
    pub(super) input: Vec<usize>,
    /// Inputs that were left out, and why.
    pub(super) skipped: Vec<(usize, String)>,
    /// What is known of their tables.
    pub(super) facts: Facts,
    pub(super) workload: Workload,
    pub(super) candidates: Vec<IndexSpec>,
    /// How long rows of tables were read.
    pub(super) sampling: Duration,
}

/// Checks, plans and looks at everything that a search needs. Statements that cannot be
/// planned are skipped with their reason; so are those that the deadline does not reach.
///
/// # Errors
///
/// Why nothing could be done at all, in words without literals.
pub(super) fn prepare(
    session: &mut Session,
    inputs: &[Input],
    bounds: &Bounds,
    clock: &dyn Clock,
) -> Result<Prepared, String> {
    let mut prepared = Prepared::default();
    let late = || bounds.deadline.is_some_and(|deadline| clock.monotonic() >= deadline);
    for (position, input) in inputs.iter().enumerate() {
        if late() {
            prepared.skipped.push((position, "the time was over; it waits for the next round".to_owned()));
            continue;
        }
        match planned(session, input) {
            Ok((asked, plan)) => {
                prepared.asked.push(asked);
                prepared.plans.push(plan);
                prepared.input.push(position);
            }
            Err(reason) if session.is_lost() => return Err(reason),
            Err(reason) => prepared.skipped.push((position, reason)),
        }
    }
    let tables: BTreeSet<TableId> = prepared
        .plans
        .iter()
        .flat_map(Plan::relations)
        .map(|at| TableId::new(&*at.schema, &*at.name))
        .collect();
    let tables: Vec<TableId> = tables.into_iter().collect();
    prepared.facts = facts::read(session, &tables).map_err(|error| in_words(&error))?;
    let scans = |prepared: &Prepared| -> Vec<Scan> {
        let numbered = prepared.plans.iter().enumerate();
        let of_each = numbered.map(|(at, plan)| {
            let weight = inputs[prepared.input[at]].weight;
            candidates::scans(at, weight, plan, &prepared.facts.tables)
        });
        of_each.flatten().collect()
    };
    let columns = columns_of(&scans(&prepared));
    if !late() {
        let started = clock.monotonic();
        prepared.facts.sample(session, &columns, &bounds.sample).map_err(|error| in_words(&error))?;
        prepared.sampling = clock.monotonic().since(started);
    }
    let scans = scans(&prepared);
    let options = advisor::candidates::Options { most: GENERATED, ..advisor::candidates::Options::default() };
    let mut candidates = advisor::candidates::of(&scans, &prepared.facts.tables, &options);
    prepared.facts.count_tuples(&candidates);
    // What surely does not fit alone is not worth a question.
    let fits = |spec: &IndexSpec| {
        let size = facts_of(&prepared.facts, spec).and_then(|facts| advisor::size::bytes(spec, facts));
        size.is_some_and(|size| size.low <= bounds.budget)
    };
    candidates.retain(|spec| !spec.is_elsewhere() && fits(spec));
    candidates.truncate(ASKED);
    prepared.candidates = candidates;
    let statements = prepared.plans.iter().enumerate().map(|(at, plan)| {
        let input = &inputs[prepared.input[at]];
        let tables = plan.relations().into_iter().map(|at| TableId::new(&*at.schema, &*at.name)).collect();
        Statement::new(&*input.name, input.weight, tables)
    });
    prepared.workload =
        Workload { statements: statements.collect(), scans, unit: bounds.unit, window: bounds.window };
    Ok(prepared)
}

/// Checks one statement and asks for its plan as it is now.
fn planned(session: &mut Session, input: &Input) -> Result<(Asked, Plan), String> {
    let statement = Guard::new(session).check(&input.sql).map_err(|refusal| refusal.to_string())?;
    let asked = Asked { statement, values: input.values.clone() };
    let plan = asked.explain(session).map_err(|error| in_words(&error))?;
    Ok((asked, plan))
}

/// Searches with `planner`. `progress` is told what happens, and breaks the search off.
pub(super) fn search(
    prepared: &Prepared,
    bounds: &Bounds,
    planner: &mut dyn advisor::WhatIf,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> advisor::Advice {
    search_with(prepared, &prepared.facts.tables, bounds, planner, clock, progress)
}

/// Searches with other facts of the tables.
pub(super) fn search_with(
    prepared: &Prepared,
    tables: &[TableFacts],
    bounds: &Bounds,
    planner: &mut dyn advisor::WhatIf,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> advisor::Advice {
    let search = Search {
        max_calls: bounds.max_calls,
        max_indexes: bounds.max_indexes,
        deadline: bounds.deadline,
        exact_steps: bounds.exact_steps,
        prove: bounds.prove,
        write_cost: match bounds.unit {
            CostUnit::Planner => WRITE_UNITS,
            CostUnit::Seconds => WRITE_SECONDS,
        },
        ..Search::within(bounds.budget)
    };
    advisor::search(&prepared.workload, tables, &prepared.candidates, planner, &search, clock, progress)
}

/// Returns the tables as if every count of distinct values were right.
pub(super) fn trusted(tables: &[TableFacts]) -> Vec<TableFacts> {
    let exact = |distinct: &mut Distinct| distinct.source = DistinctSource::Exact;
    let mut trusted = tables.to_vec();
    for table in &mut trusted {
        table.columns.iter_mut().for_each(|column| exact(&mut column.distinct));
        table.distinct_sets.iter_mut().for_each(|set| exact(&mut set.distinct));
    }
    trusted
}

/// Returns every column that an index could hold for these scans.
fn columns_of(scans: &[Scan]) -> BTreeMap<TableId, BTreeSet<String>> {
    let mut columns: BTreeMap<TableId, BTreeSet<String>> = BTreeMap::new();
    for scan in scans {
        let conditions = scan.equalities.iter().chain(&scan.ranges).chain(&scan.joins);
        let compared = conditions.map(|condition| condition.column.clone());
        let ordered = scan.order.iter().filter_map(|key| key.name().map(str::to_owned));
        let of_table = columns.entry(scan.table.clone()).or_default();
        of_table.extend(compared.chain(ordered));
        of_table.extend(scan.group.iter().chain(scan.needed.iter().flatten()).cloned());
    }
    columns
}

/// Says an error with its cause; causes of ours hold no literals.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Returns the table of `facts` that an index is on.
pub(super) fn facts_of<'a>(facts: &'a Facts, spec: &IndexSpec) -> Option<&'a TableFacts> {
    facts.table(&spec.table)
}

/// A clock that is shared.
pub(super) type SharedClock = Arc<dyn Clock>;
