//! Errors of the optimizer, one type for each operation.

use veritas_model::{ChangeId, ChangeKind, ChangeState, NotProven, ProposalId};
use veritas_store::StoreError;

/// Why a step, a recovery or an observation could not be finished. Nothing is lost:
/// the next call goes on where this one stopped.
#[derive(Debug, thiserror::Error)]
#[error("failed to {step}")]
pub struct OptimizeError {
    /// What was being done.
    pub step: &'static str,
    /// What the control plane said.
    #[source]
    pub source: StoreError,
}

/// Why a proposal was not approved. Nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    UnknownProposal(ProposalId),
    /// The mode of its kind does not allow any change.
    #[error("changes of the kind {} are only reported: set its mode to approve or automatic", .kind.as_str())]
    ReportOnly {
        /// The kind.
        kind: ChangeKind,
    },
    /// It is not proven (yet, or at all).
    #[error("the proposal is {state}, only a proven one can be approved")]
    NotProvenYet {
        /// The word of its state.
        state: &'static str,
    },
    /// The stored measurement does not prove it any more.
    #[error("the stored measurement is no proof")]
    NotProven(#[source] NotProven),
    /// Someone else approved it first, or a change of it is in force.
    #[error("a change of this proposal is under way or in force")]
    Taken {
        /// What the control plane said.
        source: StoreError,
    },
    /// The ledger could not be written.
    #[error("failed to journal the change")]
    Store {
        /// What the control plane said.
        source: StoreError,
    },
}

/// Why a proposal was not dismissed.
#[derive(Debug, thiserror::Error)]
pub enum DismissError {
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    UnknownProposal(ProposalId),
    /// A change was made of it: that is for a revert.
    #[error("a change was made of the proposal: revert the change instead")]
    Applied,
    /// The ledger could not be read or written.
    #[error("failed to store the proposal")]
    Store {
        /// What the control plane said.
        source: StoreError,
    },
}

/// Why a change is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// There is no such change.
    #[error("there is no change {0}")]
    UnknownChange(ChangeId),
    /// It is being applied right now; it can be taken back as soon as it is.
    #[error("the change is being applied, try again in a moment")]
    BeingApplied,
    /// There is nothing to take back.
    #[error("the change is {} already", .state.as_str())]
    NotInForce {
        /// Where it stands.
        state: ChangeState,
    },
    /// The ledger could not be read or written.
    #[error("failed to journal the revert")]
    Store {
        /// What the control plane said.
        source: StoreError,
    },
}
