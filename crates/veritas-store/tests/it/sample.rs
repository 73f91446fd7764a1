//! Findings, proposals, changes and the rest, to store in tests.

use std::time::Duration;

use veritas_model::{
    AlertRule, AlertStatus, AlertTransition, Caller, Cause, Change, ChangeId, ChangeKind, ChangeState,
    Comparison, Estimate, Finding, FindingKind, Fingerprint, Impact, Interval, LiveGain, MeasuredGain,
    Observation, Outcome, Plan, Proposal, ProposalRecord, ProposalState, Severity, Subject, Timestamp, Unit,
    WorkMetric,
};
use veritas_store::AuditEntry;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + second * 1_000_000_000)
}

/// One finding of each cause and subject, with odd figures in the evidence.
pub(crate) fn findings() -> Vec<Finding> {
    let causes = [
        Cause::SequentialScan {
            table: "users".into(),
            rows_read: u64::MAX,
            rows_kept: 1,
            plan: "SCAN users\n'é\"".into(),
        },
        Cause::RepeatedStatement { request: "GET /users".into(), calls_per_request: 20.3 },
        Cause::UnboundedResult { rows_per_call: 1e6 },
        Cause::RepeatedComputation { calls: 1000, distinct_arguments: 3 },
        Cause::AboveThreshold,
    ];
    let kinds = FindingKind::ALL.into_iter().zip(causes);
    let seconds = [3, 1, 4, 2, 5];
    kinds
        .zip(seconds)
        .map(|((kind, cause), second)| {
            let normalized = format!("SELECT * FROM t WHERE k = '{}'", kind.as_str());
            let fingerprint = Fingerprint::of_normalized(&normalized);
            let subject = if kind == FindingKind::RepeatedComputation {
                Subject::Function { name: "hash".into() }
            } else {
                Subject::Statement { name: kind.as_str().into(), fingerprint, normalized }
            };
            let seconds = Observation::measured("seconds", 0.1 + 0.2, Unit::Seconds, at(second));
            let unknown = Observation::measured("unknown", f64::NAN, Unit::Ratio, at(second));
            Finding {
                id: Finding::identity(kind, &subject),
                kind,
                subject,
                cause,
                recommendation: "do something".into(),
                impact: Impact::High,
                evidence: vec![seconds, unknown],
                callers: vec![Caller { file: "src/main.rs".into(), line: 7 }],
                found_at: at(0),
                seen_at: at(second),
            }
        })
        .collect()
}

pub(crate) fn gain() -> MeasuredGain {
    let interval = Interval { low: 0.7, high: 0.9, confidence: 0.95 };
    MeasuredGain {
        metric: WorkMetric::VmSteps,
        pairs: 40,
        before: 1000.0,
        after: 200.5,
        gain: 0.8,
        gain_interval: interval,
        p_value: 1e-12,
        seconds_before: 0.1,
        seconds_after: 0.02,
        seconds_gain_interval: Interval { low: f64::NEG_INFINITY, ..interval },
        bytes_read_before: Some(4096.0),
        bytes_read_after: None,
        write_slowdown: Some(0.07),
        results_equal: true,
        method: "40 pairs on a copy".into(),
    }
}

pub(crate) fn live_gain() -> LiveGain {
    LiveGain {
        outcome: Outcome::Improved,
        metric: WorkMetric::Seconds,
        calls_before: 10,
        calls_after: 12,
        gain: 0.5,
        gain_interval: Interval { low: 0.4, high: 0.6, confidence: 0.95 },
        seconds_saved_per_call: -0.001,
        watched_seconds: 30.0,
    }
}

pub(crate) fn proposal(table: &str, second: i64) -> ProposalRecord {
    let plan = Plan {
        target: "main".into(),
        forward: format!("CREATE INDEX i ON {table}(a)"),
        inverse: "DROP INDEX i".into(),
        object: "i".into(),
        scope: vec![table.into()],
    };
    let kind = ChangeKind::IndexCreate;
    ProposalRecord {
        proposal: Proposal {
            id: Proposal::identity(kind, &plan),
            finding: findings().first().map(|finding| finding.id.clone()),
            kind,
            summary: format!("index {table}(a)"),
            plan,
            estimate: Some(Estimate {
                before: 1000.0,
                after: f64::INFINITY,
                unit: "planner cost".into(),
                bytes: Some(-8192),
                method: "what-if".into(),
            }),
            proposed_at: at(second),
        },
        state: ProposalState::Proven(gain()),
        changed_at: at(second),
    }
}

/// One proposal of each state that a change may begin from, and some.
pub(crate) fn proposals() -> Vec<ProposalRecord> {
    let states =
        [ProposalState::Proposed, ProposalState::Proven(gain()), ProposalState::NotProven("chance".into())];
    let records = states.into_iter().zip([("a", 2), ("b", 1), ("c", 3)]);
    records.map(|(state, (table, second))| ProposalRecord { state, ..proposal(table, second) }).collect()
}

pub(crate) fn change(proposal: &Proposal, second: i64) -> Change {
    Change {
        id: ChangeId::derive(&[proposal.id.as_str(), &second.to_string()]),
        proposal: proposal.id.clone(),
        kind: proposal.kind,
        summary: proposal.summary.clone(),
        plan: proposal.plan.clone(),
        state: ChangeState::Applying,
        approved_by: "ann".into(),
        approved_at: at(second),
        applied_at: None,
        settled_at: None,
        predicted: gain(),
        live: None,
        reason: "approved".into(),
    }
}

pub(crate) fn transition(rule: &str, status: AlertStatus, second: i64) -> AlertTransition {
    AlertTransition {
        rule: rule.into(),
        status,
        at: at(second),
        since: at(second - 10),
        value: 85.123_456_789,
        threshold: 80.0,
        severity: Severity::Warning,
        message: "High CPU usage: 85.12%".into(),
        cause: Some("process 4242".into()),
    }
}

pub(crate) fn rule(name: &str) -> AlertRule {
    AlertRule {
        name: name.into(),
        series: "system.cpu.percent".into(),
        comparison: Comparison::Above,
        threshold: 80.0,
        clear: None,
        hold: Duration::from_secs(10),
        keep_firing_for: Duration::ZERO,
        severity: Severity::Warning,
        title: "High CPU usage".into(),
    }
}

pub(crate) fn audit(second: i64) -> AuditEntry {
    AuditEntry {
        at: at(second),
        subject: "ann".into(),
        action: "approve".into(),
        object: "p-0123456789abcdef".into(),
        outcome: "ok".into(),
    }
}
