//! The control plane in a SQLite file: what is acknowledged is on the disk.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params, params};
use veritas_model::{
    AlertRule, AlertStatus, AlertTransition, Change, ChangeId, ChangeState, Clock, Finding, ProposalId,
    ProposalRecord, ProposalState, Timestamp, WorkTotals,
};

use super::{AuditEntry, ChangeEvent, ControlPlane, Limits, RevokedToken};
use crate::StoreError;

mod cause;
mod ledger;
mod open;
mod prune;
mod record;

use cause::At as _;

/// A control plane in a file of the data directory (write-ahead log,
/// `synchronous = FULL`: an acknowledged record is on the disk).
///
/// The file says whose it is (`application_id`) and its format
/// (`user_version`); a file of another program or of an unknown format is
/// refused and not touched. Opening checks the whole file for damage.
#[derive(Debug)]
pub struct SqliteControlPlane {
    clock: Arc<dyn Clock>,
    limits: Limits,
    // A std mutex: one writer at a time is what SQLite allows anyway. It is
    // held over the disk's answer, so callers are off the executor (see the trait).
    connection: Mutex<Connection>,
}

impl SqliteControlPlane {
    /// Opens or creates the file with the default [`Limits`].
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOurs`] and [`StoreError::UnknownFormat`] for a file
    /// that is not touched, [`StoreError::Corrupt`] for a damaged one,
    /// [`StoreError::Open`], [`StoreError::Full`], [`StoreError::ReadOnly`],
    /// [`StoreError::Busy`] or [`StoreError::Io`] when the system says no.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with_limits(path, clock, Limits::default())
    }

    /// Opens or creates the file.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`].
    pub fn open_with_limits(path: &Path, clock: Arc<dyn Clock>, limits: Limits) -> Result<Self, StoreError> {
        let connection = Mutex::new(open::open(path)?);
        Ok(Self { clock, limits, connection })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves no half transaction: dropping one rolls it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction, durable when this returns `Ok`.
    fn write<T>(
        &self,
        step: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).at(step)?;
        let done = work(&transaction)?;
        transaction.commit().at(step)?;
        Ok(done)
    }

    /// Reads the JSON records that a query returns in its first column.
    fn records<R: record::Stored>(
        &self,
        step: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<R::Domain>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).at(step)?;
        let texts = statement.query_map(parameters, |row| row.get::<_, String>(0)).at(step)?;
        texts.map(|text| record::read::<R>(step, &text.at(step)?)).collect()
    }
}

/// The number of rows a limit asks for, as SQL has it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl ControlPlane for SqliteControlPlane {
    fn put_finding(&self, finding: &Finding) -> Result<(), StoreError> {
        let step = "store a finding";
        self.write(step, |transaction| {
            let sql = "INSERT INTO findings (id, seen_at, record) VALUES (?1, ?2, ?3)
                       ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, record = excluded.record";
            let record = record::write::<record::FindingRecord>(step, finding)?;
            let parameters = params![finding.id.as_str(), finding.seen_at.nanos(), record];
            transaction.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
            prune::findings(transaction, self.limits.findings)
        })
    }

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let sql = "SELECT record FROM findings ORDER BY seen_at DESC, id";
        self.records::<record::FindingRecord>("read the findings", sql, [])
    }

    fn put_proposal(&self, record: &ProposalRecord) -> Result<(), StoreError> {
        self.write("store a proposal", |transaction| {
            ledger::put_proposal(transaction, record)?;
            prune::proposals(transaction, self.limits.proposals)
        })
    }

    fn proposals(&self) -> Result<Vec<ProposalRecord>, StoreError> {
        let sql = "SELECT record FROM proposals ORDER BY proposed_at DESC, id";
        self.records::<record::ProposalRow>("read the proposals", sql, [])
    }

    fn proposal(&self, id: &ProposalId) -> Result<Option<ProposalRecord>, StoreError> {
        let sql = "SELECT record FROM proposals WHERE id = ?1";
        Ok(self.records::<record::ProposalRow>("read a proposal", sql, [id.as_str()])?.pop())
    }

    fn put_change_by(&self, change: &Change, by: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.write("store a change", |transaction| {
            ledger::check_change(transaction, change)?;
            ledger::store_change(transaction, change, now, by)?;
            prune::changes(transaction, &self.limits)
        })
    }

    fn begin_change(&self, change: &Change) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.write("begin a change", |transaction| {
            ledger::check_change(transaction, change)?;
            if change.state != ChangeState::Applying {
                let reason = format!("a change cannot begin as {}", change.state.as_str());
                return Err(StoreError::Conflict { reason });
            }
            if ledger::change(transaction, &change.id)?.is_some() {
                return Err(StoreError::Conflict { reason: format!("change {} exists already", change.id) });
            }
            if let Some(mut record) = ledger::proposal(transaction, &change.proposal)? {
                if record.state == ProposalState::Dismissed {
                    let reason = format!("proposal {} is dismissed", change.proposal);
                    return Err(StoreError::Conflict { reason });
                }
                record.state = ProposalState::Applied;
                record.changed_at = change.approved_at;
                ledger::put_proposal(transaction, &record)?;
            }
            ledger::store_change(transaction, change, now, &change.approved_by)?;
            prune::changes(transaction, &self.limits)
        })
    }

    fn changes(&self) -> Result<Vec<Change>, StoreError> {
        let sql = "SELECT record FROM changes ORDER BY approved_at DESC, id";
        self.records::<record::ChangeRecord>("read the changes", sql, [])
    }

    fn change(&self, id: &ChangeId) -> Result<Option<Change>, StoreError> {
        ledger::change(&self.connection(), id)
    }

    fn change_events(&self, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError> {
        ledger::events(&self.connection(), id)
    }

    fn put_baseline(&self, id: &ChangeId, work: &[WorkTotals]) -> Result<(), StoreError> {
        let step = "store a baseline";
        self.write(step, |transaction| {
            if ledger::change(transaction, id)?.is_none() {
                return Err(StoreError::NotFound { what: "change", id: id.to_string() });
            }
            let sql = "INSERT INTO baselines (change_id, record) VALUES (?1, ?2)
                       ON CONFLICT (change_id) DO UPDATE SET record = excluded.record";
            let record = record::write::<record::BaselineRecord>(step, work)?;
            transaction.prepare_cached(sql).at(step)?.execute(params![id.as_str(), record]).at(step)?;
            Ok(())
        })
    }

    fn baseline(&self, id: &ChangeId) -> Result<Option<Vec<WorkTotals>>, StoreError> {
        let sql = "SELECT record FROM baselines WHERE change_id = ?1";
        Ok(self.records::<record::BaselineRecord>("read a baseline", sql, [id.as_str()])?.pop())
    }

    fn put_note(&self, key: &str, text: &str) -> Result<(), StoreError> {
        let step = "store a note";
        self.write(step, |transaction| {
            let sql = "INSERT INTO notes (key, record) VALUES (?1, ?2)
                       ON CONFLICT (key) DO UPDATE SET record = excluded.record";
            transaction.prepare_cached(sql).at(step)?.execute(params![key, text]).at(step)?;
            let limit = self.limits.notes;
            // An error rolls the insertion back.
            if prune::count(transaction, "SELECT count(*) FROM notes")? > limit {
                return Err(StoreError::LimitReached { what: "notes", limit });
            }
            Ok(())
        })
    }

    fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        let step = "read a note";
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT record FROM notes WHERE key = ?1").at(step)?;
        statement.query_row([key], |row| row.get(0)).optional().at(step)
    }

    fn record_transition(&self, transition: &AlertTransition) -> Result<(), StoreError> {
        let step = "store an alert transition";
        self.write(step, |transaction| {
            let record = record::write::<record::TransitionRecord>(step, transition)?;
            let status = transition.status.as_str();
            let sql = "INSERT INTO alert_history (rule, status, record) VALUES (?1, ?2, ?3)";
            let parameters = params![transition.rule, status, record];
            transaction.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
            let seq = transaction.last_insert_rowid();
            if transition.status == AlertStatus::Resolved {
                let sql = "DELETE FROM alert_states WHERE rule = ?1";
                transaction.prepare_cached(sql).at(step)?.execute([&transition.rule]).at(step)?;
            } else {
                let sql = "INSERT INTO alert_states (rule, status, seq, record) VALUES (?1, ?2, ?3, ?4)
                           ON CONFLICT (rule) DO UPDATE
                           SET status = excluded.status, seq = excluded.seq, record = excluded.record";
                let parameters = params![transition.rule, status, seq, record];
                transaction.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
            }
            prune::alert_history(transaction, self.limits.alert_transitions)
        })
    }

    fn forget_pending(&self, rule: &str) -> Result<(), StoreError> {
        let step = "forget a pending alert";
        self.write(step, |transaction| {
            let sql = "DELETE FROM alert_states WHERE rule = ?1 AND status = ?2 RETURNING seq";
            let mut statement = transaction.prepare_cached(sql).at(step)?;
            let parameters = params![rule, AlertStatus::Pending.as_str()];
            let seq: Option<i64> = statement.query_row(parameters, |row| row.get(0)).optional().at(step)?;
            if let Some(seq) = seq {
                let sql = "DELETE FROM alert_history WHERE seq = ?1";
                transaction.prepare_cached(sql).at(step)?.execute([seq]).at(step)?;
            }
            Ok(())
        })
    }

    fn alert_history(&self, limit: usize) -> Result<Vec<AlertTransition>, StoreError> {
        let sql = "SELECT record FROM alert_history ORDER BY seq DESC LIMIT ?1";
        self.records::<record::TransitionRecord>("read the alert history", sql, [rows(limit)])
    }

    fn open_alerts(&self) -> Result<Vec<AlertTransition>, StoreError> {
        let sql = "SELECT record FROM alert_states ORDER BY rule";
        self.records::<record::TransitionRecord>("read the open alerts", sql, [])
    }

    fn put_rule(&self, rule: &AlertRule) -> Result<(), StoreError> {
        let step = "store a rule";
        self.write(step, |transaction| {
            let sql = "SELECT count(*), count(CASE WHEN name = ?1 THEN 1 END) FROM rules";
            let counts = transaction.query_row(sql, [&rule.name], |row| Ok((row.get(0)?, row.get(1)?)));
            let (count, known): (i64, i64) = counts.at(step)?;
            if known == 0 && count >= rows(self.limits.rules) {
                return Err(StoreError::LimitReached { what: "rules", limit: self.limits.rules });
            }
            let sql = "INSERT INTO rules (name, record) VALUES (?1, ?2)
                       ON CONFLICT (name) DO UPDATE SET record = excluded.record";
            let record = record::write::<record::RuleRecord>(step, rule)?;
            transaction.prepare_cached(sql).at(step)?.execute(params![rule.name, record]).at(step)?;
            Ok(())
        })
    }

    fn remove_rule(&self, name: &str) -> Result<(), StoreError> {
        let step = "remove a rule";
        self.write(step, |transaction| {
            transaction.execute("DELETE FROM rules WHERE name = ?1", [name]).at(step)?;
            Ok(())
        })
    }

    fn rules(&self) -> Result<Vec<AlertRule>, StoreError> {
        let sql = "SELECT record FROM rules ORDER BY name";
        self.records::<record::RuleRecord>("read the rules", sql, [])
    }

    fn revoke_token(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError> {
        let step = "revoke a token";
        let now = self.clock.now();
        self.write(step, |transaction| {
            prune::revoked_tokens(transaction, now)?;
            let sql = "INSERT INTO revoked_tokens (jti, expires_at, revoked_by, revoked_at)
                       VALUES (:jti, :expires_at, :by, :now)
                       ON CONFLICT (jti) DO UPDATE SET expires_at = excluded.expires_at
                       WHERE excluded.expires_at > revoked_tokens.expires_at";
            let parameters = named_params! {
                ":jti": jti, ":expires_at": expires_at.nanos(), ":by": by, ":now": now.nanos(),
            };
            let new = transaction.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
            let limit = self.limits.revoked_tokens;
            // An error rolls the insertion back.
            if new > 0 && prune::count(transaction, "SELECT count(*) FROM revoked_tokens")? > limit {
                return Err(StoreError::LimitReached { what: "revoked tokens", limit });
            }
            Ok(())
        })
    }

    fn revoked_tokens(&self) -> Result<Vec<RevokedToken>, StoreError> {
        let step = "read the revoked tokens";
        let connection = self.connection();
        let sql = "SELECT jti, expires_at, revoked_by, revoked_at FROM revoked_tokens ORDER BY jti";
        let mut statement = connection.prepare_cached(sql).at(step)?;
        let tokens = statement.query_map([], |row| {
            Ok(RevokedToken {
                jti: row.get(0)?,
                expires_at: Timestamp::from_nanos(row.get(1)?),
                by: row.get(2)?,
                revoked_at: Timestamp::from_nanos(row.get(3)?),
            })
        });
        tokens.at(step)?.map(|token| token.at(step)).collect()
    }

    fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let step = "append to the audit trail";
        self.write(step, |transaction| {
            let sql = "INSERT INTO audit (at, subject, action, object, outcome) VALUES (?1, ?2, ?3, ?4, ?5)";
            let at = entry.at.nanos();
            let parameters = params![at, entry.subject, entry.action, entry.object, entry.outcome];
            transaction.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
            prune::audit(transaction, self.limits.audit)
        })
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let step = "read the audit trail";
        let connection = self.connection();
        let sql = "SELECT at, subject, action, object, outcome FROM audit ORDER BY seq DESC LIMIT ?1";
        let mut statement = connection.prepare_cached(sql).at(step)?;
        let entries = statement.query_map([rows(limit)], |row| {
            Ok(AuditEntry {
                at: Timestamp::from_nanos(row.get(0)?),
                subject: row.get(1)?,
                action: row.get(2)?,
                object: row.get(3)?,
                outcome: row.get(4)?,
            })
        });
        entries.at(step)?.map(|entry| entry.at(step)).collect()
    }
}
