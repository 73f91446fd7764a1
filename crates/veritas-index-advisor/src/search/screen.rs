//! Learns which plans there are: asks with everything visible, then without what
//! was used, and so on, the largest possible saving first.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{oracle::Oracle, set::Set};
use crate::advice::Stage;

/// A question worth asking.
#[derive(Debug, PartialEq)]
struct Wish {
    /// What the statement may save at most with this set, times how likely an
    /// answer is to be used.
    worth: f64,
    /// The same without likelihood.
    saves: f64,
    statement: usize,
    set: Set,
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

/// What remains to be asked.
#[derive(Debug, Default)]
pub(super) struct Screen {
    wishes: BinaryHeap<Wish>,
    wished: std::collections::HashSet<(usize, Set)>,
}

impl Screen {
    /// Begins with every candidate of each statement at once.
    pub(super) fn new(oracle: &Oracle<'_>) -> Self {
        let mut screen = Self::default();
        for (statement, known) in oracle.statements.iter().enumerate() {
            let all = oracle.pool.concerned[statement];
            if !known.left_out && !all.is_empty() {
                screen.wish(statement, all, known.base * known.weight, 1.0);
            }
        }
        screen
    }

    /// Asks until `calls` were used or no answer could save `least` any more.
    pub(super) fn run(&mut self, oracle: &mut Oracle<'_>, calls: u32, least: f64) {
        oracle.told.stage = Stage::Screen;
        let end = oracle.calls.saturating_add(calls);
        while let Some(wish) = self.wishes.pop() {
            if wish.saves < least {
                continue;
            }
            if oracle.calls >= end {
                self.wishes.push(wish);
                return;
            }
            let Some(answer) = oracle.cost(wish.statement, wish.set) else {
                if oracle.stopped.is_some() {
                    self.wishes.push(wish);
                    return;
                }
                continue;
            };
            let known = &oracle.statements[wish.statement];
            let saves = (known.base - answer.cost) * known.weight;
            let set = wish.set;
            self.wish(wish.statement, set.minus(answer.used), saves, 1.0);
            if answer.used.len() > 1 {
                for one in answer.used.members() {
                    self.wish(wish.statement, answer.used.without(one), saves, 0.6);
                    self.wish(wish.statement, set.without(one), saves, 0.3);
                }
            }
        }
    }

    /// Returns the most that any question not asked could still save.
    pub(super) fn most_open(&self) -> f64 {
        self.wishes.iter().map(|wish| wish.saves).fold(0.0, f64::max)
    }

    fn wish(&mut self, statement: usize, set: Set, saves: f64, likely: f64) {
        if saves > 0.0 && !set.is_empty() && self.wished.insert((statement, set)) {
            self.wishes.push(Wish { worth: saves * likely, saves, statement, set });
        }
    }
}
