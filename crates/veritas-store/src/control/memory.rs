//! The control plane in memory: for engines that own no data directory, and for tests.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use veritas_model::{
    AlertRule, AlertStatus, AlertTransition, Change, ChangeId, ChangeState, Clock, Finding, FindingId,
    ProposalId, ProposalRecord, ProposalState, Timestamp, WorkTotals,
};

use super::{AuditEntry, ChangeEvent, ControlPlane, Limits, RevokedToken, holds_its_proposal};
use crate::StoreError;

/// A control plane that lasts as long as the process. It obeys the same rules
/// and limits as the durable one; both pass one conformance suite.
#[derive(Debug)]
pub struct MemoryControlPlane {
    clock: Arc<dyn Clock>,
    limits: Limits,
    // A std mutex: held for map operations only, never across a wait.
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    findings: BTreeMap<FindingId, Finding>,
    proposals: BTreeMap<ProposalId, ProposalRecord>,
    changes: BTreeMap<ChangeId, Change>,
    events: VecDeque<(ChangeId, ChangeEvent)>,
    baselines: BTreeMap<ChangeId, Vec<WorkTotals>>,
    alert_history: VecDeque<(u64, AlertTransition)>,
    alert_states: BTreeMap<String, (u64, AlertTransition)>,
    transitions: u64,
    rules: BTreeMap<String, AlertRule>,
    revoked_tokens: BTreeMap<String, RevokedToken>,
    notes: BTreeMap<String, String>,
    audit: VecDeque<AuditEntry>,
}

impl MemoryControlPlane {
    /// Starts an empty control plane with the default [`Limits`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(clock, Limits::default())
    }

    /// Starts an empty control plane.
    pub fn with_limits(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { clock, limits, tables: Mutex::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a change whose preconditions hold, with its event.
    fn store_change(&self, tables: &mut Tables, change: &Change, by: &str) {
        let known = tables.changes.insert(change.id.clone(), change.clone());
        if known.is_none_or(|known| known.state != change.state || known.reason != change.reason) {
            let event = ChangeEvent {
                state: change.state,
                at: self.clock.now(),
                reason: change.reason.clone(),
                by: by.to_owned(),
            };
            tables.events.push_back((change.id.clone(), event));
        }
        tables.prune_changes(&self.limits);
    }
}

impl Tables {
    fn check_change(&self, change: &Change) -> Result<(), StoreError> {
        if !self.proposals.contains_key(&change.proposal) {
            return Err(StoreError::NotFound { what: "proposal", id: change.proposal.to_string() });
        }
        let other = self.changes.values().find(|other| {
            other.proposal == change.proposal && other.id != change.id && holds_its_proposal(other.state)
        });
        match other {
            Some(other) if holds_its_proposal(change.state) => Err(StoreError::Conflict {
                reason: format!(
                    "proposal {} has the {} change {}",
                    change.proposal,
                    other.state.as_str(),
                    other.id
                ),
            }),
            _ => Ok(()),
        }
    }

    fn prune_findings(&mut self, limit: usize) {
        while self.findings.len() > limit {
            let oldest = self.findings.values().min_by_key(|finding| (finding.seen_at, &finding.id));
            let Some(id) = oldest.map(|finding| finding.id.clone()) else { return };
            self.findings.remove(&id);
        }
    }

    fn prune_proposals(&mut self, limit: usize) {
        while self.proposals.len() > limit {
            let oldest = self
                .proposals
                .values()
                .filter(|record| !self.changes.values().any(|change| change.proposal == record.proposal.id))
                .min_by_key(|record| (record.changed_at, &record.proposal.id));
            let Some(id) = oldest.map(|record| record.proposal.id.clone()) else { return };
            self.proposals.remove(&id);
        }
    }

    fn prune_changes(&mut self, limits: &Limits) {
        while self.changes.len() > limits.changes {
            let oldest = self
                .changes
                .values()
                .filter(|change| !holds_its_proposal(change.state))
                .min_by_key(|change| (change.approved_at, &change.id));
            let Some(id) = oldest.map(|change| change.id.clone()) else { break };
            self.changes.remove(&id);
            self.baselines.remove(&id);
            self.events.retain(|(change, _)| *change != id);
        }
        let mut excess = self.events.len().saturating_sub(limits.change_events);
        if excess > 0 {
            let changes = &self.changes;
            self.events.retain(|(id, _)| {
                let settled = changes.get(id).is_none_or(|change| change.state.is_settled());
                let goes = excess > 0 && settled;
                excess -= usize::from(goes);
                !goes
            });
        }
    }
}

impl ControlPlane for MemoryControlPlane {
    fn put_finding(&self, finding: &Finding) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.findings.insert(finding.id.clone(), finding.clone());
        tables.prune_findings(self.limits.findings);
        Ok(())
    }

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings: Vec<_> = self.tables().findings.values().cloned().collect();
        findings.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        Ok(findings)
    }

    fn put_proposal(&self, record: &ProposalRecord) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.proposals.insert(record.proposal.id.clone(), record.clone());
        tables.prune_proposals(self.limits.proposals);
        Ok(())
    }

    fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError> {
        let mut records: Vec<_> = self.tables().proposals.values().cloned().collect();
        records.sort_by(|a, b| {
            let (a, b) = (&a.proposal, &b.proposal);
            b.proposed_at.cmp(&a.proposed_at).then_with(|| a.id.cmp(&b.id))
        });
        Ok(records)
    }

    fn proposal(&self, id: &ProposalId) -> Result<Option<ProposalRecord>, StoreError> {
        Ok(self.tables().proposals.get(id).cloned())
    }

    fn put_change_by(&self, change: &Change, by: &str) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.check_change(change)?;
        self.store_change(&mut tables, change, by);
        Ok(())
    }

    fn begin_change(&self, change: &Change) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.check_change(change)?;
        if change.state != ChangeState::Applying {
            return Err(StoreError::Conflict {
                reason: format!("a change cannot begin as {}", change.state.as_str()),
            });
        }
        if tables.changes.contains_key(&change.id) {
            return Err(StoreError::Conflict { reason: format!("change {} exists already", change.id) });
        }
        if let Some(record) = tables.proposals.get_mut(&change.proposal) {
            if record.state == ProposalState::Dismissed {
                return Err(StoreError::Conflict {
                    reason: format!("proposal {} is dismissed", change.proposal),
                });
            }
            record.state = ProposalState::Applied;
            record.changed_at = change.approved_at;
        }
        self.store_change(&mut tables, change, &change.approved_by);
        Ok(())
    }

    fn changes(&self) -> Result<Vec<Change>, StoreError> {
        let mut changes: Vec<_> = self.tables().changes.values().cloned().collect();
        changes.sort_by(|a, b| b.approved_at.cmp(&a.approved_at).then_with(|| a.id.cmp(&b.id)));
        Ok(changes)
    }

    fn change(&self, id: &ChangeId) -> Result<Option<Change>, StoreError> {
        Ok(self.tables().changes.get(id).cloned())
    }

    fn change_events(&self, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError> {
        let tables = self.tables();
        let events = tables.events.iter().filter(|(change, _)| change == id);
        Ok(events.map(|(_, event)| event.clone()).collect())
    }

    fn put_baseline(&self, id: &ChangeId, work: &[WorkTotals]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if !tables.changes.contains_key(id) {
            return Err(StoreError::NotFound { what: "change", id: id.to_string() });
        }
        tables.baselines.insert(id.clone(), work.to_vec());
        Ok(())
    }

    fn baseline(&self, id: &ChangeId) -> Result<Option<Vec<WorkTotals>>, StoreError> {
        Ok(self.tables().baselines.get(id).cloned())
    }

    fn put_note(&self, key: &str, text: &str) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if !tables.notes.contains_key(key) && tables.notes.len() >= self.limits.notes {
            return Err(StoreError::LimitReached { what: "notes", limit: self.limits.notes });
        }
        tables.notes.insert(key.to_owned(), text.to_owned());
        Ok(())
    }

    fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.tables().notes.get(key).cloned())
    }

    fn record_transition(&self, transition: &AlertTransition) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.transitions += 1;
        let sequence = tables.transitions;
        tables.alert_history.push_back((sequence, transition.clone()));
        while tables.alert_history.len() > self.limits.alert_transitions {
            tables.alert_history.pop_front();
        }
        if transition.status == AlertStatus::Resolved {
            tables.alert_states.remove(&transition.rule);
        } else {
            tables.alert_states.insert(transition.rule.clone(), (sequence, transition.clone()));
        }
        Ok(())
    }

    fn forget_pending(&self, rule: &str) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let pending = tables.alert_states.get(rule);
        let pending = pending.filter(|(_, transition)| transition.status == AlertStatus::Pending);
        if let Some(sequence) = pending.map(|(sequence, _)| *sequence) {
            tables.alert_states.remove(rule);
            tables.alert_history.retain(|(other, _)| *other != sequence);
        }
        Ok(())
    }

    fn alert_history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError> {
        let tables = self.tables();
        Ok(tables.alert_history.iter().rev().take(limit).map(|(_, transition)| transition.clone()).collect())
    }

    fn open_alerts(&self) -> Result<Vec<AlertTransition>, StoreError> {
        Ok(self.tables().alert_states.values().map(|(_, transition)| transition.clone()).collect())
    }

    fn put_rule(&self, rule: &AlertRule) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if tables.rules.len() >= self.limits.rules && !tables.rules.contains_key(&rule.name) {
            return Err(StoreError::LimitReached { what: "rules", limit: self.limits.rules });
        }
        tables.rules.insert(rule.name.clone(), rule.clone());
        Ok(())
    }

    fn remove_rule(&self, name: &str) -> Result<(), StoreError> {
        self.tables().rules.remove(name);
        Ok(())
    }

    fn rules(&self) -> Result<Vec<AlertRule>, StoreError> {
        Ok(self.tables().rules.values().cloned().collect())
    }

    fn revoke_token(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tables = self.tables();
        tables.revoked_tokens.retain(|_, token| now <= token.useful_until());
        if let Some(token) = tables.revoked_tokens.get_mut(jti) {
            token.expires_at = token.expires_at.max(expires_at);
            return Ok(());
        }
        if tables.revoked_tokens.len() >= self.limits.revoked_tokens {
            return Err(StoreError::LimitReached {
                what: "revoked tokens",
                limit: self.limits.revoked_tokens,
            });
        }
        let token = RevokedToken { jti: jti.to_owned(), expires_at, by: by.to_owned(), revoked_at: now };
        tables.revoked_tokens.insert(jti.to_owned(), token);
        Ok(())
    }

    fn revoked_tokens(&self) -> Result<Vec<RevokedToken>, StoreError> {
        Ok(self.tables().revoked_tokens.values().cloned().collect())
    }

    fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.audit.push_back(entry.clone());
        while tables.audit.len() > self.limits.audit {
            tables.audit.pop_front();
        }
        Ok(())
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.tables().audit.iter().rev().take(limit).cloned().collect())
    }
}
