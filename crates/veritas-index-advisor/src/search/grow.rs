//! Grows a set by benefit per byte, and swaps its members: Extend (Schlosser,
//! Kossmann, Boissier 2019) over the table of costs, followed by local search.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{set::Set, table::Table};

/// A step that a set can grow by: the indexes that one plan still needs.
#[derive(Debug)]
struct Step {
    /// Saved per byte when it was last looked at.
    rate: f64,
    /// The size of the set then.
    looked_at: usize,
    adds: Set,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Step {}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rate.total_cmp(&other.rate).then_with(|| other.adds.cmp(&self.adds))
    }
}

/// Returns the sets of indexes that plans need together: the steps to grow by.
fn steps(table: &Table) -> Vec<Set> {
    let mut steps: Vec<Set> =
        table.statements.iter().flatten().map(|plan| plan.needs).filter(|needs| !needs.is_empty()).collect();
    steps.extend(table.useful().members().map(|one| Set::EMPTY.with(one)));
    steps.sort();
    steps.dedup();
    steps
}

#[expect(clippy::cast_precision_loss, reason = "a budget is far below 2^53 bytes")]
fn rate(table: &Table, from: Set, adds: Set) -> f64 {
    let to = from.union(adds);
    let saved = table.total(from) - table.total(to);
    saved / (table.size(to) - table.size(from)).max(1) as f64
}

/// Grows `from` while something saves more than `least` and fits.
///
/// A heap holds the rate that each step had; only the top is looked at again
/// (Minoux 1978): rates mostly fall as a set grows.
pub(crate) fn grow(table: &Table, from: Set, least: f64) -> Set {
    let mut set = from;
    let mut heap: BinaryHeap<Step> = steps(table)
        .into_iter()
        .map(|adds| Step { rate: rate(table, set, adds), looked_at: set.len(), adds })
        .collect();
    let mut size = set.len();
    while let Some(step) = heap.pop() {
        let adds = step.adds.minus(set);
        if adds.is_empty() || !table.fits(set.union(adds)) {
            continue;
        }
        if step.looked_at < size {
            heap.push(Step { rate: rate(table, set, adds), looked_at: size, adds });
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "a set is small")]
        let worth = table.total(set) - table.total(set.union(adds)) >= least * adds.len() as f64;
        if step.rate > 0.0 && worth {
            set = set.union(adds);
            size = set.len();
        }
    }
    thin(table, set, least)
}

/// Takes out members that save less than `least`, the least useful first.
pub(crate) fn thin(table: &Table, from: Set, least: f64) -> Set {
    let mut set = from;
    loop {
        let now = table.total(set);
        let rise = |one: &usize| table.total(set.without(*one)) - now;
        let Some(worst) = set.members().min_by(|a, b| rise(a).total_cmp(&rise(b))) else { return set };
        if rise(&worst) >= least {
            return set;
        }
        set = set.without(worst);
    }
}

/// Takes one or two members out, grows again, and keeps what is better, until
/// nothing is.
pub(crate) fn swap(table: &Table, from: Set, least: f64, mut may_go_on: impl FnMut() -> bool) -> Set {
    let mut best = from;
    let mut cost = table.total(best);
    loop {
        let members: Vec<usize> = best.members().collect();
        let mut outs: Vec<Set> = members.iter().map(|&one| Set::EMPTY.with(one)).collect();
        for (at, &one) in members.iter().enumerate() {
            outs.extend(members[at + 1..].iter().map(|&other| Set::EMPTY.with(one).with(other)));
        }
        let mut improved = false;
        for out in outs {
            if !may_go_on() {
                return best;
            }
            let banned = without(table, out);
            let set = grow(&banned, best.minus(out), least);
            // Then without the ban: what was taken out may come back.
            let set = grow(table, set, least);
            let now = table.total(set);
            if now < cost - 1e-9 * cost.abs() {
                (best, cost, improved) = (set, now, true);
                break;
            }
        }
        if !improved {
            return best;
        }
    }
}

/// Returns the table without the plans that need one of `out`.
fn without(table: &Table, out: Set) -> Table {
    let mut table = table.clone();
    for plans in &mut table.statements {
        plans.retain(|plan| plan.needs.common(out).is_empty());
    }
    table
}
