//! Proves how far an answer can be from the best, without asking about every set.
//!
//! For each statement the sets of indexes are kept in parts: all sets that hold the
//! members of `inside` and nothing beyond `visible`. No plan of a part costs less than the
//! one with all of `visible`, and each needs at least `inside`. Beside the plans that were
//! seen, the parts are a table of costs that is too cheap and never too dear: what branch
//! and bound over it cannot undercut, no set can. Where it could, it names the parts that
//! it would use; those are asked about, and split by the largest index of the plan that
//! comes back: into sets with nothing as large, and, for each index as large or larger,
//! those where it is the largest. So what is too large for what it saves is never asked
//! about (lazy constraint generation, as in Benders' decomposition).

use super::{
    exact::{self, Node, Prices, Relaxed},
    oracle::Oracle,
    set::Set,
    table::{PlanCost, Table},
};
use crate::advice::{Search, Stage};

/// Steps of the subgradient before the first look at what is used, and between others.
const FIRST_STEPS: u32 = 150;
const ROUND_STEPS: u32 = 15;
/// Steps for each one of an exact solve: a proof waits for the planner most of the time.
const STEPS: u32 = 20;
/// What is smaller than this share of the budget, for each share of the total that the
/// answer may be off, is taken to cost no bytes: it need not be told apart.
const FREE: f64 = 0.25;
/// Questions after which what was learned is searched for a better set, and with how much
/// less thought than a choice takes: the table is large by then.
const LEARNED: u32 = 800;
const LIGHTER: u32 = 20;
/// Below this share of a total, differences are roundings.
const ROUNDING: f64 = 1e-6;

/// What came out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proven {
    /// The best set that was found.
    pub(super) set: Set,
    /// No set of the candidates costs less; `None` when nothing is known.
    pub(super) bound: Option<f64>,
}

/// Sets with all of `inside` and nothing beyond `visible`.
#[derive(Debug, Clone, Copy)]
struct Part {
    inside: Set,
    visible: Set,
}

/// The table of costs that is never too dear, and what it rests on.
struct Prover<'p, 'o> {
    oracle: &'p mut Oracle<'o>,
    table: Table,
    /// The number of each statement of the table.
    of: Vec<usize>,
    parts: Vec<Part>,
    /// What counts no bytes, and is always visible.
    free: Set,
    /// When to stop asking.
    end: u32,
    failed: bool,
}

/// Proves that no set is better than `set` by more than the share `near`, or finds one
/// that is, with at most `calls` questions.
pub(super) fn prove(
    oracle: &mut Oracle<'_>,
    search: &Search,
    set: Set,
    near: f64,
    calls: u32,
    least: f64,
) -> Proven {
    oracle.told.stage = Stage::Prove;
    let mut prover = Prover::new(oracle, search, near, calls);
    let useful = prover.useful();
    let mut prices = Prices::none(&prover.table, &useful);
    let mut best = (set, prover.oracle.total(set));
    let closed = |bound: f64, cost: f64| bound * (1.0 + near) >= cost - ROUNDING * cost.abs();
    let outside = prover.all().minus(useful.iter().copied().collect());
    let mut stack = vec![Node { inside: Set::EMPTY, outside, bound: f64::NEG_INFINITY }];
    let mut least_closed = f64::INFINITY;
    let mut left = search.exact_steps.saturating_mul(STEPS);
    let mut todo = FIRST_STEPS;
    let mut learned = prover.oracle.calls;
    while let Some(node) = stack.pop() {
        if closed(node.bound, best.1) {
            least_closed = least_closed.min(node.bound);
            continue;
        }
        if left == 0 || prover.failed || prover.oracle.is_out_of_time() {
            stack.push(node);
            break;
        }
        let node = exact::narrowed(&prover.table, &useful, node);
        let mut bound = node.bound;
        let relaxed = loop {
            let mut relaxed = exact::relax(&prover.table, &useful, &prices, node);
            bound = bound.max(relaxed.bound);
            for _ in 0..todo {
                if left == 0 || closed(bound, best.1) {
                    break;
                }
                left -= 1;
                exact::step(&prover.table, &useful, &mut prices, node, &relaxed, best.1);
                relaxed = exact::relax(&prover.table, &useful, &prices, node);
                bound = bound.max(relaxed.bound);
            }
            todo = ROUND_STEPS;
            prices.pace = (prices.pace * 0.9).max(0.2);
            if left == 0 || closed(bound, best.1) || !prover.look_at(&relaxed) {
                break relaxed;
            }
            if prover.oracle.calls.saturating_sub(learned) >= LEARNED {
                learned = prover.oracle.calls;
                best = prover.improved(search, best, least);
            }
        };
        if closed(bound, best.1) {
            least_closed = least_closed.min(bound);
            continue;
        }
        let Some(branch) = exact::branch(&prover.table, &useful, node, &relaxed) else {
            // Everything is decided: the set is its own bound, once its plans were seen.
            while prover.look_at_plans_of(node.inside) {}
            least_closed = least_closed.min(bound.max(prover.table.total(node.inside)));
            best = prover.tried(search, best, node.inside);
            continue;
        };
        prices.pace = 0.5;
        stack.push(Node { outside: node.outside.with(branch), bound, ..node });
        let inside = node.inside.with(branch);
        if prover.table.fits(inside) {
            stack.push(Node { inside, bound, ..node });
        }
    }
    best = prover.improved(search, best, least);
    let lowest = stack.iter().map(|node| node.bound).fold(least_closed, f64::min).min(best.1);
    Proven { set: best.0, bound: (!prover.failed && lowest.is_finite()).then_some(lowest) }
}

impl<'p, 'o> Prover<'p, 'o> {
    fn new(oracle: &'p mut Oracle<'o>, search: &Search, near: f64, calls: u32) -> Self {
        let mut table = Table::of(oracle, search.budget.get(), search.max_indexes);
        #[expect(clippy::cast_precision_loss, reason = "a budget is far below 2^53 bytes")]
        let small = |bytes: u64| (bytes as f64) <= FREE * near * search.budget.get() as f64;
        let free: Set = (0..table.bytes.len()).filter(|&at| small(table.bytes[at])).collect();
        let of: Vec<usize> =
            (0..oracle.statements.len()).filter(|&at| !oracle.statements[at].left_out).collect();
        let mut parts = Vec::new();
        for (plans, &statement) in table.statements.iter_mut().zip(&of) {
            for plan in plans.iter_mut() {
                plan.needs = plan.needs.minus(free);
            }
            let visible = oracle.pool.concerned[statement].minus(free);
            let part = number(parts.len());
            parts.push(Part { inside: Set::EMPTY, visible });
            plans.push(PlanCost { cost: 0.0, needs: Set::EMPTY, part });
            tidy(plans);
        }
        let end = oracle.calls.saturating_add(calls);
        Self { oracle, table, of, parts, free, end, failed: false }
    }

    fn all(&self) -> Set {
        (0..self.table.bytes.len()).collect::<Set>().minus(self.free)
    }

    /// Everything that can concern a statement and is counted.
    fn useful(&self) -> Vec<usize> {
        let concerned = self.of.iter().fold(Set::EMPTY, |all, &at| all.union(self.oracle.pool.concerned[at]));
        concerned.minus(self.free).members().filter(|&at| self.table.bytes[at] <= self.table.budget).collect()
    }

    /// Asks about the parts that a relaxed solution uses; whether there were any.
    fn look_at(&mut self, relaxed: &Relaxed) -> bool {
        let mut any = false;
        for (at, plan) in relaxed.plans.iter().enumerate() {
            any |= plan.part.is_some_and(|part| self.look(at, part));
        }
        any
    }

    /// Asks about the parts that a set uses; whether there were any.
    fn look_at_plans_of(&mut self, set: Set) -> bool {
        let mut any = false;
        for at in 0..self.of.len() {
            let plan = self.table.statements[at].iter().find(|plan| plan.needs.is_subset(&set));
            any |= plan.and_then(|plan| plan.part).is_some_and(|part| self.look(at, part));
        }
        any
    }

    /// Asks what a part costs at least, and splits it. `false` when nothing may be asked.
    fn look(&mut self, at: usize, part: u32) -> bool {
        let statement = self.of[at];
        if self.failed || self.oracle.calls >= self.end {
            return false;
        }
        let Part { inside, visible } = self.parts[part as usize];
        let Some(answer) = self.oracle.cost(statement, visible.union(self.free)) else {
            // A statement that is left out now counted until now.
            self.failed |= self.oracle.statements[statement].left_out;
            return false;
        };
        let cost = answer.cost * self.oracle.statements[statement].weight;
        let used = answer.used.minus(self.free);
        let mut plans = std::mem::take(&mut self.table.statements[at]);
        plans.retain(|plan| plan.part != Some(part));
        plans.push(PlanCost { cost, needs: used, part: None });
        for part in self.split(Part { inside, visible }, used) {
            let cost = cost.max(self.floor(statement, part.visible));
            let number = number(self.parts.len());
            if number.is_some() && self.table.fits(part.inside) {
                plans.push(PlanCost { cost, needs: part.inside, part: number });
                self.parts.push(part);
            }
        }
        tidy(&mut plans);
        self.table.statements[at] = plans;
        true
    }

    /// Returns what is left of a part when a plan that needs `used` answers for all that
    /// hold it.
    fn split(&self, part: Part, used: Set) -> Vec<Part> {
        let key = |at: &usize| (self.table.bytes[*at], *at);
        let Part { mut inside, mut visible } = part;
        let mut parts = Vec::new();
        while let Some(largest) = used.minus(inside).members().max_by_key(key) {
            let mut above: Vec<usize> =
                visible.minus(inside).members().filter(|at| key(at) >= key(&largest)).collect();
            above.sort_by_key(key);
            let mut shown = visible.minus(above.iter().copied().collect());
            parts.push(Part { inside, visible: shown });
            for at in above {
                shown = shown.with(at);
                if at == largest {
                    visible = shown;
                } else {
                    parts.push(Part { inside: inside.with(at), visible: shown });
                }
            }
            inside = inside.with(largest);
        }
        parts
    }

    /// Returns what answers about larger sets say that a part costs at least.
    fn floor(&self, statement: usize, visible: Set) -> f64 {
        let known = &self.oracle.statements[statement];
        let visible = visible.union(self.free).common(self.oracle.pool.concerned[statement]);
        let above = known.answers.iter().filter(|answer| visible.is_subset(&answer.visible));
        above.map(|answer| answer.cost).fold(0.0, f64::max) * known.weight
    }

    /// Returns the better one of `best` and what can be chosen over all plans seen.
    fn improved(&mut self, search: &Search, best: (Set, f64), least: f64) -> (Set, f64) {
        let table = Table::of(self.oracle, search.budget.get(), search.max_indexes);
        let search = &Search { exact_steps: search.exact_steps / LIGHTER, ..search.clone() };
        let set = super::solve(self.oracle, &table, search, best.0, least);
        let cost = table.total(set);
        if cost < best.1 { (set, cost) } else { best }
    }

    /// Returns the better one of `best` and a set whose plans were all seen.
    fn tried(&self, search: &Search, best: (Set, f64), set: Set) -> (Set, f64) {
        let table = Table::of(self.oracle, search.budget.get(), search.max_indexes);
        let cost = table.total(set);
        if table.fits(set) && cost < best.1 { (set, cost) } else { best }
    }
}

fn number(of: usize) -> Option<u32> {
    u32::try_from(of).ok()
}

/// Drops what a plan that was seen beats with fewer needs; the cheapest come first.
fn tidy(plans: &mut Vec<PlanCost>) {
    let order = |plan: &PlanCost| (plan.part.is_some(), plan.needs.len());
    plans.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| order(a).cmp(&order(b))));
    let mut kept: Vec<PlanCost> = Vec::with_capacity(plans.len());
    for plan in plans.drain(..) {
        let beats = |other: &PlanCost| other.part.is_none() && other.needs.is_subset(&plan.needs);
        if !kept.iter().any(beats) {
            kept.push(plan);
        }
    }
    *plans = kept;
}
