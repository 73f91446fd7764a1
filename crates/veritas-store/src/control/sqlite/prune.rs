//! Keeping the tables within their limits.

use rusqlite::{Connection, params};
use veritas_model::Timestamp;

use super::{
    super::{Limits, RevokedToken},
    cause::At as _,
    rows,
};
use crate::StoreError;

/// Returns what a counting statement counts.
pub(super) fn count(connection: &Connection, sql: &str) -> Result<usize, StoreError> {
    let step = "count rows";
    let rows: i64 = connection.prepare_cached(sql).at(step)?.query_row([], |row| row.get(0)).at(step)?;
    Ok(usize::try_from(rows).unwrap_or(0))
}

/// Runs a deleting statement when there are more rows than `limit`; its only
/// parameter is how many too many.
fn delete_excess(
    connection: &Connection,
    step: &'static str,
    counting: &str,
    limit: usize,
    deleting: &str,
) -> Result<(), StoreError> {
    let excess = count(connection, counting)?.saturating_sub(limit);
    if excess > 0 {
        connection.prepare_cached(deleting).at(step)?.execute([rows(excess)]).at(step)?;
    }
    Ok(())
}

pub(super) fn findings(connection: &Connection, limit: usize) -> Result<(), StoreError> {
    let deleting = "DELETE FROM findings WHERE id IN (SELECT id FROM findings ORDER BY seen_at, id LIMIT ?1)";
    delete_excess(connection, "prune the findings", "SELECT count(*) FROM findings", limit, deleting)
}

pub(super) fn proposals(connection: &Connection, limit: usize) -> Result<(), StoreError> {
    let deleting = "DELETE FROM proposals WHERE id IN (
        SELECT id FROM proposals WHERE NOT EXISTS (SELECT 1 FROM changes WHERE proposal_id = proposals.id)
        ORDER BY changed_at, id LIMIT ?1)";
    delete_excess(connection, "prune the proposals", "SELECT count(*) FROM proposals", limit, deleting)
}

/// Prunes the ends of the ledger, and their events and baselines by reference.
pub(super) fn changes(connection: &Connection, limits: &Limits) -> Result<(), StoreError> {
    let deleting = "DELETE FROM changes WHERE id IN (
        SELECT id FROM changes WHERE state IN ('reverted', 'failed') ORDER BY approved_at, id LIMIT ?1)";
    delete_excess(connection, "prune the changes", "SELECT count(*) FROM changes", limits.changes, deleting)?;
    let deleting = "DELETE FROM change_events WHERE seq IN (
        SELECT seq FROM change_events WHERE change_id IN (
            SELECT id FROM changes WHERE state IN ('kept', 'reverted', 'failed'))
        ORDER BY seq LIMIT ?1)";
    let counting = "SELECT count(*) FROM change_events";
    delete_excess(connection, "prune the events of changes", counting, limits.change_events, deleting)
}

pub(super) fn alert_history(connection: &Connection, limit: usize) -> Result<(), StoreError> {
    let deleting =
        "DELETE FROM alert_history WHERE seq IN (SELECT seq FROM alert_history ORDER BY seq LIMIT ?1)";
    delete_excess(
        connection,
        "prune the alert history",
        "SELECT count(*) FROM alert_history",
        limit,
        deleting,
    )
}

/// Keeps the newest entries. Their `seq` grows by one with each, so the limit
/// is a comparison and no count.
pub(super) fn audit(connection: &Connection, limit: usize) -> Result<(), StoreError> {
    let step = "prune the audit trail";
    let sql = "DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?1";
    connection.prepare_cached(sql).at(step)?.execute([rows(limit)]).at(step)?;
    Ok(())
}

/// Drops the tokens that no verifier accepts any more.
pub(super) fn revoked_tokens(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let step = "prune the revoked tokens";
    let sql = "DELETE FROM revoked_tokens WHERE expires_at < ?1";
    let latest = now.minus(RevokedToken::LEEWAY).nanos();
    connection.prepare_cached(sql).at(step)?.execute(params![latest]).at(step)?;
    Ok(())
}
