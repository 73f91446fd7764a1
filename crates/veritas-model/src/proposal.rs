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
