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
    /// Returns how well it is known what the proposal brings.
    pub const fn level(&self) -> ProofLevel {
        match &self.state {
            ProposalState::Applied => ProofLevel::Live,
            ProposalState::Proven(_) | ProposalState::NotProven(_) => ProofLevel::Executed,
            ProposalState::Proposed | ProposalState::Dismissed => {
                if self.proposal.estimate.is_some() {
                    ProofLevel::WhatIf
                } else {
                    ProofLevel::Rule
                }
            }
        }
    }
}
