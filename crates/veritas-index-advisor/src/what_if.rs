//! The question that a database answers: what would this statement cost if
//! these indexes existed?

use crate::index::IndexSpec;

/// Answers what a statement would cost with other indexes.
///
/// Implementations talk to a database (hypothetical indexes, a sampled copy);
/// tests use a table of costs.
pub trait WhatIf {
    /// Plans one statement. The answer must depend on the question alone: the
    /// search keeps it and asks no second time.
    ///
    /// # Errors
    ///
    /// [`WhatIfError::Statement`] leaves the statement out of the advice;
    /// [`WhatIfError::Lost`] ends the search with what it has.
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError>;

    /// Returns whether existing indexes can be hidden. Without it, drops are
    /// proposed by rules only.
    fn can_hide(&self) -> bool {
        false
    }
}

/// One question to the planner.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The statement, by its position in the workload.
    pub statement: usize,
    /// The indexes to pretend, beside the existing ones.
    pub indexes: &'a [&'a IndexSpec],
    /// Names of existing indexes to pretend away; empty unless [`WhatIf::can_hide`].
    pub hidden: &'a [&'a str],
}

/// The planner's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The total cost of the plan, in planner units; finite and not negative.
    pub cost: f64,
    /// Which of [`Question::indexes`] the plan uses, by position; `None` when
    /// that is not known. Knowing it saves most questions: taking away an index
    /// that the plan does not use leaves the plan as it is.
    pub used: Option<Vec<usize>>,
}

/// Why a statement could not be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhatIfError {
    /// This statement cannot be planned; others can.
    #[error("failed to plan statement {statement}: {reason}")]
    Statement {
        /// The statement, by its position in the workload.
        statement: usize,
        /// Why, without literals.
        reason: String,
    },
    /// Nothing can be planned any more.
    #[error("failed to reach the planner: {reason}")]
    Lost {
        /// Why.
        reason: String,
    },
}
