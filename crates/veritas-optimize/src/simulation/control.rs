//! A control plane whose process can be killed between any two of its calls.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use veritas_model::{
    AlertRule, AlertTransition, Change, ChangeId, Finding, ProposalId, ProposalRecord, Timestamp, WorkTotals,
};
use veritas_statistics::Rng;
use veritas_store::{AuditEntry, ChangeEvent, ControlPlane, MemoryControlPlane, RevokedToken, StoreError};

/// Whether the simulated process lives. A dead one can neither write nor act.
#[derive(Debug, Default)]
pub(super) struct Life {
    dead: AtomicBool,
}

impl Life {
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(super) fn revive(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }
}

/// Passes calls on to what is durable, until the process dies: before the call, or after
/// it was made durable and before anyone heard of it. Some calls fail as on a full disk.
#[derive(Debug)]
pub(super) struct MortalControl {
    durable: Arc<MemoryControlPlane>,
    life: Arc<Life>,
    faults: AtomicU32,
    dice: Mutex<Dice>,
}

#[derive(Debug)]
struct Dice {
    rng: Rng,
    crash: f64,
    full: f64,
}

impl MortalControl {
    pub(super) fn new(durable: Arc<MemoryControlPlane>, life: Arc<Life>, seed: u64) -> Self {
        let dice = Mutex::new(Dice { rng: Rng::new(seed), crash: 0.0, full: 0.0 });
        Self { durable, life, faults: AtomicU32::new(0), dice }
    }

    pub(super) fn set_chances(&self, crash: f64, full: f64) {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        (dice.crash, dice.full) = (crash, full);
    }

    pub(super) fn faults(&self) -> u32 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Reads are not where crashes matter: they fail only in a dead process.
    fn read<T>(
        &self,
        call: impl FnOnce(&MemoryControlPlane) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.life.is_dead() { Err(gone()) } else { call(&self.durable) }
    }

    fn write<T>(
        &self,
        call: impl FnOnce(&MemoryControlPlane) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.life.is_dead() {
            return Err(gone());
        }
        let (dies, before, full) = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            let (crash, full) = (dice.crash, dice.full);
            (dice.rng.next_f64() < crash, dice.rng.next_f64() < 0.5, dice.rng.next_f64() < full)
        };
        if dies || full {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        if dies {
            let durable = if before { Ok(()) } else { call(&self.durable).map(drop) };
            self.life.end();
            return durable.and(Err(gone()));
        }
        if full {
            return Err(StoreError::Full { step: "write", source: "simulated".into() });
        }
        call(&self.durable)
    }
}

fn gone() -> StoreError {
    StoreError::Io { step: "live on", source: "the process was killed".into() }
}

impl ControlPlane for MortalControl {
    fn put_finding(&self, finding: &Finding) -> Result<(), StoreError> {
        self.write(|control| control.put_finding(finding))
    }

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        self.read(MemoryControlPlane::findings)
    }

    fn put_proposal(&self, record: &ProposalRecord) -> Result<(), StoreError> {
        self.write(|control| control.put_proposal(record))
    }

    fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError> {
        self.read(MemoryControlPlane::proposals)
    }

    fn proposal(&self, id: &ProposalId) -> Result<Option<ProposalRecord>, StoreError> {
        self.read(|control| control.proposal(id))
    }

    fn put_change_by(&self, change: &Change, by: &str) -> Result<(), StoreError> {
        self.write(|control| control.put_change_by(change, by))
    }

    fn begin_change(&self, change: &Change) -> Result<(), StoreError> {
        self.write(|control| control.begin_change(change))
    }

    fn changes(&self) -> Result<Vec<Change>, StoreError> {
        self.read(MemoryControlPlane::changes)
    }

    fn change(&self, id: &ChangeId) -> Result<Option<Change>, StoreError> {
        self.read(|control| control.change(id))
    }

    fn change_events(&self, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError> {
        self.read(|control| control.change_events(id))
    }

    fn put_baseline(&self, id: &ChangeId, work: &[WorkTotals]) -> Result<(), StoreError> {
        self.write(|control| control.put_baseline(id, work))
    }

    fn baseline(&self, id: &ChangeId) -> Result<Option<Vec<WorkTotals>>, StoreError> {
        self.read(|control| control.baseline(id))
    }

    fn put_note(&self, key: &str, text: &str) -> Result<(), StoreError> {
        self.write(|control| control.put_note(key, text))
    }

    fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read(|control| control.note(key))
    }

    fn record_transition(&self, transition: &AlertTransition) -> Result<(), StoreError> {
        self.write(|control| control.record_transition(transition))
    }

    fn forget_pending(&self, rule: &str) -> Result<(), StoreError> {
        self.write(|control| control.forget_pending(rule))
    }

    fn alert_history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError> {
        self.read(|control| control.alert_history(limit))
    }

    fn open_alerts(&self) -> Result<Vec<AlertTransition>, StoreError> {
        self.read(MemoryControlPlane::open_alerts)
    }

    fn put_rule(&self, rule: &AlertRule) -> Result<(), StoreError> {
        self.write(|control| control.put_rule(rule))
    }

    fn remove_rule(&self, name: &str) -> Result<(), StoreError> {
        self.write(|control| control.remove_rule(name))
    }

    fn rules(&self) -> Result<Vec<AlertRule>, StoreError> {
        self.read(MemoryControlPlane::rules)
    }

    fn revoke_token(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError> {
        self.write(|control| control.revoke_token(jti, expires_at, by))
    }

    fn revoked_tokens(&self) -> Result<Vec<RevokedToken>, StoreError> {
        self.read(MemoryControlPlane::revoked_tokens)
    }

    fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.write(|control| control.append_audit(entry))
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(|control| control.audit(limit))
    }
}
