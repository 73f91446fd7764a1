//! `/findings`: what is slow, why, and the evidence.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::{Caller, Cause, Finding, FindingId, Observation, ProposalId, ProposalRecord, Subject};

use super::ListQuery;
use crate::{
    api::{Answer, Api, Shared, blocking, of_store},
    extract::{NoParameters, Parameters, Segment, Viewer},
    openapi::{NotFound, Refusals},
    problem::{Code, Problem},
};

/// Something slow, why it is, and the evidence.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingBody {
    /// Stable: the same kind on the same subject keeps its identity.
    #[schema(pattern = "^f-[0-9a-f]{16}$")]
    id: String,
    /// What kind of slowness it is.
    #[schema(value_type = KindWord)]
    kind: &'static str,
    /// What it is about.
    subject: SubjectBody,
    /// Why it is slow.
    cause: CauseBody,
    /// What to do.
    recommendation: String,
    /// By share of the observed time: Low below 5 %, High from 20 %.
    #[schema(value_type = ImpactWord)]
    estimated_impact: &'static str,
    /// The figures that it rests on.
    evidence: Vec<ObservationBody>,
    /// Where in the code it comes from, most frequent first.
    callers: Vec<CallerBody>,
    /// When it was first found, in Unix seconds.
    found_at: f64,
    /// When it was last seen to be so, in Unix seconds.
    seen_at: f64,
    /// The proposal that answers it; `null` without one.
    #[schema(required, pattern = "^p-[0-9a-f]{16}$")]
    proposal_id: Option<String>,
}

/// What a finding is about.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = FindingSubject)]
pub(crate) enum SubjectBody {
    /// A statement.
    Statement {
        /// Its label, else its fingerprint.
        name: String,
        /// The statement without its literals, hashed.
        fingerprint: String,
        /// The statement without its literals.
        normalized: String,
    },
    /// A profiled function.
    Function {
        /// The name of its profile.
        name: String,
    },
    /// A cache, or one key of it.
    Cache {
        /// The namespace.
        namespace: String,
        /// The key, where the finding is about one.
        #[schema(required)]
        key: Option<String>,
    },
    /// A server that the engine looks at.
    Server {
        /// Its name among the engine's targets.
        name: String,
        /// What of it the finding is about, where it is not the whole.
        #[schema(required)]
        part: Option<String>,
    },
}

/// Why something is slow.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = FindingCause)]
pub(crate) enum CauseBody {
    /// A whole table is read for few rows.
    SequentialScan {
        /// The scanned table.
        table: String,
        /// Rows read in one call.
        rows_read: u64,
        /// Rows kept in one call.
        rows_kept: u64,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The rows are found, and then sorted or grouped again at every call.
    Sort {
        /// The table whose rows are sorted.
        table: String,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The same statement many times in one request.
    RepeatedStatement {
        /// The request that repeats it.
        request: String,
        /// Mean repetitions in one request.
        calls_per_request: f64,
    },
    /// A result without a limit.
    UnboundedResult {
        /// Mean rows in one call.
        rows_per_call: f64,
    },
    /// Few distinct arguments over many calls.
    RepeatedComputation {
        /// Calls seen.
        calls: u64,
        /// Distinct arguments among them.
        distinct_arguments: u64,
    },
    /// Slower than the threshold; nothing more is known.
    AboveThreshold,
    /// Another capacity would bring another hit ratio.
    CacheSize {
        /// What the cache may hold, in bytes.
        capacity: u64,
        /// The share of look-ups that hit, 0 to 1.
        hit_ratio: f64,
        /// What it should be allowed to hold, in bytes.
        advised_capacity: u64,
        /// The share of look-ups that would hit, 0 to 1.
        advised_hit_ratio: f64,
    },
    /// Another time to live would bring another hit ratio, or fewer stale values.
    CacheTimeToLive {
        /// The time to live, in seconds.
        ttl_seconds: f64,
        /// The share of look-ups that hit, 0 to 1.
        hit_ratio: f64,
        /// What the time to live should be, in seconds.
        advised_ttl_seconds: f64,
        /// The share of look-ups that would hit, 0 to 1.
        advised_hit_ratio: f64,
    },
    /// The cache spends more time than it saves.
    CacheLoss {
        /// Seconds that the cache spends on one look-up.
        spent_seconds: f64,
        /// Seconds of loading that it saves on one look-up.
        saved_seconds: f64,
    },
    /// The calls repeat, and nothing is cached yet.
    CacheCandidate {
        /// Calls seen.
        calls: u64,
        /// The share of them that a cache would have answered, 0 to 1.
        hit_ratio: f64,
        /// Seconds that one call takes.
        seconds_per_call: f64,
    },
    /// One key takes a large part of the look-ups.
    HotKey {
        /// Its share of the look-ups, 0 to 1.
        request_share: f64,
    },
    /// One key takes a large part of the memory.
    BigKey {
        /// What it takes, in bytes.
        bytes: u64,
    },
    /// What a server says of itself.
    ServerCondition {
        /// The section that it was read from.
        section: String,
        /// The condition, in words.
        detail: String,
    },
}

/// One figure with its unit and provenance.
#[derive(Serialize, ToSchema)]
#[schema(as = Observation)]
pub(crate) struct ObservationBody {
    /// What was observed.
    name: String,
    /// The figure.
    #[schema(required)]
    value: Option<f64>,
    /// Its unit.
    unit: &'static str,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
    /// When it was taken, in Unix seconds.
    observed_at: f64,
}

/// A place in the application's code.
#[derive(Serialize, ToSchema)]
#[schema(as = Caller)]
pub(crate) struct CallerBody {
    /// The source file, as the compiler names it.
    file: String,
    /// The line, from 1.
    line: u32,
}

/// How much there is to win.
#[derive(ToSchema)]
#[schema(as = Impact)]
#[expect(dead_code, reason = "describes the words of `veritas_model::Impact` in the OpenAPI document")]
pub(crate) enum ImpactWord {
    Low,
    Medium,
    High,
}

/// What kind of slowness.
#[derive(ToSchema)]
#[schema(as = FindingKind, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `veritas_model::FindingKind` in the OpenAPI document")]
pub(crate) enum KindWord {
    MissingIndex,
    NPlusOne,
    UnboundedResult,
    RepeatedComputation,
    SlowStatement,
    CacheTooSmall,
    CacheTooLarge,
    CacheTtl,
    CacheNetLoss,
    CacheCandidate,
    HotKey,
    BigKey,
    RedisMemory,
    RedisEviction,
    RedisSlowCommand,
    RedisKeysWithoutTtl,
    RedisLatency,
    RedisHealth,
}

/// The findings, most recently seen first.
#[derive(Serialize, ToSchema)]
pub(crate) struct FindingList {
    findings: Vec<FindingBody>,
    /// How many there are in all.
    total: usize,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

impl From<&Observation> for ObservationBody {
    fn from(observation: &Observation) -> Self {
        Self {
            name: observation.name.clone(),
            value: observation.value.is_finite().then_some(observation.value),
            unit: observation.unit.as_str(),
            provenance: observation.provenance.as_str(),
            observed_at: observation.observed_at.seconds(),
        }
    }
}

impl From<&Caller> for CallerBody {
    fn from(caller: &Caller) -> Self {
        Self { file: caller.file.clone(), line: caller.line }
    }
}

impl From<Subject> for SubjectBody {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Statement { name, fingerprint, normalized } => {
                Self::Statement { name, fingerprint: fingerprint.to_string(), normalized }
            }
            Subject::Function { name } => Self::Function { name },
            Subject::Cache { namespace, key } => Self::Cache { namespace, key },
            Subject::Server { name, part } => Self::Server { name, part },
        }
    }
}

impl From<Cause> for CauseBody {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::SequentialScan { table, rows_read, rows_kept, plan } => {
                Self::SequentialScan { table, rows_read, rows_kept, plan }
            }
            Cause::Sort { table, plan } => Self::Sort { table, plan },
            Cause::RepeatedStatement { request, calls_per_request } => {
                Self::RepeatedStatement { request, calls_per_request }
            }
            Cause::UnboundedResult { rows_per_call } => Self::UnboundedResult { rows_per_call },
            Cause::RepeatedComputation { calls, distinct_arguments } => {
                Self::RepeatedComputation { calls, distinct_arguments }
            }
            Cause::AboveThreshold => Self::AboveThreshold,
            Cause::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Self::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio }
            }
            Cause::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio } => {
                Self::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio }
            }
            Cause::CacheLoss { spent_seconds, saved_seconds } => {
                Self::CacheLoss { spent_seconds, saved_seconds }
            }
            Cause::CacheCandidate { calls, hit_ratio, seconds_per_call } => {
                Self::CacheCandidate { calls, hit_ratio, seconds_per_call }
            }
            Cause::HotKey { request_share } => Self::HotKey { request_share },
            Cause::BigKey { bytes } => Self::BigKey { bytes },
            Cause::ServerCondition { section, detail } => Self::ServerCondition { section, detail },
        }
    }
}

impl FindingBody {
    pub(crate) fn of(finding: Finding, answers: &HashMap<FindingId, ProposalId>) -> Self {
        Self {
            proposal_id: answers.get(&finding.id).map(ToString::to_string),
            id: finding.id.to_string(),
            kind: finding.kind.as_str(),
            subject: finding.subject.into(),
            cause: finding.cause.into(),
            recommendation: finding.recommendation,
            estimated_impact: finding.impact.as_str(),
            evidence: finding.evidence.iter().map(ObservationBody::from).collect(),
            callers: finding.callers.iter().map(CallerBody::from).collect(),
            found_at: finding.found_at.seconds(),
            seen_at: finding.seen_at.seconds(),
        }
    }
}

/// Returns for each finding the newest proposal that answers it.
pub(crate) fn proposal_ids(proposals: &[ProposalRecord]) -> HashMap<FindingId, ProposalId> {
    // Newest first: an older one must not replace a newer one.
    let pairs = proposals.iter().rev().filter_map(|record| {
        record.proposal.finding.clone().map(|finding| (finding, record.proposal.id.clone()))
    });
    pairs.collect()
}

fn read(api: &Arc<Api>) -> Result<(Vec<Finding>, HashMap<FindingId, ProposalId>), Problem> {
    let control = &api.sources.control;
    let findings = control.findings().map_err(|error| of_store("read the findings", &error))?;
    let proposals = control.proposals().map_err(|error| of_store("read the proposals", &error))?;
    Ok((findings, proposal_ids(&proposals)))
}

/// List findings
///
/// What is slow, most recently seen first.
#[utoipa::path(get, path = "/findings", operation_id = "list_findings", tag = "Optimization",
    params(ListQuery),
    responses((status = 200, description = "The findings", body = FindingList), Refusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<FindingList> {
    let limit = query.limit()?;
    blocking(move || {
        let (findings, answers) = read(&api)?;
        Ok(Json(FindingList {
            total: findings.len(),
            findings: findings
                .into_iter()
                .take(limit)
                .map(|finding| FindingBody::of(finding, &answers))
                .collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}

/// Get a finding
#[utoipa::path(get, path = "/findings/{id}", operation_id = "get_finding", tag = "Optimization",
    params(("id" = String, Path, description = "Its identity", pattern = "^f-[0-9a-f]{16}$")),
    responses((status = 200, description = "The finding", body = FindingBody), Refusals, NotFound))]
pub(crate) async fn one(
    State(api): Shared,
    _: Viewer,
    Segment(id): Segment,
    _: NoParameters,
) -> Answer<FindingBody> {
    let unknown = || Problem::new(Code::FindingUnknown, "no finding has this identity");
    let id = FindingId::parse(&id).ok_or_else(unknown)?;
    blocking(move || {
        let (findings, answers) = read(&api)?;
        let finding = findings.into_iter().find(|finding| finding.id == id).ok_or_else(unknown)?;
        Ok(Json(FindingBody::of(finding, &answers)))
    })
    .await
}
