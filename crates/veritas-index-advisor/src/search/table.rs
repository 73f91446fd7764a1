//! The table of costs: for each statement the plans that were seen, each with
//! its cost and the indexes that it needs.

use super::{oracle::Oracle, set::Set};

/// A plan: what it costs the workload, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PlanCost {
    pub(crate) cost: f64,
    pub(crate) needs: Set,
    /// Not a plan but a part of the sets that nobody looked at: no plan in it costs less.
    pub(crate) part: Option<u32>,
}

/// Plans of all statements, prices and sizes of all indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// For each statement, its plans, the cheapest first; the last needs nothing.
    pub(crate) statements: Vec<Vec<PlanCost>>,
    /// What having an index costs (its writes).
    pub(crate) prices: Vec<f64>,
    /// The bytes of each.
    pub(crate) bytes: Vec<u64>,
    /// The most bytes of a set.
    pub(crate) budget: u64,
    /// The most members of a set.
    pub(crate) most: usize,
}

impl Table {
    /// Gathers what the oracle knows.
    pub(super) fn of(oracle: &Oracle<'_>, budget: u64, most: usize) -> Self {
        let statements = oracle
            .statements
            .iter()
            .filter(|known| !known.left_out)
            .map(|known| {
                let base = PlanCost { cost: known.base * known.weight, needs: Set::EMPTY, part: None };
                let seen = known.answers.iter().map(|answer| PlanCost {
                    cost: answer.cost * known.weight,
                    needs: answer.used,
                    part: None,
                });
                undominated(std::iter::once(base).chain(seen).collect())
            })
            .collect();
        Self {
            statements,
            prices: oracle.pool.candidates.iter().map(|candidate| candidate.write).collect(),
            bytes: oracle.pool.candidates.iter().map(|candidate| candidate.size.high.get()).collect(),
            budget,
            most,
        }
    }

    /// Returns the total with `set`.
    pub(crate) fn total(&self, set: Set) -> f64 {
        self.statements.iter().map(|plans| cheapest(plans, set)).sum::<f64>()
            + set.members().map(|at| self.prices[at]).sum::<f64>()
    }

    /// Returns the bytes of `set`.
    pub(crate) fn size(&self, set: Set) -> u64 {
        set.members().map(|at| self.bytes[at]).sum()
    }

    /// Returns whether `set` keeps to the budget.
    pub(crate) fn fits(&self, set: Set) -> bool {
        set.len() <= self.most && self.size(set) <= self.budget
    }

    /// Returns every index that some plan needs.
    pub(crate) fn useful(&self) -> Set {
        self.statements.iter().flatten().fold(Set::EMPTY, |useful, plan| useful.union(plan.needs))
    }
}

/// Returns the cost of the cheapest plan that `set` allows.
pub(crate) fn cheapest(plans: &[PlanCost], set: Set) -> f64 {
    plans.iter().find(|plan| plan.needs.is_subset(&set)).map_or(0.0, |plan| plan.cost)
}

/// Keeps plans that no other beats with fewer needs; the cheapest first.
pub(crate) fn undominated(mut plans: Vec<PlanCost>) -> Vec<PlanCost> {
    plans.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.needs.len().cmp(&b.needs.len())));
    let mut kept: Vec<PlanCost> = Vec::new();
    for plan in plans {
        if !kept.iter().any(|other| other.needs.is_subset(&plan.needs)) {
            kept.push(plan);
        }
    }
    kept
}
