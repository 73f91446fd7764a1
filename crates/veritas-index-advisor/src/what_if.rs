//! The question that a database answers: what would this statement cost if
//! these indexes existed?

use std::{collections::HashMap, fmt};

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

    /// Returns whether the answer is known already: then it is not counted as a question.
    fn is_known(&self, _question: &Question<'_>) -> bool {
        false
    }
}

/// A planner whose answers are kept: a search with other sizes or another budget gets
/// them for nothing.
pub struct Remembering<'a> {
    planner: &'a mut dyn WhatIf,
    numbers: HashMap<IndexSpec, u32>,
    answers: HashMap<(usize, Vec<u32>), Planned>,
}

impl fmt::Debug for Remembering<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembering").field("answers", &self.answers.len()).finish_non_exhaustive()
    }
}

impl<'a> Remembering<'a> {
    /// Knows nothing yet. Keeps every answer until it is dropped: as many as are asked.
    pub fn new(planner: &'a mut dyn WhatIf) -> Self {
        Self { planner, numbers: HashMap::new(), answers: HashMap::new() }
    }

    /// Returns the numbers of the indexes, by position; `None` when one is new.
    fn numbers(&self, question: &Question<'_>) -> Option<Vec<u32>> {
        question.indexes.iter().map(|spec| self.numbers.get(*spec).copied()).collect()
    }

    fn answer(&self, question: &Question<'_>) -> Option<&Planned> {
        if !question.hidden.is_empty() {
            return None;
        }
        let numbers = self.numbers(question)?;
        // What an index is used for is told by position, so the order counts.
        self.answers.get(&(question.statement, numbers))
    }
}

impl WhatIf for Remembering<'_> {
    fn plan(&mut self, question: &Question<'_>) -> Result<Planned, WhatIfError> {
        if let Some(known) = self.answer(question) {
            return Ok(known.clone());
        }
        let planned = self.planner.plan(question)?;
        if question.hidden.is_empty() {
            let mut numbers = Vec::with_capacity(question.indexes.len());
            for spec in question.indexes {
                let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                numbers.push(*self.numbers.entry((*spec).clone()).or_insert(next));
            }
            self.answers.insert((question.statement, numbers), planned.clone());
        }
        Ok(planned)
    }

    fn can_hide(&self) -> bool {
        self.planner.can_hide()
    }

    fn is_known(&self, question: &Question<'_>) -> bool {
        self.answer(question).is_some()
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
