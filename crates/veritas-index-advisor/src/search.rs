//! Chooses indexes within a budget of bytes, with few questions to the planner.
//!
//! The planner is asked with *everything* visible first: what it uses then, what
//! it uses without those, and so on. Each answer is a plan with its cost and its
//! needs; together they are a table of costs over which growing by benefit per
//! byte (Extend), swaps, and branch and bound run without a question. What they
//! choose is asked for; new plans go into the table, until nothing new comes up.
//! At the end every statement is asked once more with the final set, and each
//! index must earn its place against that.

mod around;
mod exact;
mod grow;
mod oracle;
mod pool;
mod proof;
mod prune;
mod set;
mod table;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use veritas_model::{Bytes, Clock};

use self::{oracle::Oracle, pool::Pool, set::Set, table::Table};
use crate::{
    advice::{Advice, Chosen, GapBasis, Progress, Search, Stage, StatementGain, Why},
    index::IndexSpec,
    table::TableFacts,
    what_if::WhatIf,
    workload::Workload,
};

/// How often the result is asked for and chosen again.
const ROUNDS: u32 = 24;

/// How many rounds without a better choice end the search.
const IDLE_ROUNDS: u32 = 2;

/// With a proof, one in so many questions serves the choice before it.
const PROVING: u32 = 4;

/// An index of at most one such part of the budget leaves room for others.
const MODERATE: u64 = 4;

/// The largest share of the questions that one round may ask.
const ROUND_SHARE: f64 = 0.3;

/// Returns which of `candidates` to create within the budget of `search`.
///
/// Never fails: statements that cannot be planned, and the lightest ones when there
/// are more than a quarter of the questions, are left out and said; when the
/// planner is lost, the deadline passes, or `progress` breaks, the best answer so
/// far is returned. Its bytes never pass the budget, counted by the `high` size of
/// each index. Candidates are looked at in their order, at most 512 of them; those
/// that [`are elsewhere`](IndexSpec::is_elsewhere), that a table has already, or
/// whose size is not known are passed over. The same answers of the planner give
/// the same advice.
pub fn search(
    workload: &Workload,
    facts: &[TableFacts],
    candidates: &[IndexSpec],
    what_if: &mut dyn WhatIf,
    search: &Search,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Advice {
    let can_hide = what_if.can_hide();
    let pool = Pool::new(workload, facts, candidates, search);
    let mut oracle = Oracle::new(what_if, &pool, workload, search, clock, progress);
    oracle.baseline(workload);
    // The final check asks each statement once: those questions are kept back.
    let planned = oracle.statements.iter().filter(|known| !known.left_out).count();
    let checks = u32::try_from(planned).unwrap_or(u32::MAX);
    // A proof needs most of them for itself.
    let most = if search.prove.is_some() { search.max_calls / PROVING } else { search.max_calls };
    let asks = most.saturating_sub(oracle.calls).saturating_sub(checks);
    let least = search.min_gain.max(0.0) * oracle.total_before();
    let chosen = choose(&mut oracle, search, least, share(asks, ROUND_SHARE), most.saturating_sub(checks));
    let (mut set, _) = prune::confirmed(&mut oracle, chosen, least);
    let mut proven = None;
    if let Some(near) = search.prove {
        let asks = search.max_calls.saturating_sub(oracle.calls).saturating_sub(checks);
        let found = proof::prove(&mut oracle, search, set, near, asks, least);
        if found.set != set {
            (set, _) = prune::confirmed(&mut oracle, found.set, least);
        }
        proven = found.bound;
    }
    let bound = bound(&oracle, search, set, proven);
    let dropped =
        if can_hide { prune::hidden(&mut oracle, workload, facts, search, set) } else { Vec::new() };
    let stopped = match oracle.stopped.take() {
        Some(why) => why,
        None => Why::Done,
    };
    advice(&oracle, set, bound, dropped, stopped)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is one")]
fn share(of: u32, share: f64) -> u32 {
    (f64::from(of) * share) as u32
}

/// Chooses over what is known, asks around the choice, and chooses again: first
/// among indexes of one column, then among those that leave room for others, then
/// among all that fit. (What takes most of the budget is what the planner likes best
/// and the choice least: asking about it first would leave no questions.)
fn choose(oracle: &mut Oracle<'_>, search: &Search, least: f64, per_round: u32, end: u32) -> Set {
    oracle.told.stage = Stage::Screen;
    let simple = oracle.pool.simple();
    let all: Set = (0..oracle.pool.candidates.len()).collect();
    let moderate = simple.union(oracle.pool.up_to(search.budget.get() / MODERATE));
    let universes = [simple, moderate, all];
    let mut best = Set::EMPTY;
    let (mut known, mut idle) = (0, 0);
    let mut stage = 0;
    for _ in 0..ROUNDS {
        let left = |oracle: &Oracle<'_>| end.saturating_sub(oracle.calls);
        around::learn(oracle, best, universes[stage], left(oracle).min(per_round), least);
        oracle.told.stage = Stage::Choose;
        let table = Table::of(oracle, search.budget.get(), search.max_indexes);
        let next = solve(oracle, &table, search, best, least);
        verify(oracle, next, left(oracle));
        if stage > 0 {
            around::lose(oracle, next, left(oracle).min(per_round / 2));
        }
        let improved = oracle.total(best) - oracle.total(next) > 0.1 * least;
        best = next;
        tell(oracle, best);
        let now = oracle.answers();
        idle = if improved { 0 } else { idle + 1 };
        let nothing_new = now == known || idle >= IDLE_ROUNDS;
        known = now;
        if oracle.is_out_of_time() || left(oracle) == 0 || (nothing_new && stage == 2) {
            break;
        }
        while nothing_new && stage < 2 {
            (stage, idle) = (stage + 1, 0);
            if universes[stage] != universes[stage - 1] {
                break;
            }
        }
    }
    let table = Table::of(oracle, search.budget.get(), search.max_indexes);
    solve(oracle, &table, search, best, least)
}

/// Asks every statement with the set, as far as no answer stands for it.
fn verify(oracle: &mut Oracle<'_>, set: Set, calls: u32) {
    let end = oracle.calls.saturating_add(calls);
    for statement in 0..oracle.statements.len() {
        if oracle.calls < end && !oracle.statements[statement].left_out {
            oracle.cost(statement, set);
        }
    }
}

fn tell(oracle: &mut Oracle<'_>, set: Set) {
    oracle.told.cost_now = oracle.total(set);
    oracle.told.bytes = Bytes::new(oracle.pool.bytes(set));
    oracle.told.indexes = set.len();
}

/// Returns the best set over the table that growing, swaps and branch and bound find.
fn solve(oracle: &mut Oracle<'_>, table: &Table, search: &Search, before: Set, least: f64) -> Set {
    let grown = grow::grow(table, Set::EMPTY, least);
    let kept = grow::grow(table, before, least);
    let start = if table.total(kept) < table.total(grown) { kept } else { grown };
    let swapped = grow::swap(table, start, least, || !oracle.is_out_of_time());
    let steps = search.exact_steps / 4;
    let solved = exact::solve(table, swapped, steps, || !oracle.is_out_of_time());
    grow::thin(table, solved.set, least)
}

/// Returns how far the set can be from the best, and on what that rests.
fn bound(oracle: &Oracle<'_>, search: &Search, set: Set, proven: Option<f64>) -> Option<(f64, GapBasis)> {
    // A floor that was proven holds whatever ended the proof.
    let (lowest, basis) = if let Some(lowest) = proven {
        (lowest, GapBasis::Planner)
    } else {
        if search.exact_steps == 0 || oracle.stopped.as_ref().is_some_and(|why| *why != Why::Calls) {
            return None;
        }
        let table = Table::of(oracle, search.budget.get(), search.max_indexes);
        (exact::solve(&table, set, search.exact_steps, || true).bound, GapBasis::Table)
    };
    let cost = oracle.total(set);
    (lowest > 0.0 && lowest.is_finite()).then(|| (((cost - lowest) / lowest).max(0.0), basis))
}

fn advice(
    oracle: &Oracle<'_>,
    set: Set,
    bound: Option<(f64, GapBasis)>,
    dropped: Vec<crate::advice::Dropped>,
    stopped: Why,
) -> Advice {
    let pool = oracle.pool;
    let mut chosen: Vec<Chosen> = set.members().map(|at| prune::earned(oracle, set, at)).collect();
    chosen.sort_by(|a, b| b.gain.total_cmp(&a.gain).then_with(|| a.spec.cmp(&b.spec)));
    let statements = oracle
        .statements
        .iter()
        .enumerate()
        .filter(|(_, known)| !known.left_out)
        .map(|(statement, known)| StatementGain {
            statement,
            before: known.base,
            after: oracle.cost_known(statement, set),
        })
        .collect();
    Advice {
        chosen,
        dropped,
        cost_before: oracle.total_before(),
        cost_after: oracle.total(set),
        statements,
        bytes_high: Bytes::new(pool.bytes(set)),
        bytes: Bytes::new(set.members().map(|at| pool.candidates[at].size.mean.get()).sum()),
        gap: bound.map(|(gap, _)| gap),
        gap_basis: bound.map_or(GapBasis::None, |(_, basis)| basis),
        left_out: oracle.left_out.clone(),
        calls: oracle.calls,
        answered_from_memory: oracle.from_memory,
        stopped,
    }
}
