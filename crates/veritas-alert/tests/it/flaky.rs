//! A control plane whose writes of alerts and rules can be made to fail, and
//! what the tests share around it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use veritas_alert::Alerts;
use veritas_model::{
    AlertRule, AlertStatus, AlertTransition, Change, ChangeId, Comparison, Finding, ProposalId,
    ProposalRecord, Severity, Timestamp, WorkTotals,
};
use veritas_store::{AuditEntry, ChangeEvent, ControlPlane, MemoryControlPlane, RevokedToken, StoreError};
use veritas_testkit::VirtualClock;

/// The memory's control plane, until it is told to fail.
pub(crate) struct Flaky {
    inner: MemoryControlPlane,
    fails: AtomicBool,
}

impl Flaky {
    pub(crate) fn new() -> Arc<Self> {
        let inner = MemoryControlPlane::new(Arc::new(VirtualClock::new()));
        Arc::new(Self { inner, fails: AtomicBool::new(false) })
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            let source = Box::new(io::Error::from(io::ErrorKind::StorageFull));
            return Err(StoreError::Full { step: "record a transition", source });
        }
        Ok(())
    }
}

impl ControlPlane for Flaky {
    fn record_transition(&self, transition: &AlertTransition) -> Result<(), StoreError> {
        self.check()?;
        self.inner.record_transition(transition)
    }

    fn forget_pending(&self, rule: &str) -> Result<(), StoreError> {
        self.check()?;
        self.inner.forget_pending(rule)
    }

    fn put_rule(&self, rule: &AlertRule) -> Result<(), StoreError> {
        self.check()?;
        self.inner.put_rule(rule)
    }

    fn remove_rule(&self, name: &str) -> Result<(), StoreError> {
        self.check()?;
        self.inner.remove_rule(name)
    }

    fn rules(&self) -> Result<Vec<AlertRule>, StoreError> {
        self.inner.rules()
    }

    fn alert_history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError> {
        self.inner.alert_history(limit)
    }

    fn open_alerts(&self) -> Result<Vec<AlertTransition>, StoreError> {
        self.inner.open_alerts()
    }

    fn put_note(&self, key: &str, text: &str) -> Result<(), StoreError> {
        self.inner.put_note(key, text)
    }

    fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner.note(key)
    }

    fn put_finding(&self, finding: &Finding) -> Result<(), StoreError> {
        self.inner.put_finding(finding)
    }

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        self.inner.findings()
    }

    fn put_proposal(&self, record: &ProposalRecord) -> Result<(), StoreError> {
        self.inner.put_proposal(record)
    }

    fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError> {
        self.inner.proposals()
    }

    fn proposal(&self, id: &ProposalId) -> Result<Option<ProposalRecord>, StoreError> {
        self.inner.proposal(id)
    }

    fn put_change_by(&self, change: &Change, by: &str) -> Result<(), StoreError> {
        self.inner.put_change_by(change, by)
    }

    fn begin_change(&self, change: &Change) -> Result<(), StoreError> {
        self.inner.begin_change(change)
    }

    fn changes(&self) -> Result<Vec<Change>, StoreError> {
        self.inner.changes()
    }

    fn change(&self, id: &ChangeId) -> Result<Option<Change>, StoreError> {
        self.inner.change(id)
    }

    fn change_events(&self, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError> {
        self.inner.change_events(id)
    }

    fn put_baseline(&self, id: &ChangeId, work: &[WorkTotals]) -> Result<(), StoreError> {
        self.inner.put_baseline(id, work)
    }

    fn baseline(&self, id: &ChangeId) -> Result<Option<Vec<WorkTotals>>, StoreError> {
        self.inner.baseline(id)
    }

    fn revoke_token(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError> {
        self.inner.revoke_token(jti, expires_at, by)
    }

    fn revoked_tokens(&self) -> Result<Vec<RevokedToken>, StoreError> {
        self.inner.revoked_tokens()
    }

    fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.inner.append_audit(entry)
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.inner.audit(limit)
    }
}

/// The time of a tick: one a second.
pub(crate) fn second(tick: usize) -> Timestamp {
    let tick = u64::try_from(tick).expect("few ticks");
    Timestamp::from_seconds(1_672_531_200.0).plus(Duration::from_secs(tick))
}

/// A rule on the series `load`, above 80.
pub(crate) fn rule(hold: u64) -> AlertRule {
    AlertRule {
        name: "busy".into(),
        series: "load".into(),
        comparison: Comparison::Above,
        threshold: 80.0,
        clear: None,
        hold: Duration::from_secs(hold),
        keep_firing_for: Duration::ZERO,
        severity: Severity::Warning,
        title: "Busy".into(),
    }
}

pub(crate) fn load(control: &Arc<Flaky>, rule: &AlertRule) -> Alerts {
    Alerts::load(Arc::clone(control) as Arc<dyn ControlPlane>, vec![rule.clone()]).expect("loaded")
}

pub(crate) fn tick(alerts: &Alerts, tick: usize, value: Option<f64>) -> Vec<AlertTransition> {
    alerts.evaluate(second(tick), &|_series| value, &|_rule| Some("process 42 stress".into()))
}

pub(crate) fn statuses(transitions: &[AlertTransition]) -> Vec<(Timestamp, AlertStatus)> {
    transitions.iter().map(|transition| (transition.at, transition.status)).collect()
}
