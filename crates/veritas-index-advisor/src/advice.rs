//! What a search is told and what it answers.

use veritas_model::{Bytes, Monotonic};

use crate::{index::IndexSpec, size::SizeEstimate, what_if::WhatIfError};

/// The bounds and prices of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The most bytes that all new indexes may take together. Counted with the
    /// `high` size of each, so that the real ones keep to it too.
    pub budget: Bytes,
    /// The most questions to the planner.
    pub max_calls: u32,
    /// When to stop, on the monotonic clock that the search is given; `None`: when done.
    pub deadline: Option<Monotonic>,
    /// The most new indexes.
    pub max_indexes: usize,
    /// The least share of today's total that an index must save to be worth having.
    pub min_gain: f64,
    /// What one write of one index entry costs.
    pub write_cost: WriteCost,
    /// The most steps of the exact solve over what was learned; each takes some
    /// ten microseconds. 0 leaves it out.
    pub exact_steps: u32,
    /// Spends the questions that are left on proving that no set of the candidates is
    /// better than the answer by more than this share (0: that it is the best), and on
    /// finding one that is. Only so can [`Advice::gap`] rest on the planner and not on
    /// what was seen. Takes thousands of questions; `None` leaves it out.
    pub prove: Option<f64>,
}

/// What one entry written to one index costs, in the unit of the workload's totals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WriteCost {
    /// An entry for an inserted row.
    pub insert: f64,
    /// An entry for an updated row whose update is not heap-only.
    pub update: f64,
    /// Cleaning up an entry of a deleted row later.
    pub delete: f64,
}

impl Search {
    /// Returns a search within `budget`: at most 400 questions, no deadline,
    /// writes free.
    pub fn within(budget: Bytes) -> Self {
        Self {
            budget,
            max_calls: 400,
            deadline: None,
            max_indexes: 64,
            min_gain: 0.0005,
            write_cost: WriteCost::default(),
            exact_steps: 20_000,
            prove: None,
        }
    }
}

/// What the search is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Asks what every statement costs today, and with everything.
    Baseline,
    /// Asks which indexes the planner would use, then without those, and so on.
    Screen,
    /// Grows, swaps and solves over what was learned, and asks about the result.
    Choose,
    /// Asks again for the final set, and takes out what does not help.
    Prune,
    /// Asks what other sets could cost at least.
    Prove,
}

impl Stage {
    /// Returns the word that reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Screen => "screen",
            Self::Choose => "choose",
            Self::Prune => "prune",
            Self::Prove => "prove",
        }
    }
}

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Questions asked so far.
    pub calls: u32,
    /// The most questions.
    pub max_calls: u32,
    /// The total of today, once known.
    pub cost_before: f64,
    /// The total with the best set so far.
    pub cost_now: f64,
    /// The `high` bytes of that set.
    pub bytes: Bytes,
    /// How many indexes it has.
    pub indexes: usize,
}

/// Why a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing improves the answer any more.
    Done,
    /// The deadline passed.
    Deadline,
    /// All questions were used.
    Calls,
    /// The caller asked to stop.
    Cancelled,
    /// The planner could not be reached any more, with the reason.
    Lost(String),
}

/// An index to create.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The index.
    pub spec: IndexSpec,
    /// Its size.
    pub size: SizeEstimate,
    /// By how much the workload's total would rise without this index, all
    /// others kept; writes counted.
    pub gain: f64,
    /// What its writes cost, already taken off `gain`.
    pub write_cost: f64,
    /// The statements that it helps, by position: the largest gain first.
    pub statements: Vec<StatementGain>,
}

/// What an index or a set does for one statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatementGain {
    /// The statement, by its position in the workload.
    pub statement: usize,
    /// Its planner cost without.
    pub before: f64,
    /// Its planner cost with.
    pub after: f64,
}

/// An existing index that can go.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropped {
    /// The index, by schema of its table and name.
    pub table: crate::TableId,
    /// Its name.
    pub name: String,
    /// Its size on disk, when known.
    pub bytes: Option<Bytes>,
    /// Why.
    pub reason: DropReason,
}

/// Why an existing index can go.
#[derive(Debug, Clone, PartialEq)]
pub enum DropReason {
    /// Another one is exactly the same.
    Duplicate {
        /// The one that stays.
        of: String,
    },
    /// Its keys are the first keys of another.
    Covered {
        /// The one that stays.
        by: String,
    },
    /// Nothing read it within the window.
    Unused,
    /// It is invalid: a failed concurrent build left it.
    Invalid,
    /// Statements cost no more without it, and writes cost less.
    NotWorth {
        /// What the workload's total saves.
        saves: f64,
    },
}

/// A statement that the advice could not take into account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The statement, by its position in the workload.
    pub statement: usize,
    /// Why.
    pub why: WhatIfError,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Indexes to create, the largest gain first.
    pub chosen: Vec<Chosen>,
    /// Existing indexes that the search found to cost more than they give; only
    /// when the planner can hide indexes. Rules are in [`drops`](crate::drops::of).
    pub dropped: Vec<Dropped>,
    /// The total of today, in the workload's unit, writes to existing indexes not counted.
    pub cost_before: f64,
    /// The total with the advice, writes to new indexes counted.
    pub cost_after: f64,
    /// What each statement costs before and after, in planner units; statements
    /// that were left out are not listed.
    pub statements: Vec<StatementGain>,
    /// The sum of the `high` sizes of the new indexes: never above the budget.
    pub bytes_high: Bytes,
    /// The sum of the `mean` sizes.
    pub bytes: Bytes,
    /// How far the total can be from the best possible set of the same
    /// candidates, as a share of that best: 0 when this is the best. `None`
    /// when the search ended before a bound was found.
    pub gap: Option<f64>,
    /// On what the gap rests.
    pub gap_basis: GapBasis,
    /// Statements that could not be planned.
    pub left_out: Vec<LeftOut>,
    /// Questions asked.
    pub calls: u32,
    /// Questions answered from memory.
    pub answered_from_memory: u64,
    /// Why it ended.
    pub stopped: Why,
}

/// On what a gap rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapBasis {
    /// There is none.
    None,
    /// Answers of the planner stand against every set of the candidates: holds for any
    /// planner for which one more index never makes a plan dearer.
    Planner,
    /// The best over the plans that were seen during the search: a set costs as
    /// much as the cheapest of them whose indexes it has. Plans that no question
    /// brought up may be cheaper.
    Table,
}
