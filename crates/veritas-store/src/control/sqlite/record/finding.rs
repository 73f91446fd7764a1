//! The stored form of findings.

use serde::{Deserialize, Serialize};
use veritas_model::{
    Caller, Cause, Finding, FindingId, FindingKind, Fingerprint, Impact, Observation, Provenance, Subject,
    Timestamp, Unit,
};

use super::{Nonsense, Number, Stored, word};

/// A finding.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct FindingRecord {
    id: String,
    kind: String,
    subject: SubjectRecord,
    cause: CauseRecord,
    recommendation: String,
    impact: String,
    evidence: Vec<ObservationRecord>,
    callers: Vec<CallerRecord>,
    found_at: i64,
    seen_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SubjectRecord {
    Statement { name: String, fingerprint: u64, normalized: String },
    Function { name: String },
    Cache { namespace: String, key: Option<String> },
    Server { name: String, part: Option<String> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CauseRecord {
    SequentialScan {
        table: String,
        rows_read: u64,
        rows_kept: u64,
        plan: String,
    },
    Sort {
        table: String,
        plan: String,
    },
    RepeatedStatement {
        request: String,
        calls_per_request: Number,
    },
    UnboundedResult {
        rows_per_call: Number,
    },
    RepeatedComputation {
        calls: u64,
        distinct_arguments: u64,
    },
    AboveThreshold,
    CacheSize {
        capacity: u64,
        hit_ratio: Number,
        advised_capacity: u64,
        advised_hit_ratio: Number,
    },
    CacheTimeToLive {
        ttl_seconds: Number,
        hit_ratio: Number,
        advised_ttl_seconds: Number,
        advised_hit_ratio: Number,
    },
    CacheLoss {
        spent_seconds: Number,
        saved_seconds: Number,
    },
    CacheCandidate {
        calls: u64,
        hit_ratio: Number,
        seconds_per_call: Number,
    },
    HotKey {
        request_share: Number,
    },
    BigKey {
        bytes: u64,
    },
    ServerCondition {
        section: String,
        detail: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct ObservationRecord {
    name: String,
    value: Number,
    unit: String,
    provenance: String,
    observed_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct CallerRecord {
    file: String,
    line: u32,
}

impl Stored for FindingRecord {
    type Domain = Finding;
    type Given = Finding;

    fn of(given: &Finding) -> Self {
        let evidence = given.evidence.iter().map(|observation| ObservationRecord {
            name: observation.name.clone(),
            value: observation.value.into(),
            unit: observation.unit.as_str().to_owned(),
            provenance: observation.provenance.as_str().to_owned(),
            observed_at: observation.observed_at.nanos(),
        });
        let callers = given.callers.iter();
        Self {
            id: given.id.to_string(),
            kind: given.kind.as_str().to_owned(),
            subject: SubjectRecord::from(&given.subject),
            cause: CauseRecord::from(&given.cause),
            recommendation: given.recommendation.clone(),
            impact: given.impact.as_str().to_owned(),
            evidence: evidence.collect(),
            callers: callers
                .map(|caller| CallerRecord { file: caller.file.clone(), line: caller.line })
                .collect(),
            found_at: given.found_at.nanos(),
            seen_at: given.seen_at.nanos(),
        }
    }

    fn into_domain(self) -> Result<Finding, Nonsense> {
        let callers = self.callers.into_iter();
        Ok(Finding {
            id: word("identity of a finding", self.id, FindingId::parse)?,
            kind: word("kind of finding", self.kind, FindingKind::parse)?,
            subject: self.subject.into(),
            cause: self.cause.into(),
            recommendation: self.recommendation,
            impact: word("impact", self.impact, Impact::parse)?,
            evidence: self
                .evidence
                .into_iter()
                .map(ObservationRecord::into_domain)
                .collect::<Result<_, _>>()?,
            callers: callers.map(|caller| Caller { file: caller.file, line: caller.line }).collect(),
            found_at: Timestamp::from_nanos(self.found_at),
            seen_at: Timestamp::from_nanos(self.seen_at),
        })
    }
}

impl ObservationRecord {
    fn into_domain(self) -> Result<Observation, Nonsense> {
        Ok(Observation {
            name: self.name,
            value: self.value.into(),
            unit: word("unit", self.unit, Unit::parse)?,
            provenance: word("provenance", self.provenance, Provenance::parse)?,
            observed_at: Timestamp::from_nanos(self.observed_at),
        })
    }
}

impl From<&Subject> for SubjectRecord {
    fn from(subject: &Subject) -> Self {
        match subject.clone() {
            Subject::Statement { name, fingerprint, normalized } => {
                Self::Statement { name, fingerprint: fingerprint.as_u64(), normalized }
            }
            Subject::Function { name } => Self::Function { name },
            Subject::Cache { namespace, key } => Self::Cache { namespace, key },
            Subject::Server { name, part } => Self::Server { name, part },
        }
    }
}

impl From<SubjectRecord> for Subject {
    fn from(record: SubjectRecord) -> Self {
        match record {
            SubjectRecord::Statement { name, fingerprint, normalized } => {
                Self::Statement { name, fingerprint: Fingerprint::from_u64(fingerprint), normalized }
            }
            SubjectRecord::Function { name } => Self::Function { name },
            SubjectRecord::Cache { namespace, key } => Self::Cache { namespace, key },
            SubjectRecord::Server { name, part } => Self::Server { name, part },
        }
    }
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> Self {
        match cause.clone() {
            Cause::SequentialScan { table, rows_read, rows_kept, plan } => {
                Self::SequentialScan { table, rows_read, rows_kept, plan }
            }
            Cause::Sort { table, plan } => Self::Sort { table, plan },
            Cause::RepeatedStatement { request, calls_per_request } => {
                Self::RepeatedStatement { request, calls_per_request: calls_per_request.into() }
            }
            Cause::UnboundedResult { rows_per_call } => {
                Self::UnboundedResult { rows_per_call: rows_per_call.into() }
            }
            Cause::RepeatedComputation { calls, distinct_arguments } => {
                Self::RepeatedComputation { calls, distinct_arguments }
            }
            Cause::AboveThreshold => Self::AboveThreshold,
            Cause::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Self::CacheSize {
                    capacity,
                    hit_ratio: hit_ratio.into(),
                    advised_capacity,
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Cause::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio } => {
                Self::CacheTimeToLive {
                    ttl_seconds: ttl_seconds.into(),
                    hit_ratio: hit_ratio.into(),
                    advised_ttl_seconds: advised_ttl_seconds.into(),
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Cause::CacheLoss { spent_seconds, saved_seconds } => {
                Self::CacheLoss { spent_seconds: spent_seconds.into(), saved_seconds: saved_seconds.into() }
            }
            Cause::CacheCandidate { calls, hit_ratio, seconds_per_call } => Self::CacheCandidate {
                calls,
                hit_ratio: hit_ratio.into(),
                seconds_per_call: seconds_per_call.into(),
            },
            Cause::HotKey { request_share } => Self::HotKey { request_share: request_share.into() },
            Cause::BigKey { bytes } => Self::BigKey { bytes },
            Cause::ServerCondition { section, detail } => Self::ServerCondition { section, detail },
        }
    }
}

impl From<CauseRecord> for Cause {
    fn from(record: CauseRecord) -> Self {
        match record {
            CauseRecord::SequentialScan { table, rows_read, rows_kept, plan } => {
                Self::SequentialScan { table, rows_read, rows_kept, plan }
            }
            CauseRecord::Sort { table, plan } => Self::Sort { table, plan },
            CauseRecord::RepeatedStatement { request, calls_per_request } => {
                Self::RepeatedStatement { request, calls_per_request: calls_per_request.into() }
            }
            CauseRecord::UnboundedResult { rows_per_call } => {
                Self::UnboundedResult { rows_per_call: rows_per_call.into() }
            }
            CauseRecord::RepeatedComputation { calls, distinct_arguments } => {
                Self::RepeatedComputation { calls, distinct_arguments }
            }
            CauseRecord::AboveThreshold => Self::AboveThreshold,
            CauseRecord::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Self::CacheSize {
                    capacity,
                    hit_ratio: hit_ratio.into(),
                    advised_capacity,
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            CauseRecord::CacheTimeToLive {
                ttl_seconds,
                hit_ratio,
                advised_ttl_seconds,
                advised_hit_ratio,
            } => Self::CacheTimeToLive {
                ttl_seconds: ttl_seconds.into(),
                hit_ratio: hit_ratio.into(),
                advised_ttl_seconds: advised_ttl_seconds.into(),
                advised_hit_ratio: advised_hit_ratio.into(),
            },
            CauseRecord::CacheLoss { spent_seconds, saved_seconds } => {
                Self::CacheLoss { spent_seconds: spent_seconds.into(), saved_seconds: saved_seconds.into() }
            }
            CauseRecord::CacheCandidate { calls, hit_ratio, seconds_per_call } => Self::CacheCandidate {
                calls,
                hit_ratio: hit_ratio.into(),
                seconds_per_call: seconds_per_call.into(),
            },
            CauseRecord::HotKey { request_share } => Self::HotKey { request_share: request_share.into() },
            CauseRecord::BigKey { bytes } => Self::BigKey { bytes },
            CauseRecord::ServerCondition { section, detail } => Self::ServerCondition { section, detail },
        }
    }
}
