//! Actuators: what a kind of change must be able to do.

use crate::{ChangeKind, MeasuredGain, Plan, Proposal, Proven, WorkTotals};

/// Whether the object of a plan exists in its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It exists.
    Present,
    /// It does not.
    Absent,
}

/// Why an actuator could not do what it was asked. The text is for operators
/// and holds no literals of statements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActuatorError {
    /// The target is not registered (any more).
    #[error("the target {target:?} is not registered")]
    UnknownTarget {
        /// The target's name.
        target: String,
    },
    /// The plan is not one that this actuator makes.
    #[error("the plan is refused: {reason}")]
    PlanRefused {
        /// Why.
        reason: String,
    },
    /// The target is busy; trying again later may help.
    #[error("the target {target:?} is busy: {reason}")]
    Busy {
        /// The target's name.
        target: String,
        /// Why.
        reason: String,
    },
    /// It is switched off. Trying again does not help, a setting does: it is tried all
    /// the same, since settings change, and never counts as a verdict.
    #[error("{what} is switched off: {hint}")]
    SwitchedOff {
        /// What is.
        what: String,
        /// How it is switched on.
        hint: String,
    },
    /// A guard rail stopped it (space, size, load).
    #[error("a guard rail stopped it: {reason}")]
    Guard {
        /// Which one and why.
        reason: String,
    },
    /// The target said no.
    #[error("failed to {step} on {target:?}: {reason}")]
    Target {
        /// What was being done.
        step: &'static str,
        /// The target's name.
        target: String,
        /// What the target said.
        reason: String,
    },
}

/// Proves, applies, undoes and watches one kind of change.
///
/// Every method may block (it talks to databases) and is called from the
/// engine's own threads, never from a request or an executor. [`Self::measure`]
/// may run while another thread calls one of the others. Applying and
/// reverting are idempotent: applying what is present and reverting what is
/// absent succeed and do nothing.
pub trait Actuator: Send + Sync {
    /// Returns the kinds of change that it carries out.
    fn kinds(&self) -> &[ChangeKind];

    /// Measures what the proposal would bring, without touching the live target.
    ///
    /// # Errors
    ///
    /// When it could not be measured. That is no verdict on the proposal.
    fn measure(&self, proposal: &Proposal) -> Result<MeasuredGain, ActuatorError>;

    /// Carries out a proven proposal on the live target.
    ///
    /// # Errors
    ///
    /// When it could not be carried out; then nothing is left of it, or
    /// [`Self::presence`] says that it is there.
    fn apply(&self, proven: &Proven) -> Result<(), ActuatorError>;

    /// Runs the inverse of a plan on the live target.
    ///
    /// # Errors
    ///
    /// When the inverse could not be run; it will be tried again.
    fn revert(&self, kind: ChangeKind, plan: &Plan) -> Result<(), ActuatorError>;

    /// Tells whether the change of a plan is in force on the live target.
    ///
    /// # Errors
    ///
    /// When the target could not be asked.
    fn presence(&self, kind: ChangeKind, plan: &Plan) -> Result<Presence, ActuatorError>;

    /// Reads what the statements in the plan's scope have cost so far.
    fn work(&self, plan: &Plan) -> Vec<WorkTotals>;
}
