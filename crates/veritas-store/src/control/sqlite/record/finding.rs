//! The stored form of findings.

mod cause;

use serde::{Deserialize, Serialize};
use veritas_model::{
    Caller, Finding, FindingId, FindingKind, Fingerprint, Impact, Observation, Provenance, Subject,
    Timestamp, Unit,
};

use self::cause::CauseRecord;
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
            cause: self.cause.into_domain()?,
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
