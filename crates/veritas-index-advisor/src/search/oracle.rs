//! Asks the planner, remembers, and concludes.
//!
//! A plan that uses the indexes U out of a visible set A is the cheapest with
//! any set between U and A: one answer stands for many questions. For every
//! other set the answers give bounds, if one more index never makes a plan
//! dearer (the planner may always not use it).

use std::{collections::HashMap, ops::ControlFlow};

use veritas_model::{Bytes, Clock};

use crate::{
    advice::{LeftOut, Progress, Search, Stage, Why},
    search::{pool::Pool, set::Set},
    what_if::{Question, WhatIf, WhatIfError},
    workload::{CostUnit, Workload},
};

/// One answer: with `visible`, the plan costs `cost` and uses `used`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) visible: Set,
    pub(super) used: Set,
    /// In planner units.
    pub(super) cost: f64,
}

/// What is known of one statement.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) answers: Vec<Answer>,
    by_visible: HashMap<Set, usize>,
    /// Today's cost, in planner units.
    pub(super) base: f64,
    /// What one planner unit counts in the total.
    pub(super) weight: f64,
    /// It could not be planned.
    pub(super) left_out: bool,
}

impl Known {
    /// Returns the cheapest plan that was seen and that `set` allows.
    pub(super) fn upper(&self, set: Set) -> f64 {
        self.answers
            .iter()
            .filter(|answer| answer.used.is_subset(&set))
            .map(|answer| answer.cost)
            .fold(self.base, f64::min)
    }

    /// Returns the answer for exactly this set, or one that stands for it.
    fn find(&self, set: Set) -> Option<&Answer> {
        self.by_visible.get(&set).map(|&at| &self.answers[at]).or_else(|| {
            self.answers.iter().find(|answer| answer.used.is_subset(&set) && set.is_subset(&answer.visible))
        })
    }
}

/// The planner, with a memory and within bounds.
pub(super) struct Oracle<'a> {
    what_if: &'a mut dyn WhatIf,
    pub(super) pool: &'a Pool<'a>,
    search: &'a Search,
    clock: &'a dyn Clock,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    pub(super) statements: Vec<Known>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) calls: u32,
    pub(super) from_memory: u64,
    /// What the caller is told.
    pub(super) told: Progress,
    pub(super) stopped: Option<Why>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(
        what_if: &'a mut dyn WhatIf,
        pool: &'a Pool<'a>,
        workload: &Workload,
        search: &'a Search,
        clock: &'a dyn Clock,
        progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Self {
        let statements = workload.statements.iter().map(|_| Known::default()).collect();
        let told = Progress {
            stage: Stage::Baseline,
            calls: 0,
            max_calls: search.max_calls,
            cost_before: 0.0,
            cost_now: 0.0,
            bytes: Bytes::new(0),
            indexes: 0,
        };
        Self {
            what_if,
            pool,
            search,
            clock,
            progress,
            statements,
            left_out: Vec::new(),
            calls: 0,
            from_memory: 0,
            told,
            stopped: None,
        }
    }

    /// Asks what statements cost today, the heaviest first, with a quarter of all
    /// questions at most; the others are left out.
    pub(super) fn baseline(&mut self, workload: &Workload) {
        let mut order: Vec<usize> = (0..workload.statements.len()).collect();
        order.sort_by(|&a, &b| {
            let weight = |at: usize| workload.statements[at].weight;
            weight(b).total_cmp(&weight(a)).then(a.cmp(&b))
        });
        let most = (self.search.max_calls / 4).max(1);
        for at in order {
            self.statements[at].left_out = true;
            self.statements[at].base = f64::INFINITY;
            if self.stopped.is_some() {
                continue;
            }
            if self.calls >= most {
                let reason = "heavier statements took the questions that the search may ask".into();
                self.left_out
                    .push(LeftOut { statement: at, why: WhatIfError::Statement { statement: at, reason } });
                continue;
            }
            let Some(answer) = self.ask(at, Set::EMPTY) else { continue };
            let weight = workload.statements[at].weight;
            let known = &mut self.statements[at];
            known.left_out = false;
            known.base = answer.cost;
            known.weight = match workload.unit {
                CostUnit::Planner => weight,
                CostUnit::Seconds => weight / answer.cost.max(f64::MIN_POSITIVE),
            };
            if !(known.weight.is_finite() && known.weight >= 0.0) {
                known.weight = 0.0;
            }
        }
        for known in self.statements.iter_mut().filter(|known| known.left_out) {
            known.base = 0.0;
        }
        self.told.cost_before = self.total_before();
        self.told.cost_now = self.told.cost_before;
    }

    /// Returns the total of today.
    pub(super) fn total_before(&self) -> f64 {
        self.statements.iter().map(|known| known.base * known.weight).sum()
    }

    /// Returns the total with `set`, as far as it is known.
    pub(super) fn total(&self, set: Set) -> f64 {
        let statements = self.statements.iter().enumerate();
        statements.map(|(at, known)| self.cost_known(at, set) * known.weight).sum::<f64>()
            + self.pool.writes(set)
    }

    /// Returns what a statement costs with `set`: the answer when exactly that was
    /// asked, else the cheapest plan that was seen and that the set allows.
    pub(super) fn cost_known(&self, statement: usize, set: Set) -> f64 {
        let known = &self.statements[statement];
        let set = set.common(self.pool.concerned[statement]);
        known.by_visible.get(&set).map_or_else(|| known.upper(set), |&at| known.answers[at].cost)
    }

    /// Returns how many answers there are.
    pub(super) fn answers(&self) -> usize {
        self.statements.iter().map(|known| known.answers.len()).sum()
    }

    /// Returns what `set` does to one statement: from memory, or by a question.
    /// `None` when the statement cannot be planned or the search must end.
    pub(super) fn cost(&mut self, statement: usize, set: Set) -> Option<Answer> {
        let set = set.common(self.pool.concerned[statement]);
        if let Some(answer) = self.statements[statement].find(set) {
            self.from_memory += 1;
            return Some(*answer);
        }
        self.ask(statement, set)
    }

    /// Asks in any case, unless exactly this was asked.
    pub(super) fn confirm(&mut self, statement: usize, set: Set) -> Option<Answer> {
        let set = set.common(self.pool.concerned[statement]);
        if let Some(&at) = self.statements[statement].by_visible.get(&set) {
            self.from_memory += 1;
            return Some(self.statements[statement].answers[at]);
        }
        self.ask(statement, set)
    }

    /// Returns whether no question may be asked any more; notes why.
    pub(super) fn must_stop(&mut self) -> bool {
        if self.stopped.is_none() && self.calls >= self.search.max_calls {
            self.stopped = Some(Why::Calls);
        }
        self.stopped.is_some() || self.is_out_of_time()
    }

    /// Returns whether thinking must end too: past the deadline, cancelled.
    pub(super) fn is_out_of_time(&mut self) -> bool {
        if self.search.deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline)
            && self.stopped.as_ref().is_none_or(|why| *why == Why::Calls)
        {
            self.stopped = Some(Why::Deadline);
        }
        self.stopped.as_ref().is_some_and(|why| *why != Why::Calls)
    }

    /// Tells the caller, who may ask to stop.
    pub(super) fn tell(&mut self) {
        self.told.calls = self.calls;
        if (self.progress)(&self.told).is_break() && self.stopped.is_none() {
            self.stopped = Some(Why::Cancelled);
        }
    }

    fn ask(&mut self, statement: usize, set: Set) -> Option<Answer> {
        let members: Vec<usize> = set.members().collect();
        let indexes: Vec<_> = members.iter().map(|&at| self.pool.candidates[at].spec).collect();
        let question = Question { statement, indexes: &indexes, hidden: &[] };
        if self.what_if.is_known(&question) {
            self.from_memory += 1;
            if self.is_out_of_time() {
                return None;
            }
        } else {
            if self.must_stop() {
                return None;
            }
            self.calls += 1;
        }
        let planned = self.what_if.plan(&question);
        self.tell();
        match planned {
            Ok(planned) if planned.cost.is_finite() && planned.cost >= 0.0 => {
                let used = match planned.used {
                    Some(used) => used.iter().filter_map(|&at| members.get(at)).copied().collect(),
                    None => set,
                };
                let answer = Answer { visible: set, used, cost: planned.cost };
                let known = &mut self.statements[statement];
                known.by_visible.insert(set, known.answers.len());
                known.answers.push(answer);
                Some(answer)
            }
            Ok(planned) => {
                let reason = format!("the planner said {}", planned.cost);
                self.leave_out(statement, WhatIfError::Statement { statement, reason });
                None
            }
            Err(WhatIfError::Lost { reason }) => {
                self.stopped = Some(Why::Lost(reason));
                None
            }
            Err(why) => {
                self.leave_out(statement, why);
                None
            }
        }
    }

    /// From here on the statement counts nothing.
    fn leave_out(&mut self, statement: usize, why: WhatIfError) {
        let known = &mut self.statements[statement];
        *known = Known { left_out: true, ..Known::default() };
        self.left_out.push(LeftOut { statement, why });
    }

    /// Asks with existing indexes hidden; nothing of it is remembered.
    pub(super) fn cost_hidden(&mut self, statement: usize, set: Set, hidden: &[&str]) -> Option<f64> {
        if self.must_stop() {
            return None;
        }
        let set = set.common(self.pool.concerned[statement]);
        let indexes: Vec<_> = set.members().map(|at| self.pool.candidates[at].spec).collect();
        self.calls += 1;
        let planned = self.what_if.plan(&Question { statement, indexes: &indexes, hidden });
        self.tell();
        planned.ok().map(|planned| planned.cost).filter(|cost| cost.is_finite())
    }
}
