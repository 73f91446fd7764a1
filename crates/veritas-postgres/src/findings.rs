//! What plans and readings show to be slow, and why.
//!
//! Two pure functions: [`of_plan`] looks at one statement with its plan and what it cost,
//! [`of_reading`] at what a server told of itself. Every rule would rather stay silent
//! than be wrong: it fires on figures that stand in the evidence, and each threshold says
//! where it is defined why it lies there. No finding holds a literal.

mod estimate;
mod expression;
mod indexes;
mod scan;
mod server;
mod sessions;
mod spill;
mod tables;
mod thresholds;
mod wording;

use veritas_database::server::{ServerReading, TableReading};
use veritas_index_advisor::TableFacts;
use veritas_model::{
    Bytes, Cause, Finding, FindingKind, Impact, Observation, Provenance, Subject, Timestamp, Unit,
};

pub use self::thresholds::Thresholds;

use crate::plan::{Node, Plan, Relation};

/// A statement with its plan, what it cost, and what is known of its tables.
#[derive(Debug, Clone, Copy)]
pub struct PlanContext<'a> {
    /// The statement; always [`Subject::Statement`].
    pub subject: &'a Subject,
    /// Its plan.
    pub plan: &'a Plan,
    /// What its calls cost.
    pub measured: Measured,
    /// What is known of the tables in the plan.
    pub facts: &'a [TableFacts],
    /// The tables as the server counts them.
    pub tables: &'a [TableReading],
    /// The server's `work_mem`.
    pub work_mem: Option<Bytes>,
    /// The server's `hash_mem_multiplier`.
    pub hash_memory: Option<f64>,
    /// The time of the finding.
    pub now: Timestamp,
}

/// What the calls of a statement cost, each figure `None` where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Calls.
    pub calls: Option<u64>,
    /// Mean seconds of a call.
    pub mean_seconds: Option<f64>,
    /// Mean rows of a call.
    pub rows_per_call: Option<f64>,
    /// Mean pages of a call.
    pub buffers_per_call: Option<f64>,
    /// Mean pages of temporary files that a call writes.
    pub temporary_per_call: Option<f64>,
    /// The largest `OFFSET` that was seen.
    pub largest_offset: Option<u64>,
    /// Its share of the time of all statements, 0 to 1.
    pub time_share: Option<f64>,
}

/// Finds what a statement's plan shows. Each kind at most once, in a fixed order.
pub fn of_plan(context: &PlanContext<'_>) -> Vec<Finding> {
    let found = [
        scan::finding(context),
        scan::order(context),
        spill::finding(context),
        estimate::finding(context),
        wording::offset(context),
        wording::wide(context),
        wording::not_in(context),
    ];
    let mut seen = std::collections::BTreeSet::new();
    found.into_iter().flatten().filter(|finding| seen.insert(finding.kind)).collect()
}

/// Finds what a reading of a server shows, together with the one `before` where there is one.
pub fn of_reading(
    reading: &ServerReading,
    before: Option<&ServerReading>,
    thresholds: &Thresholds,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(sessions::findings(reading, thresholds));
    found.extend(indexes::findings(reading, before, thresholds.disuse));
    found.extend(tables::findings(reading));
    found.extend(server::findings(reading));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|finding| seen.insert(finding.id.clone()));
    found
}

/// What a rule says, before it is a finding.
struct Verdict {
    kind: FindingKind,
    cause: Cause,
    recommendation: String,
    evidence: Vec<Observation>,
}

impl PlanContext<'_> {
    fn find(&self, verdict: Verdict) -> Finding {
        let mut evidence = verdict.evidence;
        let measured = &self.measured;
        #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
        let calls = measured.calls.map(|calls| calls as f64);
        let figures = [
            ("calls", calls, Unit::Count),
            ("mean_seconds", measured.mean_seconds, Unit::Seconds),
            ("rows_per_call", measured.rows_per_call, Unit::Rows),
            ("buffers_per_call", measured.buffers_per_call, Unit::Count),
            ("share_of_database_time", measured.time_share, Unit::Ratio),
        ];
        for (name, value, unit) in figures {
            evidence.extend(value.map(|value| Observation::measured(name, value, unit, self.now)));
        }
        Finding {
            id: Finding::identity(verdict.kind, self.subject),
            kind: verdict.kind,
            subject: self.subject.clone(),
            cause: verdict.cause,
            recommendation: verdict.recommendation,
            impact: Impact::of_time_share(measured.time_share.unwrap_or(0.0)),
            evidence,
            callers: Vec::new(),
            found_at: self.now,
            seen_at: self.now,
        }
    }

    /// The cause that names a node of the plan.
    fn cause(&self, node: &Node, detail: impl Into<String>) -> Cause {
        Cause::Plan {
            node: node.kind.as_str().to_owned(),
            table: node.relation.as_ref().map(|relation| relation.name.clone()),
            detail: detail.into(),
            plan: self.plan.text_without_literals(),
        }
    }

    fn estimated(&self, name: &str, value: f64, unit: Unit) -> Observation {
        Observation {
            provenance: Provenance::Estimated,
            ..Observation::measured(name, value, unit, self.now)
        }
    }

    fn facts(&self, relation: &Relation) -> Option<&TableFacts> {
        self.facts
            .iter()
            .find(|facts| facts.table.schema == relation.schema && facts.table.name == relation.name)
    }

    fn table(&self, relation: &Relation) -> Option<&TableReading> {
        self.tables.iter().find(|table| table.schema == relation.schema && table.name == relation.name)
    }

    /// Rows of a table, as far as the server knows.
    fn rows(&self, relation: &Relation) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of rows stay below 2^53")]
        let counted = self.table(relation).and_then(|table| table.rows).map(|rows| rows as f64);
        self.facts(relation).map(|facts| facts.rows).or(counted)
    }

    /// The statement without its literals.
    fn text(&self) -> &str {
        match self.subject {
            Subject::Statement { normalized, .. } => normalized,
            _ => "",
        }
    }
}

/// A finding on a server, or a part of it.
fn on_server(reading: &ServerReading, part: Option<String>, impact: Impact, verdict: Verdict) -> Finding {
    let subject = Subject::Server { name: reading.name.clone(), part };
    Finding {
        id: Finding::identity(verdict.kind, &subject),
        kind: verdict.kind,
        subject,
        cause: verdict.cause,
        recommendation: verdict.recommendation,
        impact,
        evidence: verdict.evidence,
        callers: Vec::new(),
        found_at: reading.read_at,
        seen_at: reading.read_at,
    }
}

/// The cause that names a section of a server.
fn condition(section: &str, detail: impl Into<String>) -> Cause {
    Cause::ServerCondition { section: section.to_owned(), detail: detail.into() }
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a server stay below 2^53")]
fn figure(reading: &ServerReading, name: &str, value: u64, unit: Unit) -> Observation {
    Observation::measured(name, value as f64, unit, reading.read_at)
}
