//! `/proposals`: what could change, how far its proof is, and the word of an operator on it.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::{
    ChangeKind, Estimate, Interval, KindGroup, MeasuredGain, Plan, ProposalId, ProposalRecord, ProposalState,
    Provenance,
};
use veritas_optimize::{ApproveError, DismissError};

use super::{ListQuery, changes::ChangeBody};
use crate::{
    api::{Answer, Api, Shared, blocking, of_store},
    extract::{NoParameters, Operator, Parameters, Segment, Viewer},
    openapi::{Conflict, NotFound, Refusals, RoleRefusals},
    problem::{Code, Problem},
};

/// What could change, with its undo and its proof.
#[derive(Serialize, ToSchema)]
#[schema(as = Proposal)]
pub(crate) struct ProposalBody {
    /// Stable: the same kind of change with the same plan keeps its identity.
    #[schema(pattern = "^p-[0-9a-f]{16}$")]
    id: String,
    /// The finding that it answers; `null` when an operator asked for it.
    #[schema(required, pattern = "^f-[0-9a-f]{16}$")]
    finding_id: Option<String>,
    /// What kind of change it is.
    kind: &'static str,
    /// One line for people.
    summary: String,
    /// What to do and how to undo it.
    plan: PlanBody,
    /// How far it has come.
    #[schema(value_type = ProposalWord)]
    state: &'static str,
    /// How well it is known what it brings.
    #[schema(value_type = LevelWord)]
    level: &'static str,
    /// What the planner expects; `null` where no planner was asked.
    #[schema(required)]
    estimate: Option<EstimateBody>,
    /// The measurement that proves it; `null` while it is not proven.
    #[schema(required)]
    proof: Option<GainBody>,
    /// Why it is not proven; `null` otherwise.
    #[schema(required)]
    reason: Option<String>,
    /// What the engine may do with a proven proposal of this kind.
    #[schema(value_type = ModeWord)]
    mode: &'static str,
    /// When it was proposed, in Unix seconds.
    proposed_at: f64,
    /// When its state last changed, in Unix seconds.
    changed_at: f64,
}

/// What to do, and how to undo it, in the language of the target.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanBody {
    /// The registered target to change.
    target: String,
    /// The change.
    forward: String,
    /// Its inverse.
    inverse: String,
    /// The object that the change brings into being.
    object: String,
    /// What it may make slower or faster (table names).
    scope: Vec<String>,
}

/// What the planner expects of a change: estimated, never measured.
#[derive(Serialize, ToSchema)]
#[schema(as = Estimate)]
pub(crate) struct EstimateBody {
    /// Cost of the statements in scope as it is now; `null` when it is not finite.
    #[schema(required)]
    before: Option<f64>,
    /// Their cost with the change; `null` when it is not finite.
    #[schema(required)]
    after: Option<f64>,
    /// What the costs are counted in.
    unit: String,
    /// What the change takes on disk, in bytes (negative: what it frees); `null` where not known.
    #[schema(required)]
    bytes: Option<i64>,
    /// How it was estimated.
    method: String,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// How well it is known what a proposal brings: a rule says so, the planner says so,
/// it was executed beside the live target, it is in force there.
#[derive(ToSchema)]
#[schema(as = ProofLevel, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `veritas_model::ProofLevel` in the OpenAPI document")]
pub(crate) enum LevelWord {
    Rule,
    WhatIf,
    Executed,
    Live,
}

impl From<Estimate> for EstimateBody {
    fn from(estimate: Estimate) -> Self {
        let finite = |cost: f64| cost.is_finite().then_some(cost);
        Self {
            before: finite(estimate.before),
            after: finite(estimate.after),
            unit: estimate.unit,
            bytes: estimate.bytes,
            method: estimate.method,
            provenance: Provenance::Estimated.as_str(),
        }
    }
}

/// What real executions showed, with and without the change, in interleaved pairs.
#[derive(Serialize, ToSchema)]
#[schema(as = MeasuredGain)]
pub(crate) struct GainBody {
    /// What the cost is counted in.
    metric: &'static str,
    /// Pairs of executions.
    pairs: u64,
    /// Mean cost of a call without the change.
    before: f64,
    /// Mean cost of a call with it.
    after: f64,
    /// Share of the cost that is gone.
    gain: f64,
    /// Interval of `gain`.
    gain_interval: IntervalBody,
    /// One-sided p-value of "the change does not help".
    p_value: f64,
    /// Median seconds of a call without the change.
    seconds_before: f64,
    /// Median seconds of a call with it.
    seconds_after: f64,
    /// Interval of the share of the time that is gone.
    seconds_gain_interval: IntervalBody,
    /// Bytes read per call without the change; `null` where it is not measured.
    #[schema(required)]
    bytes_read_before: Option<f64>,
    /// Bytes read per call with it; `null` where it is not measured.
    #[schema(required)]
    bytes_read_after: Option<f64>,
    /// Share by which writes became costlier; `null` where none was measured.
    #[schema(required)]
    write_slowdown: Option<f64>,
    /// Whether every pair returned the same rows.
    results_equal: bool,
    /// Where and how it was measured.
    method: String,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// A two-sided interval.
#[derive(Serialize, ToSchema)]
#[schema(as = Interval)]
pub(crate) struct IntervalBody {
    /// Lower end; `null` when it is not bounded.
    #[schema(required)]
    low: Option<f64>,
    /// Upper end; `null` when it is not bounded.
    #[schema(required)]
    high: Option<f64>,
    /// Confidence, 0 to 1.
    confidence: f64,
}

/// How far a proposal has come.
#[derive(ToSchema)]
#[schema(as = ProposalState, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `ProposalState` in the OpenAPI document")]
pub(crate) enum ProposalWord {
    Proposed,
    Proven,
    NotProven,
    Applied,
    Dismissed,
}

/// What the engine may do with a proven proposal.
#[derive(ToSchema)]
#[schema(as = Mode, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `Mode` in the OpenAPI document")]
pub(crate) enum ModeWord {
    ReportOnly,
    Approve,
    Automatic,
}

/// The proposals, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProposalList {
    proposals: Vec<ProposalBody>,
    /// How many there are in all.
    total: usize,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        Self {
            target: plan.target,
            forward: plan.forward,
            inverse: plan.inverse,
            object: plan.object,
            scope: plan.scope,
        }
    }
}

impl From<Interval> for IntervalBody {
    fn from(interval: Interval) -> Self {
        let finite = |end: f64| end.is_finite().then_some(end);
        Self { low: finite(interval.low), high: finite(interval.high), confidence: interval.confidence }
    }
}

impl GainBody {
    /// Index changes are run on a copy; changes to caches are replays of recorded look-ups.
    pub(crate) fn of(kind: ChangeKind, gain: MeasuredGain) -> Self {
        let provenance = match kind.group() {
            KindGroup::Caching => Provenance::Simulated,
            KindGroup::Indexing | KindGroup::QueryExecution => Provenance::Measured,
        };
        Self {
            metric: gain.metric.as_str(),
            pairs: gain.pairs,
            before: gain.before,
            after: gain.after,
            gain: gain.gain,
            gain_interval: gain.gain_interval.into(),
            p_value: gain.p_value,
            seconds_before: gain.seconds_before,
            seconds_after: gain.seconds_after,
            seconds_gain_interval: gain.seconds_gain_interval.into(),
            bytes_read_before: gain.bytes_read_before,
            bytes_read_after: gain.bytes_read_after,
            write_slowdown: gain.write_slowdown,
            results_equal: gain.results_equal,
            method: gain.method,
            provenance: provenance.as_str(),
        }
    }
}

impl ProposalBody {
    fn of(record: ProposalRecord, api: &Api) -> Self {
        let level = record.level().as_str();
        let ProposalRecord { proposal, state, changed_at } = record;
        let word = state.as_str();
        let (proof, reason) = match state {
            ProposalState::Proven(gain) => (Some(GainBody::of(proposal.kind, gain)), None),
            ProposalState::NotProven(reason) => (None, Some(reason)),
            ProposalState::Proposed | ProposalState::Applied | ProposalState::Dismissed => (None, None),
        };
        Self {
            id: proposal.id.to_string(),
            finding_id: proposal.finding.map(|id| id.to_string()),
            kind: proposal.kind.as_str(),
            summary: proposal.summary,
            plan: proposal.plan.into(),
            state: word,
            level,
            estimate: proposal.estimate.map(EstimateBody::from),
            proof,
            reason,
            mode: api.sources.optimizer.mode(proposal.kind).as_str(),
            proposed_at: proposal.proposed_at.seconds(),
            changed_at: changed_at.seconds(),
        }
    }
}

/// List proposals
///
/// What could change, newest first.
#[utoipa::path(get, path = "/proposals", operation_id = "list_proposals", tag = "Optimization",
    params(ListQuery),
    responses((status = 200, description = "The proposals", body = ProposalList), Refusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<ProposalList> {
    let limit = query.limit()?;
    blocking(move || {
        let records = api.sources.control.proposals();
        let records = records.map_err(|error| of_store("read the proposals", &error))?;
        Ok(Json(ProposalList {
            total: records.len(),
            proposals: records.into_iter().take(limit).map(|record| ProposalBody::of(record, &api)).collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}

/// Get a proposal
#[utoipa::path(get, path = "/proposals/{id}", operation_id = "get_proposal", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^p-[0-9a-f]{16}$")),
    responses((status = 200, description = "The proposal", body = ProposalBody), Refusals, NotFound))]
pub(crate) async fn one(
    State(api): Shared,
    _: Viewer,
    Segment(id): Segment,
    _: NoParameters,
) -> Answer<ProposalBody> {
    let id = parse(&id)?;
    blocking(move || read(&api, &id)).await
}

/// Approve a proposal
///
/// Makes a change of a proven proposal. The answer comes when the permission is
/// journaled; the change is applied and verified after it: follow it under
/// `/changes/{id}`. Needs the role operator, and a mode that permits changes.
#[utoipa::path(post, path = "/proposals/{id}/approve", operation_id = "approve_proposal", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^p-[0-9a-f]{16}$")),
    responses((status = 202, description = "The change, as it is journaled", body = ChangeBody),
        RoleRefusals, NotFound, Conflict))]
pub(crate) async fn approve(
    State(api): Shared,
    Operator(caller): Operator,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<(StatusCode, Json<ChangeBody>), Problem> {
    let id = parse(&id)?;
    blocking(move || {
        let change = api.audited(&caller, "approve_proposal", id.as_str(), || {
            api.sources.optimizer.approve(&id, &caller.subject).map_err(of_approve)
        })?;
        Ok((StatusCode::ACCEPTED, Json(change.into())))
    })
    .await
}

/// Dismiss a proposal
///
/// It is not proposed again. Needs the role operator.
#[utoipa::path(post, path = "/proposals/{id}/dismiss", operation_id = "dismiss_proposal", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^p-[0-9a-f]{16}$")),
    responses((status = 202, description = "The proposal, dismissed", body = ProposalBody),
        RoleRefusals, NotFound, Conflict))]
pub(crate) async fn dismiss(
    State(api): Shared,
    Operator(caller): Operator,
    Segment(id): Segment,
    _: NoParameters,
) -> Result<(StatusCode, Json<ProposalBody>), Problem> {
    let id = parse(&id)?;
    blocking(move || {
        let record = api.audited(&caller, "dismiss_proposal", id.as_str(), || {
            api.sources.optimizer.dismiss(&id, &caller.subject).map_err(of_dismiss)
        })?;
        Ok((StatusCode::ACCEPTED, Json(ProposalBody::of(record, &api))))
    })
    .await
}

fn unknown() -> Problem {
    Problem::new(Code::ProposalUnknown, "no proposal has this identity")
}

fn parse(id: &str) -> Result<ProposalId, Problem> {
    ProposalId::parse(id).ok_or_else(unknown)
}

fn read(api: &Arc<Api>, id: &ProposalId) -> Answer<ProposalBody> {
    let record = api.sources.control.proposal(id);
    let record = record.map_err(|error| of_store("read a proposal", &error))?.ok_or_else(unknown)?;
    Ok(Json(ProposalBody::of(record, api)))
}

fn of_approve(error: ApproveError) -> Problem {
    match error {
        ApproveError::UnknownProposal(_) => unknown(),
        ApproveError::ReportOnly { .. } => Problem::new(Code::ModeForbids, error.to_string()),
        ApproveError::NotProvenYet { .. } | ApproveError::NotProven(_) | ApproveError::Taken { .. } => {
            Problem::new(Code::StateConflict, error.to_string())
        }
        ApproveError::Store { source } => of_store("approve a proposal", &source),
    }
}

fn of_dismiss(error: DismissError) -> Problem {
    match error {
        DismissError::UnknownProposal(_) => unknown(),
        DismissError::Applied => Problem::new(Code::StateConflict, error.to_string()),
        DismissError::Store { source } => of_store("dismiss a proposal", &source),
    }
}
