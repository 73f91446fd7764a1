//! The stored form of proposals and changes.

use serde::{Deserialize, Serialize};
use veritas_model::{
    Change, ChangeId, ChangeKind, ChangeState, Estimate, FindingId, LiveGain, Outcome, Plan, Proposal,
    ProposalId, ProposalRecord, ProposalState, Timestamp, WorkMetric,
};

use super::{GainRecord, IntervalRecord, Nonsense, Number, Stored, word};

#[derive(Debug, Serialize, Deserialize)]
struct PlanRecord {
    target: String,
    forward: String,
    inverse: String,
    object: String,
    scope: Vec<String>,
}

impl From<&Plan> for PlanRecord {
    fn from(plan: &Plan) -> Self {
        let Plan { target, forward, inverse, object, scope } = plan.clone();
        Self { target, forward, inverse, object, scope }
    }
}

impl From<PlanRecord> for Plan {
    fn from(record: PlanRecord) -> Self {
        let PlanRecord { target, forward, inverse, object, scope } = record;
        Self { target, forward, inverse, object, scope }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct EstimateRecord {
    before: Number,
    after: Number,
    unit: String,
    bytes: Option<i64>,
    method: String,
}

impl From<&Estimate> for EstimateRecord {
    fn from(estimate: &Estimate) -> Self {
        let Estimate { before, after, unit, bytes, method } = estimate.clone();
        Self { before: before.into(), after: after.into(), unit, bytes, method }
    }
}

impl From<EstimateRecord> for Estimate {
    fn from(record: EstimateRecord) -> Self {
        let EstimateRecord { before, after, unit, bytes, method } = record;
        Self { before: before.into(), after: after.into(), unit, bytes, method }
    }
}

/// A proposal and how far it has come.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ProposalRow {
    id: String,
    finding: Option<String>,
    kind: String,
    summary: String,
    plan: PlanRecord,
    #[serde(default)]
    estimate: Option<EstimateRecord>,
    proposed_at: i64,
    state: StateRecord,
    changed_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StateRecord {
    Proposed,
    Proven { gain: Box<GainRecord> },
    NotProven { reason: String },
    Applied,
    Dismissed,
}

impl Stored for ProposalRow {
    type Domain = ProposalRecord;
    type Given = ProposalRecord;

    fn of(given: &ProposalRecord) -> Self {
        let proposal = &given.proposal;
        Self {
            id: proposal.id.to_string(),
            finding: proposal.finding.as_ref().map(FindingId::to_string),
            kind: proposal.kind.as_str().to_owned(),
            summary: proposal.summary.clone(),
            plan: PlanRecord::from(&proposal.plan),
            estimate: proposal.estimate.as_ref().map(EstimateRecord::from),
            proposed_at: proposal.proposed_at.nanos(),
            state: match &given.state {
                ProposalState::Proposed => StateRecord::Proposed,
                ProposalState::Proven(gain) => StateRecord::Proven { gain: Box::new(gain.into()) },
                ProposalState::NotProven(reason) => StateRecord::NotProven { reason: reason.clone() },
                ProposalState::Applied => StateRecord::Applied,
                ProposalState::Dismissed => StateRecord::Dismissed,
            },
            changed_at: given.changed_at.nanos(),
        }
    }

    fn into_domain(self) -> Result<ProposalRecord, Nonsense> {
        let finding = self.finding.map(|id| word("identity of a finding", id, FindingId::parse));
        let proposal = Proposal {
            id: word("identity of a proposal", self.id, ProposalId::parse)?,
            finding: finding.transpose()?,
            kind: word("kind of change", self.kind, ChangeKind::parse)?,
            summary: self.summary,
            plan: self.plan.into(),
            estimate: self.estimate.map(Estimate::from),
            proposed_at: Timestamp::from_nanos(self.proposed_at),
        };
        let state = match self.state {
            StateRecord::Proposed => ProposalState::Proposed,
            StateRecord::Proven { gain } => ProposalState::Proven(gain.into_domain()?),
            StateRecord::NotProven { reason } => ProposalState::NotProven(reason),
            StateRecord::Applied => ProposalState::Applied,
            StateRecord::Dismissed => ProposalState::Dismissed,
        };
        Ok(ProposalRecord { proposal, state, changed_at: Timestamp::from_nanos(self.changed_at) })
    }
}

/// A change.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ChangeRecord {
    id: String,
    proposal: String,
    kind: String,
    summary: String,
    plan: PlanRecord,
    state: String,
    approved_by: String,
    approved_at: i64,
    applied_at: Option<i64>,
    settled_at: Option<i64>,
    predicted: GainRecord,
    live: Option<LiveGainRecord>,
    reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LiveGainRecord {
    outcome: String,
    metric: String,
    calls_before: u64,
    calls_after: u64,
    gain: Number,
    gain_interval: IntervalRecord,
    seconds_saved_per_call: Number,
    watched_seconds: Number,
}

impl Stored for ChangeRecord {
    type Domain = Change;
    type Given = Change;

    fn of(given: &Change) -> Self {
        let live = given.live.as_ref().map(|live| LiveGainRecord {
            outcome: live.outcome.as_str().to_owned(),
            metric: live.metric.as_str().to_owned(),
            calls_before: live.calls_before,
            calls_after: live.calls_after,
            gain: live.gain.into(),
            gain_interval: live.gain_interval.into(),
            seconds_saved_per_call: live.seconds_saved_per_call.into(),
            watched_seconds: live.watched_seconds.into(),
        });
        Self {
            id: given.id.to_string(),
            proposal: given.proposal.to_string(),
            kind: given.kind.as_str().to_owned(),
            summary: given.summary.clone(),
            plan: PlanRecord::from(&given.plan),
            state: given.state.as_str().to_owned(),
            approved_by: given.approved_by.clone(),
            approved_at: given.approved_at.nanos(),
            applied_at: given.applied_at.map(Timestamp::nanos),
            settled_at: given.settled_at.map(Timestamp::nanos),
            predicted: GainRecord::from(&given.predicted),
            live,
            reason: given.reason.clone(),
        }
    }

    fn into_domain(self) -> Result<Change, Nonsense> {
        Ok(Change {
            id: word("identity of a change", self.id, ChangeId::parse)?,
            proposal: word("identity of a proposal", self.proposal, ProposalId::parse)?,
            kind: word("kind of change", self.kind, ChangeKind::parse)?,
            summary: self.summary,
            plan: self.plan.into(),
            state: word("state of a change", self.state, ChangeState::parse)?,
            approved_by: self.approved_by,
            approved_at: Timestamp::from_nanos(self.approved_at),
            applied_at: self.applied_at.map(Timestamp::from_nanos),
            settled_at: self.settled_at.map(Timestamp::from_nanos),
            predicted: self.predicted.into_domain()?,
            live: self.live.map(LiveGainRecord::into_domain).transpose()?,
            reason: self.reason,
        })
    }
}

impl LiveGainRecord {
    fn into_domain(self) -> Result<LiveGain, Nonsense> {
        Ok(LiveGain {
            outcome: word("outcome", self.outcome, Outcome::parse)?,
            metric: word("metric of work", self.metric, WorkMetric::parse)?,
            calls_before: self.calls_before,
            calls_after: self.calls_after,
            gain: self.gain.into(),
            gain_interval: self.gain_interval.into(),
            seconds_saved_per_call: self.seconds_saved_per_call.into(),
            watched_seconds: self.watched_seconds.into(),
        })
    }
}
