//! `/changes`: the ledger of what was done, by whom, what it brought, and its undo.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::{Change, ChangeId, LiveGain, Timestamp};
use veritas_optimize::RevertError;
use veritas_store::ChangeEvent;

use super::{
    ListQuery,
    proposals::{GainBody, IntervalBody, PlanBody},
};
use crate::{
    api::{Answer, Api, Shared, blocking, of_store},
    extract::{NoParameters, Operator, Parameters, Segment, Viewer},
    openapi::{Conflict, NotFound, Refusals, RoleRefusals},
    problem::{Code, Problem},
};

/// One entry of the ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeBody {
    /// Its identity.
    #[schema(pattern = "^c-[0-9a-f]{16}$")]
    id: String,
    /// The proposal that it carries out.
    #[schema(pattern = "^p-[0-9a-f]{16}$")]
    proposal_id: String,
    /// What kind of change it is.
    kind: &'static str,
    /// One line for people.
    summary: String,
    /// What is done and how it is undone.
    plan: PlanBody,
    /// Where it stands.
    #[schema(value_type = ChangeWord)]
    state: &'static str,
    /// Who permitted it: a subject, or `automatic`.
    approved_by: String,
    /// When it was permitted, in Unix seconds.
    approved_at: f64,
    /// When it was applied; `null` while it was not.
    #[schema(required)]
    applied_at: Option<f64>,
    /// When it was kept, taken back or failed; `null` before.
    #[schema(required)]
    settled_at: Option<f64>,
    /// The gain that the proof measured.
    predicted: GainBody,
    /// The gain on the live load; `null` until verification has spoken.
    #[schema(required)]
    live: Option<LiveGainBody>,
    /// Why it stands where it stands.
    reason: String,
}

/// The gain measured on the live load.
#[derive(Serialize, ToSchema)]
#[schema(as = LiveGain)]
pub(crate) struct LiveGainBody {
    /// What verification says.
    #[schema(value_type = OutcomeWord)]
    outcome: &'static str,
    /// What the cost is counted in.
    metric: &'static str,
    /// Calls watched before the change.
    calls_before: u64,
    /// Calls watched after it.
    calls_after: u64,
    /// Share of the work that is gone (negative: the load costs more).
    #[schema(required)]
    gain: Option<f64>,
    /// Interval of `gain`.
    gain_interval: IntervalBody,
    /// Mean seconds saved per call (negative: lost).
    #[schema(required)]
    seconds_saved_per_call: Option<f64>,
    /// How long the load was watched, in seconds.
    watched_seconds: f64,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// Where a change stands.
#[derive(ToSchema)]
#[schema(as = ChangeState, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `ChangeState` in the OpenAPI document")]
pub(crate) enum ChangeWord {
    Applying,
    Verifying,
    Kept,
    Reverting,
    Reverted,
    Failed,
}

/// What verification says.
#[derive(ToSchema)]
#[schema(as = Outcome, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `Outcome` in the OpenAPI document")]
pub(crate) enum OutcomeWord {
    Improved,
    Worse,
    NoDifference,
    NotEnoughData,
}

/// One step of a change, as it was journaled.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangeEvent)]
pub(crate) struct EventBody {
    /// The state entered.
    #[schema(value_type = ChangeWord)]
    state: &'static str,
    /// When it was journaled, in Unix seconds.
    at: f64,
    /// Why.
    reason: String,
    /// Who caused it.
    by: String,
}

/// A change with everything that happened to it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeWithEvents {
    change: ChangeBody,
    /// What happened to it, oldest first.
    events: Vec<EventBody>,
}

/// The changes, newest permission first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeList {
    changes: Vec<ChangeBody>,
    /// How many there are in all.
    total: usize,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        Self {
            id: change.id.to_string(),
            proposal_id: change.proposal.to_string(),
            kind: change.kind.as_str(),
            summary: change.summary,
            plan: change.plan.into(),
            state: change.state.as_str(),
            approved_by: change.approved_by,
            approved_at: change.approved_at.seconds(),
            applied_at: change.applied_at.map(Timestamp::seconds),
            settled_at: change.settled_at.map(Timestamp::seconds),
            predicted: GainBody::of(change.kind, change.predicted),
            live: change.live.map(LiveGainBody::from),
            reason: change.reason,
        }
    }
}

impl From<LiveGain> for LiveGainBody {
    fn from(live: LiveGain) -> Self {
        let finite = |figure: f64| figure.is_finite().then_some(figure);
        Self {
            outcome: live.outcome.as_str(),
            metric: live.metric.as_str(),
            calls_before: live.calls_before,
            calls_after: live.calls_after,
            gain: finite(live.gain),
            gain_interval: live.gain_interval.into(),
            seconds_saved_per_call: finite(live.seconds_saved_per_call),
            watched_seconds: live.watched_seconds,
            provenance: veritas_model::Provenance::Measured.as_str(),
        }
    }
}

impl From<ChangeEvent> for EventBody {
    fn from(event: ChangeEvent) -> Self {
        Self { state: event.state.as_str(), at: event.at.seconds(), reason: event.reason, by: event.by }
    }
}

/// List changes
///
/// The ledger, newest permission first.
#[utoipa::path(get, path = "/changes", operation_id = "list_changes", tag = "Optimization",
    params(ListQuery),
    responses((status = 200, description = "The changes", body = ChangeList), Refusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<ChangeList> {
    let limit = query.limit()?;
    blocking(move || {
        let changes = api.sources.control.changes();
        let changes = changes.map_err(|error| of_store("read the changes", &error))?;
        Ok(Json(ChangeList {
            total: changes.len(),
            changes: changes.into_iter().take(limit).map(ChangeBody::from).collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}

/// Get a change
///
/// With everything that happened to it.
#[utoipa::path(get, path = "/changes/{id}", operation_id = "get_change", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^c-[0-9a-f]{16}$")),
    responses((status = 200, description = "The change", body = ChangeWithEvents), Refusals, NotFound))]
pub(crate) async fn one(
    State(api): Shared,
    _: Viewer,
    Segment(id): Segment,
    _: NoParameters,
) -> Answer<ChangeWithEvents> {
    let id = parse(&id)?;
    blocking(move || read(&api, &id)).await
}

/// Revert a change
///
/// Orders the inverse of a change that is in force, or withdraws the permission of one that still
/// waits to be applied. The answer comes when that is journaled. Needs the role operator.
#[utoipa::path(post, path = "/changes/{id}/revert", operation_id = "revert_change", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^c-[0-9a-f]{16}$")),
    responses((status = 202, description = "The change, being taken back", body = ChangeBody),
        RoleRefusals, NotFound, Conflict))]
pub(crate) async fn revert(
    State(api): Shared,
    Operator(caller): Operator,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<(StatusCode, Json<ChangeBody>), Problem> {
    let id = parse(&id)?;
    blocking(move || {
        let change = api.audited(&caller, "revert_change", id.as_str(), || {
            let reason = format!("{} asked for it", caller.subject);
            api.sources.optimizer.revert(&id, &caller.subject, &reason).map_err(of_revert)
        })?;
        Ok((StatusCode::ACCEPTED, Json(change.into())))
    })
    .await
}

fn unknown() -> Problem {
    Problem::new(Code::ChangeUnknown, "no change has this identity")
}

fn parse(id: &str) -> Result<ChangeId, Problem> {
    ChangeId::parse(id).ok_or_else(unknown)
}

fn read(api: &Arc<Api>, id: &ChangeId) -> Answer<ChangeWithEvents> {
    let control = &api.sources.control;
    let change =
        control.change(id).map_err(|error| of_store("read a change", &error))?.ok_or_else(unknown)?;
    let events = control.change_events(id).map_err(|error| of_store("read a change's events", &error))?;
    Ok(Json(ChangeWithEvents {
        change: change.into(),
        events: events.into_iter().map(EventBody::from).collect(),
    }))
}

fn of_revert(error: RevertError) -> Problem {
    match error {
        RevertError::UnknownChange(_) => unknown(),
        RevertError::BeingApplied | RevertError::NotInForce { .. } => {
            Problem::new(Code::StateConflict, error.to_string())
        }
        RevertError::Store { source } => of_store("revert a change", &source),
    }
}
