//! The control plane: the records that must never be lost once acknowledged.

use std::time::Duration;

use veritas_model::{
    AlertRule, AlertTransition, Change, ChangeId, ChangeState, Finding, ProposalId, ProposalRecord,
    Timestamp, WorkTotals,
};

use crate::StoreError;

pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// The `by` of a [`ChangeEvent`] that no person caused.
pub const ENGINE: &str = "veritas";

/// One step of a change, as the ledger journals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// The state entered.
    pub state: ChangeState,
    /// When it was journaled.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// Who caused it: a token's subject, `automatic`, or [`ENGINE`].
    pub by: String,
}

/// A token that is not accepted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedToken {
    /// The token's `jti`.
    pub jti: String,
    /// When it would have expired; the record is of no use after that.
    pub expires_at: Timestamp,
    /// Who revoked it.
    pub by: String,
    /// When it was revoked.
    pub revoked_at: Timestamp,
}

impl RevokedToken {
    /// How long after its expiry a token may still be accepted by a verifier:
    /// twice the largest leeway that verifiers may have.
    const LEEWAY: Duration = Duration::from_mins(2);

    /// Returns the time after which no verifier accepts the token anyway.
    fn useful_until(&self) -> Timestamp {
        self.expires_at.plus(Self::LEEWAY)
    }
}

/// Who did what to which thing, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a token's subject.
    pub subject: String,
    /// What was asked for (`approve`, `revert`, `revoke_token`).
    pub action: String,
    /// To which thing (an identity or a name).
    pub object: String,
    /// How it ended (`ok`, `conflict`, …).
    pub outcome: String,
}

/// How many rows each table keeps. Beyond, the oldest that nothing needs are
/// pruned, or, where every row is needed, the new one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Findings; the one not seen for the longest time goes first.
    pub findings: usize,
    /// Proposals; the oldest without a change go first, those with a change never.
    pub proposals: usize,
    /// Changes; the oldest that are reverted or failed go first, with their
    /// events and baseline. Kept and unsettled ones never go.
    pub changes: usize,
    /// Events of changes; the oldest go first, those of unsettled changes never.
    pub change_events: usize,
    /// Alert transitions; the oldest go first. The open ones are kept apart and never go.
    pub alert_transitions: usize,
    /// Audit entries; the oldest go first.
    pub audit: usize,
    /// Rules; one more is refused.
    pub rules: usize,
    /// Revoked tokens that have not expired; one more is refused.
    pub revoked_tokens: usize,
    /// Notes; one more is refused.
    pub notes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            findings: 10_000,
            proposals: 10_000,
            changes: 10_000,
            change_events: 50_000,
            alert_transitions: 10_000,
            audit: 50_000,
            rules: 1_000,
            revoked_tokens: 100_000,
            notes: 1_000,
        }
    }
}

/// Keeps findings, proposals, the ledger, alerts, rules, tokens and the audit
/// trail. What is acknowledged (`Ok`) is durable, or as durable as the
/// implementation can be; an `Err` leaves nothing behind.
///
/// Every call may block on the disk (a durable write takes about 0.2 ms on an
/// idle local disk, 5 ms on a busy one): it belongs on the engine's threads or a blocking pool, never
/// on an executor.
///
/// # Errors
///
/// Every method returns the [`StoreError`] of the step that failed; the
/// methods list only what is particular to them.
#[expect(clippy::missing_errors_doc, reason = "they are the same for all and stand on the trait")]
pub trait ControlPlane: Send + Sync {
    /// Stores a finding, in place of the one with the same identity.
    fn put_finding(&self, finding: &Finding) -> Result<(), StoreError>;

    /// Returns the findings, most recently seen first.
    fn findings(&self) -> Result<Vec<Finding>, StoreError>;

    /// Stores a proposal, in place of the one with the same identity.
    fn put_proposal(&self, record: &ProposalRecord) -> Result<(), StoreError>;

    /// Returns the proposals, newest first.
    fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError>;

    /// Returns one proposal.
    fn proposal(&self, id: &ProposalId) -> Result<Option<ProposalRecord>, StoreError>;

    /// Stores a change, in place of the one with the same identity, and
    /// journals its state as an event of [`ENGINE`], in one transaction. A
    /// state and reason that the change already had is no new event.
    ///
    /// [`StoreError::NotFound`] when its proposal is not stored,
    /// [`StoreError::Conflict`] when the proposal has another change that is
    /// unsettled or kept.
    fn put_change(&self, change: &Change) -> Result<(), StoreError> {
        self.put_change_by(change, ENGINE)
    }

    /// Does what [`Self::put_change`] does for the change that `by` caused (an
    /// operator's revert).
    fn put_change_by(&self, change: &Change, by: &str) -> Result<(), StoreError>;

    /// Journals a new change in the state `Applying`, by its `approved_by`, and
    /// marks its proposal `Applied`, in one transaction: of two permissions
    /// given at the same time one wins.
    ///
    /// [`StoreError::Conflict`] when the proposal was dismissed or has a change
    /// that is unsettled or kept, when a change of this identity exists, or
    /// when the change is not `Applying`; [`StoreError::NotFound`] when the
    /// proposal is not stored.
    fn begin_change(&self, change: &Change) -> Result<(), StoreError>;

    /// Returns the changes, newest permission first.
    fn changes(&self) -> Result<Vec<Change>, StoreError>;

    /// Returns one change.
    fn change(&self, id: &ChangeId) -> Result<Option<Change>, StoreError>;

    /// Returns what happened to a change, oldest first.
    fn change_events(&self, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError>;

    /// Stores the work that was read before a change was applied, so that its
    /// verification goes on after a restart. [`StoreError::NotFound`] when the
    /// change is not stored.
    fn put_baseline(&self, id: &ChangeId, work: &[WorkTotals]) -> Result<(), StoreError>;

    /// Returns the baseline of a change, `None` when none was stored.
    fn baseline(&self, id: &ChangeId) -> Result<Option<Vec<WorkTotals>>, StoreError>;

    /// Stores what a part of the engine wants to know after a restart, in place of what it
    /// stored before under this `key`. The part sees to it that its text is bounded.
    ///
    /// [`StoreError::LimitReached`] when there are [`Limits::notes`] others.
    fn put_note(&self, key: &str, text: &str) -> Result<(), StoreError>;

    /// Returns what was stored under a key, `None` when nothing was.
    fn note(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Appends a transition to the alert history and makes it the rule's
    /// present state, in one transaction.
    fn record_transition(&self, transition: &AlertTransition) -> Result<(), StoreError>;

    /// Forgets that a rule is pending, history included: a pending alert that
    /// never fired leaves no trace. Does nothing when the rule is not pending.
    fn forget_pending(&self, rule: &str) -> Result<(), StoreError>;

    /// Returns the newest `limit` transitions, newest first.
    fn alert_history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError>;

    /// Returns the latest transition of each rule that is pending or firing, by rule.
    fn open_alerts(&self) -> Result<Vec<AlertTransition>, StoreError>;

    /// Stores a rule, in place of the one of the same name.
    fn put_rule(&self, rule: &AlertRule) -> Result<(), StoreError>;

    /// Removes a rule; does nothing when there is none.
    fn remove_rule(&self, name: &str) -> Result<(), StoreError>;

    /// Returns the rules, by name.
    fn rules(&self) -> Result<Vec<AlertRule>, StoreError>;

    /// Revokes a token until it has expired. Revoking again may put that off, and
    /// changes nothing else.
    fn revoke_token(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError>;

    /// Returns the revoked tokens, by `jti`. Some may have expired already.
    fn revoked_tokens(&self) -> Result<Vec<RevokedToken>, StoreError>;

    /// Appends an entry to the audit trail.
    fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Returns the newest `limit` audit entries, newest first.
    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError>;
}

/// Returns whether a change in this state keeps its proposal from being applied again.
const fn holds_its_proposal(state: ChangeState) -> bool {
    !matches!(state, ChangeState::Reverted | ChangeState::Failed)
}
