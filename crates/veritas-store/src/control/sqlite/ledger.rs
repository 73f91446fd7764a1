//! Proposals, changes and their events: the statements that share a transaction.

use rusqlite::{Connection, OptionalExtension as _, params};
use veritas_model::{Change, ChangeId, ChangeState, ProposalId, ProposalRecord, Timestamp};

use super::{
    super::{ChangeEvent, holds_its_proposal},
    cause::At as _,
    record,
};
use crate::StoreError;

pub(super) fn put_proposal(connection: &Connection, proposal: &ProposalRecord) -> Result<(), StoreError> {
    let step = "store a proposal";
    let sql = "INSERT INTO proposals (id, state, proposed_at, changed_at, record) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET state = excluded.state, proposed_at = excluded.proposed_at,
               changed_at = excluded.changed_at, record = excluded.record";
    let record = record::write::<record::ProposalRow>(step, proposal)?;
    let (id, state) = (proposal.proposal.id.as_str(), proposal.state.as_str());
    let (proposed_at, changed_at) = (proposal.proposal.proposed_at.nanos(), proposal.changed_at.nanos());
    let parameters = params![id, state, proposed_at, changed_at, record];
    connection.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
    Ok(())
}

pub(super) fn proposal(
    connection: &Connection,
    id: &ProposalId,
) -> Result<Option<ProposalRecord>, StoreError> {
    let sql = "SELECT record FROM proposals WHERE id = ?1";
    one::<record::ProposalRow>(connection, "read a proposal", sql, id.as_str())
}

pub(super) fn change(connection: &Connection, id: &ChangeId) -> Result<Option<Change>, StoreError> {
    let sql = "SELECT record FROM changes WHERE id = ?1";
    one::<record::ChangeRecord>(connection, "read a change", sql, id.as_str())
}

fn one<R: record::Stored>(
    connection: &Connection,
    step: &'static str,
    sql: &str,
    id: &str,
) -> Result<Option<R::Domain>, StoreError>
where
    R::Domain: Sized,
{
    let mut statement = connection.prepare_cached(sql).at(step)?;
    let text: Option<String> = statement.query_row([id], |row| row.get(0)).optional().at(step)?;
    text.map(|text| record::read::<R>(step, &text)).transpose()
}

/// Checks that the proposal of a change is there and has no other change in
/// force. The unique index `changes_one_in_force` says the same; this says it
/// in words.
pub(super) fn check_change(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    let step = "look for the proposal of a change";
    let sql = "SELECT count(*) FROM proposals WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).at(step)?;
    let proposals: i64 = statement.query_row([change.proposal.as_str()], |row| row.get(0)).at(step)?;
    if proposals == 0 {
        return Err(StoreError::NotFound { what: "proposal", id: change.proposal.to_string() });
    }
    if !holds_its_proposal(change.state) {
        return Ok(());
    }
    let step = "look for other changes of a proposal";
    let sql = "SELECT id, state FROM changes
               WHERE proposal_id = ?1 AND id <> ?2 AND state NOT IN ('reverted', 'failed')";
    let mut statement = connection.prepare_cached(sql).at(step)?;
    let other = statement.query_row(params![change.proposal.as_str(), change.id.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    match other.optional().at(step)? {
        Some((id, state)) => Err(StoreError::Conflict {
            reason: format!("proposal {} has the {state} change {id}", change.proposal),
        }),
        None => Ok(()),
    }
}

/// Stores a change that was checked, and its event when there is something new to say.
pub(super) fn store_change(
    connection: &Connection,
    change: &Change,
    now: Timestamp,
    by: &str,
) -> Result<(), StoreError> {
    let step = "store a change";
    let (id, state) = (change.id.as_str(), change.state.as_str());
    let sql = "SELECT count(*) FROM changes WHERE id = ?1 AND state = ?2 AND reason = ?3";
    let mut statement = connection.prepare_cached(sql).at(step)?;
    let known: i64 = statement.query_row(params![id, state, change.reason], |row| row.get(0)).at(step)?;
    let sql = "INSERT INTO changes (id, proposal_id, state, reason, approved_at, record)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (id) DO UPDATE SET proposal_id = excluded.proposal_id, state = excluded.state,
               reason = excluded.reason, approved_at = excluded.approved_at, record = excluded.record";
    let record = record::write::<record::ChangeRecord>(step, change)?;
    let (proposal, approved_at) = (change.proposal.as_str(), change.approved_at.nanos());
    let parameters = params![id, proposal, state, change.reason, approved_at, record];
    connection.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
    if known == 0 {
        let step = "journal an event of a change";
        let sql = "INSERT INTO change_events (change_id, state, at, reason, caused_by)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let parameters = params![id, state, now.nanos(), change.reason, by];
        connection.prepare_cached(sql).at(step)?.execute(parameters).at(step)?;
    }
    Ok(())
}

pub(super) fn events(connection: &Connection, id: &ChangeId) -> Result<Vec<ChangeEvent>, StoreError> {
    let step = "read the events of a change";
    let sql = "SELECT state, at, reason, caused_by FROM change_events WHERE change_id = ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).at(step)?;
    let mut rows = statement.query([id.as_str()]).at(step)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().at(step)? {
        let state: String = row.get(0).at(step)?;
        let Some(state) = ChangeState::parse(&state) else {
            return Err(StoreError::Corrupt { step, detail: format!("{state:?} is no state of a change") });
        };
        events.push(ChangeEvent {
            state,
            at: Timestamp::from_nanos(row.get(1).at(step)?),
            reason: row.get(2).at(step)?,
            by: row.get(3).at(step)?,
        });
    }
    Ok(events)
}
