//! What a step, a proof and a recovery did.

use veritas_model::{ChangeId, ChangeState, ProposalId, Timestamp};

/// One thing that the optimizer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A proposal was measured and is proven.
    Proved(ProposalId),
    /// A proposal was measured and is not proven.
    NotProved(ProposalId),
    /// A change was permitted by the mode of its kind.
    Began(ChangeId),
    /// A change entered this state.
    Entered(ChangeId, ChangeState),
    /// An act failed and will be tried again, or was given up; see [`Optimizer::troubles`](crate::Optimizer::troubles).
    Failed(String),
}

/// What one step, or one proof, did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepReport {
    /// What was done, in order.
    pub acts: Vec<Act>,
}

impl StepReport {
    /// Returns whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        self.acts.is_empty()
    }
}

/// What was found unfinished at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Changes that were being applied: they are taken back.
    pub interrupted: Vec<ChangeId>,
    /// Changes that were being taken back: the inverse is run again.
    pub reverting: Vec<ChangeId>,
    /// Changes that were watched: the watch goes on.
    pub verifying: Vec<ChangeId>,
    /// Those of the first two that are not taken back yet, because their target
    /// did not let us; `step` goes on trying.
    pub unfinished: Vec<ChangeId>,
}

/// An act that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The proposal or change, as text.
    pub subject: String,
    /// What fails (`apply`, `revert`, `measure`).
    pub step: &'static str,
    /// How often it failed.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// What was said last.
    pub error: String,
}
