//! `/findings`: what is slow, why, and the evidence.

mod cause;

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::{Caller, Finding, FindingId, Observation, ProposalId, ProposalRecord, Subject};

use self::cause::CauseBody;
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
    SequentialScan,
    SortSpill,
    HashSpill,
    Misestimate,
    StaleStatistics,
    NonSargable,
    ImplicitCast,
    OffsetPagination,
    WideSelect,
    NotIn,
    Rewrite,
    RedundantStatement,
    ChattyLoop,
    LockWait,
    IdleInTransaction,
    LongTransaction,
    GenericPlan,
    PlanChange,
    UnusedIndex,
    DuplicateIndex,
    RedundantIndex,
    InvalidIndex,
    IndexBloat,
    TableBloat,
    PoolSize,
    Connections,
    ServerSetting,
    Wraparound,
    Replication,
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
