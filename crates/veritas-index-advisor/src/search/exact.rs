//! The best set over a table of costs, by branch and bound, and a proof of how
//! far from it an answer is.
//!
//! Choosing indexes so that each statement may take its cheapest plan is the
//! integer program of `CoPhy` (Dash, Polyzotis, Ailamaki 2011). Its Lagrangian
//! relaxation falls apart: each statement pays rent for the indexes of its plan,
//! each index is bought when the rents exceed its price, and the budget has a
//! price per byte. Any rents give a lower bound (Fisher 1981); subgradient steps
//! raise it.

use super::{
    set::Set,
    table::{PlanCost, Table},
};

/// What branch and bound found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Solved {
    /// The best set.
    pub(crate) set: Set,
    /// No set within the budget has a lower total than this.
    pub(crate) bound: f64,
}

/// Nodes whose bound is this close to the best are not opened.
const TOLERANCE: f64 = 1e-5;
/// Subgradient steps at the root and at every other node.
const ROOT_STEPS: u32 = 400;
const NODE_STEPS: u32 = 12;

/// A part of the sets: those with all of `inside` and none of `outside`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) inside: Set,
    pub(super) outside: Set,
    pub(super) bound: f64,
}

/// Rents and the price of a byte.
pub(super) struct Prices {
    /// For each statement, by position of the index.
    rents: Vec<Vec<f64>>,
    /// The price of the whole budget.
    budget: f64,
    /// How far a step goes, as a share of the distance to the best known.
    pub(super) pace: f64,
}

impl Prices {
    /// Nothing costs anything yet.
    pub(super) fn none(table: &Table, useful: &[usize]) -> Self {
        let ends = useful.iter().max().map_or(0, |most| most + 1);
        Self { rents: table.statements.iter().map(|_| vec![0.0; ends]).collect(), budget: 0.0, pace: 1.0 }
    }
}

/// The relaxed solution of a node.
pub(super) struct Relaxed {
    pub(super) bound: f64,
    /// How many statements want each index.
    pub(super) wanted: Vec<u32>,
    /// Which are bought.
    pub(super) bought: Set,
    /// The plan of each statement.
    pub(super) plans: Vec<PlanCost>,
    /// Everything that the plans of the statements need.
    pub(super) needs: Set,
}

/// Improves on `start`, a set that fits. Stops after `steps` subgradient steps
/// or when `may_go_on` says no; the bound holds in any case.
pub(crate) fn solve(table: &Table, start: Set, steps: u32, mut may_go_on: impl FnMut() -> bool) -> Solved {
    let useful: Vec<usize> = table.useful().members().filter(|&at| table.bytes[at] <= table.budget).collect();
    let mut best = (start, table.total(start));
    let mut prices = Prices::none(table, &useful);
    let outside = table.useful().minus(useful.iter().copied().collect());
    let mut stack = vec![Node { inside: Set::EMPTY, outside, bound: f64::NEG_INFINITY }];
    let (mut left, mut todo) = (steps, ROOT_STEPS);
    let closed = |bound: f64, cost: f64| bound >= cost - TOLERANCE * cost.abs();
    // Parts that were closed without being searched to the end.
    let mut least_closed = f64::INFINITY;
    while let Some(node) = stack.pop() {
        if closed(node.bound, best.1) {
            least_closed = least_closed.min(node.bound);
            continue;
        }
        if left == 0 || !may_go_on() {
            stack.push(node);
            break;
        }
        let node = narrowed(table, &useful, node);
        let mut relaxed = relax(table, &useful, &prices, node);
        let mut bound = relaxed.bound.max(node.bound);
        for _ in 0..todo {
            if left == 0 || closed(bound, best.1) {
                break;
            }
            left -= 1;
            let tried = node.inside.union(relaxed.needs);
            if table.fits(tried) {
                let cost = table.total(tried);
                if cost < best.1 {
                    best = (tried, cost);
                }
            }
            step(table, &useful, &mut prices, node, &relaxed, best.1);
            relaxed = relax(table, &useful, &prices, node);
            if relaxed.bound > bound {
                bound = relaxed.bound;
            } else {
                prices.pace = (prices.pace * 0.97).max(0.05);
            }
        }
        prices.pace = 0.5;
        todo = NODE_STEPS;
        if closed(bound, best.1) {
            least_closed = least_closed.min(bound);
            continue;
        }
        let Some(branch) = branch(table, &useful, node, &relaxed) else {
            // Everything is decided: the set is its own bound.
            let cost = table.total(node.inside);
            if table.fits(node.inside) && cost < best.1 {
                best = (node.inside, cost);
            }
            continue;
        };
        stack.push(Node { outside: node.outside.with(branch), bound, ..node });
        let inside = node.inside.with(branch);
        if table.fits(inside) {
            stack.push(Node { inside, bound, ..node });
        }
    }
    let open = stack.iter().map(|node| node.bound).fold(least_closed, f64::min);
    Solved { set: best.0, bound: open.min(best.1) }
}

/// Returns what to decide on next: what most statements want; `None` when all is decided.
pub(super) fn branch(table: &Table, useful: &[usize], node: Node, relaxed: &Relaxed) -> Option<usize> {
    let undecided = useful.iter().copied().filter(|&at| !node.inside.has(at) && !node.outside.has(at));
    undecided.max_by_key(|&at| (relaxed.wanted[at], relaxed.bought.has(at), table.bytes[at]))
}

/// Decides against what does not fit any more.
pub(super) fn narrowed(table: &Table, useful: &[usize], node: Node) -> Node {
    let used = table.size(node.inside);
    let full = node.inside.len() >= table.most;
    let out = useful
        .iter()
        .filter(|&&at| !node.inside.has(at) && (full || used + table.bytes[at] > table.budget))
        .fold(node.outside, |out, &at| out.with(at));
    Node { outside: out, ..node }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53 bytes")]
fn share(table: &Table, at: usize) -> f64 {
    table.bytes[at] as f64 / table.budget.max(1) as f64
}

pub(super) fn relax(table: &Table, useful: &[usize], prices: &Prices, node: Node) -> Relaxed {
    let mut wanted = vec![0; prices.rents.first().map_or(0, Vec::len)];
    let mut bound = -prices.budget;
    let mut all = Set::EMPTY;
    let mut taken = Vec::with_capacity(table.statements.len());
    for (plans, rents) in table.statements.iter().zip(&prices.rents) {
        let (cost, plan) = cheapest_with_rent(plans, rents, node);
        bound += cost;
        for at in plan.needs.minus(node.inside).members() {
            wanted[at] += 1;
        }
        all = all.union(plan.needs);
        taken.push(plan);
    }
    let mut bought = Set::EMPTY;
    for &at in useful {
        if node.outside.has(at) {
            continue;
        }
        let price = table.prices[at] + prices.budget * share(table, at);
        if node.inside.has(at) {
            bound += price;
            continue;
        }
        let rent: f64 = prices.rents.iter().map(|rents| rents[at]).sum();
        if price < rent {
            bound += price - rent;
            bought = bought.with(at);
        }
    }
    Relaxed { bound, wanted, bought, plans: taken, needs: all }
}

fn cheapest_with_rent(plans: &[PlanCost], rents: &[f64], node: Node) -> (f64, PlanCost) {
    let nothing = (0.0, PlanCost { cost: 0.0, needs: Set::EMPTY, part: None });
    let mut best = (f64::INFINITY, nothing.1);
    for plan in plans {
        // Plans come cheapest first, and rents are never negative.
        if plan.cost >= best.0 {
            break;
        }
        if plan.needs.common(node.outside).is_empty() {
            let rent: f64 = plan.needs.minus(node.inside).members().map(|at| rents[at]).sum();
            if plan.cost + rent < best.0 {
                best = (plan.cost + rent, *plan);
            }
        }
    }
    if best.0.is_finite() { best } else { nothing }
}

/// Moves rents and the price of the budget along the subgradient (Polyak's step).
pub(super) fn step(
    table: &Table,
    useful: &[usize],
    prices: &mut Prices,
    node: Node,
    relaxed: &Relaxed,
    best: f64,
) {
    let free = |at: usize| !node.inside.has(at) && !node.outside.has(at);
    let used: f64 = useful
        .iter()
        .filter(|&&at| node.inside.has(at) || relaxed.bought.has(at))
        .map(|&at| share(table, at))
        .sum();
    let over = used - 1.0;
    let direction = |plan: &PlanCost, at: usize| match (plan.needs.has(at), relaxed.bought.has(at)) {
        (true, false) => 1.0,
        (false, true) => -1.0,
        _ => 0.0_f64,
    };
    // A rent that is zero cannot fall.
    let mut norm = if over > 0.0 || prices.budget > 0.0 { over * over } else { 0.0 };
    for (plan, rents) in relaxed.plans.iter().zip(&prices.rents) {
        for &at in useful.iter().filter(|&&at| free(at)) {
            let towards = direction(plan, at);
            if towards > 0.0 || rents[at] > 0.0 {
                norm += towards * towards;
            }
        }
    }
    if norm <= 0.0 {
        return;
    }
    let length = prices.pace * (best - relaxed.bound).max(1e-9 * best.abs()) / norm;
    prices.budget = (prices.budget + length * over).max(0.0);
    for (plan, rents) in relaxed.plans.iter().zip(&mut prices.rents) {
        for &at in useful.iter().filter(|&&at| free(at)) {
            rents[at] = (rents[at] + length * direction(plan, at)).max(0.0);
        }
    }
}
