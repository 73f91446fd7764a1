//! Proposals: what could change, written down with its inverse before anyone decides.

use crate::{ChangeKind, FindingId, MeasuredGain, ProposalId, Timestamp};

/// What to do, and how to undo it, in the language of the target (for a
/// database: SQL). An operator can read both, and a restarted engine can run
/// the inverse without knowing what proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The registered target to change (`main` database, a cache namespace).
    pub target: String,
    /// The change.
    pub forward: String,
    /// Its inverse.
    pub inverse: String,
    /// The object that the change brings into being (an index name): by it an
    /// interrupted change is recognized.
    pub object: String,
    /// What the change may make slower or faster (table names): the work on
    /// these is watched after it.
    pub scope: Vec<String>,
}

/// What the planner says that a proposal would bring. Estimated, never measured: it
/// ranks proposals and proves none.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Cost of the statements in scope as it is now, weighted by their calls.
    pub before: f64,
    /// Their cost with the change.
    pub after: f64,
    /// What the costs are counted in (`planner cost`).
    pub unit: String,
    /// What the change takes on disk, in bytes (negative: what it frees); `None` where not known.
    pub bytes: Option<i64>,
    /// How it was estimated, for people.
    pub method: String,
}

/// How well it is known what a proposal brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProofLevel {
    /// A rule says so.
    Rule,
    /// The planner says so, asked for its plan with the change.
    WhatIf,
    /// It was executed with and without the change, beside the live target.
    Executed,
    /// It is in force, and the live load was compared.
    Live,
}

impl ProofLevel {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::WhatIf => "what_if",
            Self::Executed => "executed",
            Self::Live => "live",
        }
    }
}

/// A change that could be made, not proven yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Stable: the same kind of change with the same plan keeps its identity.
    pub id: ProposalId,
    /// The finding that it answers; `None` when an operator asked for it.
    pub finding: Option<FindingId>,
    /// What kind of change it is.
    pub kind: ChangeKind,
    /// One line for people.
    pub summary: String,
    /// What to do and how to undo it.
    pub plan: Plan,
    /// What the planner expects of it; `None` where no planner was asked.
    pub estimate: Option<Estimate>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
}

impl Proposal {
    /// Derives the identity of a proposal.
    pub fn identity(kind: ChangeKind, plan: &Plan) -> ProposalId {
        ProposalId::derive(&[kind.as_str(), &plan.target, &plan.forward])
    }
}

/// How far a proposal has come.
#[derive(Debug, Clone, PartialEq)]
pub enum ProposalState {
    /// Waits for its proof.
    Proposed,
    /// Proven by measurement; waits for permission.
    Proven(MeasuredGain),
    /// Measured, and found not to help enough; the reason is for people.
    NotProven(String),
    /// A change was made of it.
    Applied,
    /// An operator said no.
    Dismissed,
}

impl ProposalState {
    /// What the reason begins with of a proposal that nobody could measure.
    const NOT_MEASURED: &str = "it could not be measured: ";

    /// Returns the state of a proposal that could not be measured, for the reason that is given.
    pub fn not_measured(why: impl std::fmt::Display) -> Self {
        Self::NotProven(format!("{}{why}", Self::NOT_MEASURED))
    }

    /// Returns whether it was run, with and without the change.
    fn was_executed(&self) -> bool {
        match self {
            Self::Proven(_) => true,
            Self::NotProven(reason) => !reason.starts_with(Self::NOT_MEASURED),
            _ => false,
        }
    }

    /// Returns the word used in JSON and tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Proven(_) => "proven",
            Self::NotProven(_) => "not_proven",
            Self::Applied => "applied",
            Self::Dismissed => "dismissed",
        }
    }
}

/// A proposal as the ledger keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposalRecord {
    /// The proposal.
    pub proposal: Proposal,
    /// How far it has come.
    pub state: ProposalState,
    /// When the state last changed.
    pub changed_at: Timestamp,
}

impl ProposalRecord {
    /// Returns how well it is known what the proposal brings. One that could not be measured is
    /// known as well as before.
    pub fn level(&self) -> ProofLevel {
        match &self.state {
            ProposalState::Applied => ProofLevel::Live,
            state if state.was_executed() => ProofLevel::Executed,
            _ if self.proposal.estimate.is_some() => ProofLevel::WhatIf,
            _ => ProofLevel::Rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: ProposalState, estimated: bool, expected: ProofLevel) {
        let plan = Plan {
            target: "shop".into(),
            forward: "a".into(),
            inverse: "b".into(),
            object: "c".into(),
            scope: Vec::new(),
        };
        let estimate =
            Estimate { before: 2.0, after: 1.0, unit: "u".into(), bytes: None, method: "m".into() };
        let kind = ChangeKind::IndexCreate;
        let proposal = Proposal {
            id: Proposal::identity(kind, &plan),
            finding: None,
            kind,
            summary: "s".into(),
            plan,
            estimate: estimated.then_some(estimate),
            proposed_at: Timestamp::default(),
        };
        let record = ProposalRecord { proposal, state, changed_at: Timestamp::default() };
        assert_eq!(record.level(), expected, "{:?}", record.state);
    }

    #[test]
    fn what_could_not_be_measured_is_known_as_well_as_before() {
        check(ProposalState::Proposed, true, ProofLevel::WhatIf);
        check(ProposalState::not_measured("no space"), true, ProofLevel::WhatIf);
        check(ProposalState::not_measured("no space"), false, ProofLevel::Rule);
        check(ProposalState::NotProven("the gain is too small".into()), true, ProofLevel::Executed);
        check(ProposalState::Applied, false, ProofLevel::Live);
        check(ProposalState::Dismissed, false, ProofLevel::Rule);
    }
}
