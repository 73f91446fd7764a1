//! `/audit`: who did what.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_store::AuditEntry;

use super::ListQuery;
use crate::{
    api::{Answer, Shared, blocking, of_store},
    extract::{Admin, Parameters},
    openapi::RoleRefusals,
};

/// Who did what to which thing, and how it ended.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct EntryBody {
    /// When, in Unix seconds.
    at: f64,
    /// Who.
    subject: String,
    /// What was asked for.
    action: String,
    /// To which thing.
    object: String,
    /// `requested` before the act, then `ok` or the code of the problem.
    outcome: String,
}

/// The audit log, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Audit {
    entries: Vec<EntryBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

impl From<AuditEntry> for EntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: entry.at.seconds(),
            subject: entry.subject,
            action: entry.action,
            object: entry.object,
            outcome: entry.outcome,
        }
    }
}

/// List the audit log
///
/// Every act has two entries: one before it, without which it is not done, and
/// one that says how it ended. Needs the role admin.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "Administration",
    params(ListQuery),
    responses((status = 200, description = "The entries, newest first", body = Audit), RoleRefusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Admin,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<Audit> {
    let limit = query.limit()?;
    blocking(move || {
        let entries = api.sources.control.audit(limit);
        let entries = entries.map_err(|error| of_store("read the audit log", &error))?;
        Ok(Json(Audit {
            entries: entries.into_iter().map(EntryBody::from).collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}
