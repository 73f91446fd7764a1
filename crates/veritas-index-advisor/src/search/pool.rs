//! The candidates of a search with their sizes and prices, and which statement
//! each can concern.

use crate::{
    advice::{Search, WriteCost},
    index::IndexSpec,
    search::set::{MOST, Set},
    size::{self, SizeEstimate},
    table::TableFacts,
    workload::{Scan, Workload},
};

/// One candidate.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) spec: &'a IndexSpec,
    pub(super) size: SizeEstimate,
    /// What its writes cost over the workload's window.
    pub(super) write: f64,
}

/// What the search may choose from.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    pub(super) candidates: Vec<Candidate<'a>>,
    /// For each statement, the candidates that can concern it.
    pub(super) concerned: Vec<Set>,
}

impl<'a> Pool<'a> {
    /// Keeps what the what-if can answer for, fits the budget, and is not there yet.
    pub(super) fn new(
        workload: &Workload,
        facts: &[TableFacts],
        specs: &'a [IndexSpec],
        search: &Search,
    ) -> Self {
        let mut candidates: Vec<Candidate<'a>> = Vec::new();
        for spec in specs {
            let Some(facts) = facts.iter().find(|facts| facts.table == spec.table) else { continue };
            let is_there = facts.existing.iter().any(|index| index.valid && index.spec == *spec)
                || candidates.iter().any(|candidate| candidate.spec == spec);
            if spec.is_elsewhere() || is_there || candidates.len() == MOST {
                continue;
            }
            let Some(size) = size::bytes(spec, facts) else { continue };
            if size.high <= search.budget {
                let write = write_cost(spec, facts, search.write_cost, workload.window.as_secs_f64());
                candidates.push(Candidate { spec, size, write });
            }
        }
        let concerned = (0..workload.statements.len())
            .map(|statement| {
                let may = |at: &usize| may_concern(workload, statement, candidates[*at].spec);
                (0..candidates.len()).filter(may).collect()
            })
            .collect();
        Self { candidates, concerned }
    }

    /// Returns the candidates of one key that carry nothing.
    pub(super) fn simple(&self) -> Set {
        let is_simple = |at: &usize| {
            let spec = self.candidates[*at].spec;
            spec.keys.len() == 1 && spec.include.is_empty()
        };
        (0..self.candidates.len()).filter(is_simple).collect()
    }

    /// Returns the candidates of at most so many bytes.
    pub(super) fn up_to(&self, bytes: u64) -> Set {
        (0..self.candidates.len()).filter(|&at| self.candidates[at].size.high.get() <= bytes).collect()
    }

    /// Returns the `high` bytes of a set.
    pub(super) fn bytes(&self, set: Set) -> u64 {
        set.members().map(|at| self.candidates[at].size.high.get()).sum()
    }

    /// Returns what the writes of a set cost.
    pub(super) fn writes(&self, set: Set) -> f64 {
        set.members().map(|at| self.candidates[at].write).sum()
    }
}

/// Returns what writing one index costs over `seconds`.
///
/// Heap-only updates end for the whole table when an index holds a column that
/// they set: that index is charged with the entries of all others too. Two new
/// indexes on the same updated column are each charged, which is never too low.
pub(super) fn write_cost(spec: &IndexSpec, facts: &TableFacts, cost: WriteCost, seconds: f64) -> f64 {
    let writes = &facts.writes;
    #[expect(clippy::cast_precision_loss, reason = "a table has few indexes")]
    let others = facts.existing.len() as f64;
    let updates: f64 = writes
        .updates
        .iter()
        .map(|update| {
            let touches = update.columns.is_empty()
                || spec.columns().any(|column| update.columns.iter().any(|name| name == column));
            let hot = update.hot_share.clamp(0.0, 1.0);
            update.rows * if touches { (1.0 - hot) + hot * (1.0 + others) } else { 1.0 - hot }
        })
        .sum();
    seconds * (writes.inserts * cost.insert + writes.deletes * cost.delete + updates * cost.update)
}

/// Returns whether an index can change the plan of a statement at all.
///
/// A B-tree serves a scan when its first key is compared, joined, sorted or
/// grouped by there, or when it holds every column that is needed (a narrower
/// table to scan).
fn may_concern(workload: &Workload, statement: usize, spec: &IndexSpec) -> bool {
    let reads = workload.statements[statement].tables.contains(&spec.table);
    let mut scans = workload.scans.iter().filter(|scan| scan.statement == statement).peekable();
    if scans.peek().is_none() {
        return reads;
    }
    scans.any(|scan| scan.table == spec.table && may_serve(scan, spec))
}

fn may_serve(scan: &Scan, spec: &IndexSpec) -> bool {
    let covers = scan
        .needed
        .as_ref()
        .is_some_and(|needed| needed.iter().all(|name| spec.columns().any(|column| column == name)));
    let Some(first) = spec.keys.first().and_then(|key| key.name()) else { return true };
    let compares = scan
        .equalities
        .iter()
        .chain(&scan.ranges)
        .chain(&scan.joins)
        .any(|condition| condition.column == first);
    covers
        || compares
        || scan.prefixes.iter().any(|prefix| prefix.column == first)
        || scan.order.first().and_then(|key| key.name()) == Some(first)
        || scan.group.iter().any(|name| name == first)
}
