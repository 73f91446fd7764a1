//! Learns about plans around a set: what would the planner use beside it?
//!
//! Each statement is asked with the set and everything else that fits. When the
//! planner uses nothing of that, one question has answered for all of it. What
//! it uses is asked for alone, and then left out to see what comes next; the
//! largest possible saving is looked at first.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashSet},
};

use super::{oracle::Oracle, pool::Pool, set::Set};

/// How often what was used is left out to see what comes next.
const LEVELS: u32 = 8;

/// A question worth asking.
#[derive(Debug, PartialEq)]
struct Wish {
    /// What the statement may save at most, times how likely that helps the choice.
    worth: f64,
    /// The same without likelihood.
    saves: f64,
    statement: usize,
    set: Set,
    /// How often something was left out before.
    level: u32,
    /// Whether the answer leads to further questions.
    opens: bool,
}

impl Eq for Wish {}

impl Ord for Wish {
    fn cmp(&self, other: &Self) -> Ordering {
        self.worth
            .total_cmp(&other.worth)
            .then_with(|| other.statement.cmp(&self.statement))
            .then_with(|| other.set.cmp(&self.set))
    }
}

impl PartialOrd for Wish {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Asks around `centre` with candidates of `universe`, at most `calls` questions,
/// none about savings below `least`.
pub(super) fn learn(oracle: &mut Oracle<'_>, centre: Set, universe: Set, calls: u32, least: f64) {
    let end = oracle.calls.saturating_add(calls);
    let mut wishes = BinaryHeap::new();
    let mut seen: HashSet<(usize, Set)> = HashSet::new();
    for statement in 0..oracle.statements.len() {
        let known = &oracle.statements[statement];
        let concerned = oracle.pool.concerned[statement];
        let set = centre.union(universe).common(concerned);
        if known.left_out || set.is_subset(&centre) {
            continue;
        }
        let saves = oracle.cost_known(statement, centre) * known.weight;
        wishes.push(Wish { worth: saves, saves, statement, set, level: 0, opens: true });
    }
    while let Some(wish) = wishes.pop() {
        if wish.saves < least || wish.saves <= 0.0 {
            continue;
        }
        if oracle.calls >= end || oracle.is_out_of_time() {
            return;
        }
        let Some(answer) = oracle.cost(wish.statement, wish.set) else { continue };
        if !wish.opens {
            continue;
        }
        let here = centre.common(oracle.pool.concerned[wish.statement]);
        let now = oracle.cost_known(wish.statement, centre);
        let saves = (now - answer.cost) * oracle.statements[wish.statement].weight;
        let new = answer.used.minus(here);
        let mut push = |set: Set, likely: f64, level: u32, opens: bool| {
            if seen.insert((wish.statement, set)) {
                let worth = saves * likely;
                wishes.push(Wish { worth, saves, statement: wish.statement, set, level, opens });
            }
        };
        if new.is_empty() || saves < least {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "a plan uses few indexes")]
        let each = 1.0 / new.len() as f64;
        for one in new.members() {
            let rivals = rivals(oracle.pool, here, one);
            if new.len() > 1 || !rivals.is_empty() {
                push(here.minus(rivals).with(one), 0.9 * each.sqrt(), wish.level, false);
            }
            if new.len() > 1 {
                push(wish.set.without(one), 0.4 * each, wish.level + 1, wish.level < LEVELS);
            }
        }
        if new.len() > 2 {
            for one in new.members() {
                push(answer.used.without(one), 0.3 * each, wish.level, false);
            }
        }
        if wish.level < LEVELS {
            push(wish.set.minus(new), 0.8_f64.powi(wish.level.cast_signed()), wish.level + 1, true);
        }
    }
}

/// Returns the members of a set that begin with the same key as `one`: what it
/// would replace.
fn rivals(pool: &Pool<'_>, set: Set, one: usize) -> Set {
    let spec = pool.candidates[one].spec;
    set.members()
        .filter(|&other| {
            let other = pool.candidates[other].spec;
            other.table == spec.table && other.keys[0].part == spec.keys[0].part
        })
        .collect()
}

/// Asks what each statement loses without each member of `set`: what swaps need.
pub(super) fn lose(oracle: &mut Oracle<'_>, set: Set, calls: u32) {
    let end = oracle.calls.saturating_add(calls);
    for one in set.members() {
        for statement in 0..oracle.statements.len() {
            let concerns = oracle.pool.concerned[statement].has(one);
            if oracle.calls >= end || oracle.is_out_of_time() {
                return;
            }
            if concerns && !oracle.statements[statement].left_out {
                oracle.cost(statement, set.without(one));
            }
        }
    }
}
