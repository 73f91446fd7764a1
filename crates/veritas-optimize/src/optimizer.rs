//! The optimizer: what it offers to the API and to operators.

mod applying;
mod proving;
mod reverting;
mod stepping;
mod watching;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use veritas_model::{
    Actuator, ActuatorError, Change, ChangeId, ChangeKind, ChangeState, Clock, Finding, Health, KindGroup,
    Mode, Monotonic, Plan, Proposal, ProposalId, ProposalRecord, ProposalState, Proven,
};
use veritas_store::{ControlPlane, StoreError};

use crate::{
    ApproveError, DismissError, Improvements, OptimizeError, OptimizerOptions, RevertError, Trouble,
    backoff::Backoff,
    baseline::{Baseline, Ring},
    watch::Watch,
};

/// Who permitted a change that the mode of its kind permits.
pub const AUTOMATIC: &str = "automatic";

/// Leads proposals to changes and watches over them; see the crate's page.
///
/// All methods take `&self` and may be called from any thread. Those that operators
/// use ([`Self::approve`], [`Self::revert`], [`Self::dismiss`], the lists) only read and
/// write the control plane; they never wait for an actuator. The acts themselves are
/// done by [`Self::step`] and [`Self::prove`].
pub struct Optimizer {
    control: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    options: OptimizerOptions,
    health: Option<Arc<Health>>,
    actuators: RwLock<Vec<Arc<dyn Actuator>>>,
    modes: RwLock<BTreeMap<ChangeKind, Mode>>,
    /// Held around every read-decide-write of the ledger, never around an act: an
    /// operator does not wait for a database.
    ledger: Mutex<Permitted>,
    /// Held by the one that steps.
    working: Mutex<Working>,
    /// Held by the one that proves. Apart from `working`: a measurement takes long, and
    /// a change that does harm is taken back meanwhile.
    proving: Mutex<()>,
    backoff: Mutex<Backoff>,
}

/// The changes that were permitted in this process and are not applied yet. Any other
/// change that the ledger shows as `Applying` was interrupted.
type Permitted = BTreeMap<ChangeId, Permit>;

/// The permission to apply one change.
#[derive(Clone)]
struct Permit {
    proven: Proven,
    /// Whether it is being applied: from then on it can't be withdrawn.
    is_begun: bool,
}

/// What the stepping thread remembers from one step to the next.
#[derive(Default)]
struct Working {
    rings: BTreeMap<ProposalId, Ring>,
    /// Since when permitted changes wait for a load that they can be compared by.
    waiting: BTreeMap<ChangeId, Monotonic>,
    /// Baselines of changes that are applied and not yet journaled as such.
    applied: BTreeMap<ChangeId, Baseline>,
    watches: BTreeMap<ChangeId, Watch>,
}

impl Optimizer {
    /// Creates an optimizer. Register the actuators, then call [`Self::recover`].
    pub fn new(control: Arc<dyn ControlPlane>, clock: Arc<dyn Clock>, options: OptimizerOptions) -> Self {
        Self {
            control,
            clock,
            health: None,
            actuators: RwLock::default(),
            modes: RwLock::new(options.modes.clone()),
            ledger: Mutex::default(),
            working: Mutex::default(),
            proving: Mutex::default(),
            backoff: Mutex::new(Backoff::new(options.first_retry, options.longest_retry)),
            options,
        }
    }

    /// Shows in `health`, as the part `optimizer`, when a change cannot be taken back.
    #[must_use]
    pub fn with_health(mut self, health: Arc<Health>) -> Self {
        self.health = Some(health);
        self
    }

    /// Adds an actuator. Of several for one kind, the one that knows the target acts.
    pub fn register(&self, actuator: Arc<dyn Actuator>) {
        self.actuators.write().unwrap_or_else(PoisonError::into_inner).push(actuator);
    }

    /// Returns what may be done with proven proposals of a kind.
    pub fn mode(&self, kind: ChangeKind) -> Mode {
        self.modes.read().unwrap_or_else(PoisonError::into_inner).get(&kind).copied().unwrap_or_default()
    }

    /// Sets what may be done with proven proposals of a kind, until the process ends. A
    /// change that was permitted and is not applied yet is not applied under `ReportOnly`.
    pub fn set_mode(&self, kind: ChangeKind, mode: Mode) {
        self.modes.write().unwrap_or_else(PoisonError::into_inner).insert(kind, mode);
        tracing::info!(kind = kind.as_str(), mode = mode.as_str(), "the mode of a kind of change was set");
    }

    /// Returns the findings, most recently seen first.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        self.control.findings()
    }

    /// Returns the proposals, newest first.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read.
    pub fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError> {
        self.control.proposals()
    }

    /// Returns the changes, newest first.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, StoreError> {
        self.control.changes()
    }

    /// Sums up what the kept changes brought.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be read.
    pub fn improvements(&self) -> Result<Improvements, StoreError> {
        Ok(Improvements::of(&self.control.changes()?))
    }

    /// Returns what fails at present and is tried again.
    pub fn troubles(&self) -> Vec<Trouble> {
        locked(&self.backoff).troubles()
    }

    /// Permits a proven proposal. The change is journaled before this returns and is
    /// applied by the next step; it waits while another change in its scope is watched,
    /// since the load could not tell the two apart, and until its load ran often enough to
    /// be compared, six times the watch window at most.
    ///
    /// # Errors
    ///
    /// When it is unknown, not proven, or already approved, when changes of its kind
    /// are only reported, or when the ledger cannot be written.
    pub fn approve(&self, id: &ProposalId, by: &str) -> Result<Change, ApproveError> {
        self.begin(id, by, &format!("approved by {by}"))
    }

    /// Says no to a proposal that no change was made of.
    ///
    /// # Errors
    ///
    /// When it is unknown or applied, or when the ledger cannot be written.
    pub fn dismiss(&self, id: &ProposalId, by: &str) -> Result<ProposalRecord, DismissError> {
        let _ledger = locked(&self.ledger);
        let record = self.control.proposal(id).map_err(|source| DismissError::Store { source })?;
        let mut record = record.ok_or_else(|| DismissError::UnknownProposal(id.clone()))?;
        match record.state {
            ProposalState::Applied => return Err(DismissError::Applied),
            ProposalState::Dismissed => return Ok(record),
            _ => {}
        }
        record.state = ProposalState::Dismissed;
        record.changed_at = self.clock.now();
        self.control.put_proposal(&record).map_err(|source| DismissError::Store { source })?;
        self.succeeded(id.as_str()); // what failed to be measured is not tried again
        tracing::info!(proposal = id.as_str(), by, "a proposal was dismissed");
        Ok(record)
    }

    /// Takes a change back. The revert is journaled before this returns and is run by
    /// the next step. Asking again changes nothing. One that still waits to be applied is
    /// [`ChangeState::Reverted`] at once.
    ///
    /// # Errors
    ///
    /// When it is unknown, being applied, or not in force, or when the ledger cannot be
    /// written.
    pub fn revert(&self, id: &ChangeId, by: &str, reason: &str) -> Result<Change, RevertError> {
        let mut permitted = locked(&self.ledger);
        let change = self.control.change(id).map_err(|source| RevertError::Store { source })?;
        let mut change = change.ok_or_else(|| RevertError::UnknownChange(id.clone()))?;
        match change.state {
            ChangeState::Verifying | ChangeState::Kept => {}
            ChangeState::Reverting => return Ok(change),
            ChangeState::Applying if permitted.get(id).is_some_and(|permit| !permit.is_begun) => {
                change.state = ChangeState::Reverted;
                change.settled_at = Some(self.clock.now());
                change.reason = format!("withdrawn by {by} before it was applied{}", because(reason));
                self.control.put_change_by(&change, by).map_err(|source| RevertError::Store { source })?;
                permitted.remove(id);
                tracing::info!(change = id.as_str(), by, "a permission was withdrawn");
                return Ok(change);
            }
            ChangeState::Applying => return Err(RevertError::BeingApplied),
            state @ (ChangeState::Reverted | ChangeState::Failed) => {
                return Err(RevertError::NotInForce { state });
            }
        }
        change.state = ChangeState::Reverting;
        change.settled_at = None;
        change.reason = if reason.is_empty() { format!("taken back by {by}") } else { reason.to_owned() };
        self.control.put_change_by(&change, by).map_err(|source| RevertError::Store { source })?;
        tracing::info!(change = id.as_str(), by, "a change is to be taken back");
        Ok(change)
    }

    /// Journals a change of a proven proposal and remembers that it may be applied.
    fn begin(&self, id: &ProposalId, by: &str, reason: &str) -> Result<Change, ApproveError> {
        let mut permitted = locked(&self.ledger);
        let record = self.control.proposal(id).map_err(|source| ApproveError::Store { source })?;
        let record = record.ok_or_else(|| ApproveError::UnknownProposal(id.clone()))?;
        let kind = record.proposal.kind;
        if self.mode(kind) == Mode::ReportOnly {
            return Err(ApproveError::ReportOnly { kind });
        }
        let ProposalState::Proven(gain) = record.state else {
            return Err(ApproveError::NotProvenYet { state: record.state.as_str() });
        };
        let proven =
            record.proposal.prove(gain, self.options.proof_alpha).map_err(ApproveError::NotProven)?;
        let at = self.clock.now();
        let proposal = proven.proposal();
        let change = Change {
            id: ChangeId::derive(&[proposal.id.as_str(), &at.nanos().to_string()]),
            proposal: proposal.id.clone(),
            kind,
            summary: proposal.summary.clone(),
            plan: proposal.plan.clone(),
            state: ChangeState::Applying,
            approved_by: by.to_owned(),
            approved_at: at,
            applied_at: None,
            settled_at: None,
            predicted: proven.gain().clone(),
            live: None,
            reason: reason.to_owned(),
        };
        self.control.begin_change(&change).map_err(|source| match source {
            StoreError::Conflict { .. } => ApproveError::Taken { source },
            source => ApproveError::Store { source },
        })?;
        permitted.insert(change.id.clone(), Permit { proven, is_begun: false });
        tracing::info!(change = change.id.as_str(), by, "a change was permitted");
        Ok(change)
    }

    /// Journals that a change enters another state, unless someone else moved it out of
    /// `expected` first; then `None`.
    fn enter(
        &self,
        id: &ChangeId,
        expected: ChangeState,
        edit: impl FnOnce(&mut Change),
    ) -> Result<Option<Change>, OptimizeError> {
        let mut permitted = locked(&self.ledger);
        let change = self.control.change(id).map_err(failed("read the change"))?;
        let Some(mut change) = change.filter(|change| change.state == expected) else { return Ok(None) };
        edit(&mut change);
        self.control.put_change(&change).map_err(failed("journal the change"))?;
        if change.state != ChangeState::Applying {
            permitted.remove(id);
        }
        if change.state != expected {
            tracing::info!(
                change = id.as_str(),
                state = change.state.as_str(),
                reason = change.reason,
                "a change entered a state"
            );
        }
        Ok(Some(change))
    }

    /// Returns the actuator that carries out a plan.
    fn actuator(&self, kind: ChangeKind, plan: &Plan) -> Result<Arc<dyn Actuator>, ActuatorError> {
        let actuators = self.actuators.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut able: Vec<_> =
            actuators.into_iter().filter(|actuator| actuator.kinds().contains(&kind)).collect();
        if able.len() > 1 {
            able.retain(|actuator| {
                !matches!(actuator.presence(kind, plan), Err(ActuatorError::UnknownTarget { .. }))
            });
        }
        able.pop().ok_or_else(|| ActuatorError::UnknownTarget { target: plan.target.clone() })
    }

    fn trouble(&self, subject: &str, step: &'static str, error: &ActuatorError) -> u32 {
        if matches!(error, ActuatorError::SwitchedOff { .. }) {
            tracing::debug!(subject, step, error = %error, "an act waits for a setting");
        } else {
            tracing::warn!(subject, step, error = %error, "an act failed and will be tried again");
        }
        let (now, at) = (self.clock.monotonic(), self.clock.now());
        locked(&self.backoff).failed(subject, step, error.to_string(), now, at)
    }

    fn is_due(&self, subject: &str) -> bool {
        locked(&self.backoff).is_due(subject, self.clock.monotonic())
    }

    fn succeeded(&self, subject: &str) {
        locked(&self.backoff).succeeded(subject);
    }
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Optimizer").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Returns whether the load in one plan's scope tells something about the other's. What a
/// scope names lies in the plan's target; but namespaces of caches lie beside each other,
/// and a change to one may take bytes from another.
fn overlap((kind, one): (ChangeKind, &Plan), (other_kind, other): (ChangeKind, &Plan)) -> bool {
    let are_caches = [kind, other_kind].iter().all(|kind| kind.group() == KindGroup::Caching);
    (are_caches || one.target == other.target)
        && (one.scope.is_empty()
            || other.scope.is_empty()
            || one.scope.iter().any(|table| other.scope.contains(table)))
}

/// Returns whether this record's proposal may still become a change.
fn is_open(record: &ProposalRecord) -> bool {
    matches!(record.state, ProposalState::Proposed | ProposalState::Proven(_))
}

fn proposal_record(proposal: Proposal, state: ProposalState, clock: &dyn Clock) -> ProposalRecord {
    ProposalRecord { proposal, state, changed_at: clock.now() }
}

fn failed(step: &'static str) -> impl FnOnce(StoreError) -> OptimizeError {
    move |source| OptimizeError { step, source }
}

/// Continues a sentence with the reason that an operator gave, if any.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_overlap(one: (ChangeKind, &str, &[&str]), other: (ChangeKind, &str, &[&str]), expected: bool) {
        let plan = |(_, target, scope): (ChangeKind, &str, &[&str])| Plan {
            target: target.to_owned(),
            forward: String::new(),
            inverse: String::new(),
            object: String::new(),
            scope: scope.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(overlap((one.0, &plan(one)), (other.0, &plan(other))), expected, "{one:?} {other:?}");
        assert_eq!(overlap((other.0, &plan(other)), (one.0, &plan(one))), expected, "{other:?} {one:?}");
    }

    #[test]
    fn changes_overlap_where_the_load_cannot_tell_them_apart() {
        let index = ChangeKind::IndexCreate;
        check_overlap((index, "shop.db", &["orders"]), (index, "shop.db", &["orders", "users"]), true);
        check_overlap((index, "shop.db", &["orders"]), (index, "shop.db", &["users"]), false);
        check_overlap((index, "shop.db", &["orders"]), (index, "other.db", &["orders"]), false);
        let (capacity, ttl) = (ChangeKind::CacheCapacity, ChangeKind::CacheTtl);
        check_overlap((capacity, "users", &["users"]), (ttl, "users", &["users"]), true);
        check_overlap((capacity, "users", &["users"]), (ttl, "prices", &["prices"]), false);
        // The bytes of the one come from the other.
        check_overlap((capacity, "users", &["users", "prices"]), (ttl, "prices", &["prices"]), true);
        check_overlap((index, "users", &["prices"]), (ttl, "prices", &["prices"]), false);
    }
}
