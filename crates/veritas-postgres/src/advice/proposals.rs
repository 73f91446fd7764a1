//! From the result of a search to findings and proposals.

use std::collections::BTreeSet;

use veritas_database::StatementSnapshot;
use veritas_index_advisor as advisor;
use veritas_index_advisor::Chosen;
use veritas_model::{
    Caller, Cause, ChangeKind, Estimate, Finding, FindingKind, Fingerprint, Impact, Observation, Proposal,
    Provenance, Subject, Timestamp, Unit,
};

use super::{
    Advice, Case, Skipped,
    round::{Prepared, facts_of},
};
use crate::{
    actuator::IndexDefinition,
    plan::{Node, NodeKind, Plan},
    what_if::Method,
};

/// A statement whose plan costs less than this is cheap either way (the planner's unit: a page read).
const CHEAP: f64 = 100.0;
/// Calls that are faster than this need no index, unless they take much of the time together.
const FAST: f64 = 0.000_5;
/// Share of the time of all statements that is much.
const MUCH: f64 = 0.05;
/// The share of its cost that a statement must be spared for an index to be worth a word.
const SPARED: f64 = 0.3;

/// What a turn is about.
pub(super) struct About<'a> {
    pub(super) target: &'a str,
    pub(super) cases: &'a [Case],
    pub(super) prepared: &'a Prepared,
    /// Where statements come from.
    pub(super) callers: &'a StatementSnapshot,
    /// Statements whose predicates no index serves as they are written.
    pub(super) misspelt: BTreeSet<Fingerprint>,
    pub(super) method: Method,
    pub(super) now: Timestamp,
}

/// Adds a finding for each statement that a new index helps, and a proposal for each index.
pub(super) fn creates(about: &About<'_>, found: &advisor::Advice, advice: &mut Advice) {
    let all: f64 = about.cases.iter().map(|case| case.seconds).sum();
    for chosen in &found.chosen {
        let is_helped = |gain: &&advisor::StatementGain| {
            let case = case(about, gain.statement);
            let is_slow = case.seconds >= FAST * case.calls || case.seconds >= MUCH * all;
            let is_spared = gain.before >= CHEAP && gain.after <= gain.before * (1.0 - SPARED);
            // As it is written, an index would be read from end to end.
            is_slow && is_spared && !about.misspelt.contains(&case.fingerprint)
        };
        let helped: Vec<_> = chosen.statements.iter().filter(is_helped).collect();
        if helped.is_empty() {
            let reason = "it would help statements a little that are cheap already".to_owned();
            advice.skipped.push(Skipped { name: chosen.spec.to_string(), reason });
            continue;
        }
        let definition = match IndexDefinition::new(chosen.spec.clone()) {
            Ok(definition) => definition,
            Err(reason) => {
                advice.skipped.push(Skipped { name: chosen.spec.to_string(), reason });
                continue;
            }
        };
        let mut first = None;
        for gain in helped {
            let finding = finding(about, chosen, *gain);
            let _id = first.get_or_insert_with(|| finding.id.clone());
            // One statement is one finding, under the index that helps it most.
            if !advice.findings.iter().any(|known| known.id == finding.id) {
                advice.findings.push(finding);
            }
        }
        let plan = definition.plan(about.target);
        advice.proposals.push(Proposal {
            id: Proposal::identity(ChangeKind::IndexCreate, &plan),
            finding: first,
            kind: ChangeKind::IndexCreate,
            summary: format!("index on {}", chosen.spec),
            plan,
            estimate: Some(estimate(about, chosen)),
            proposed_at: about.now,
        });
    }
}

fn case<'a>(about: &'a About<'_>, statement: usize) -> &'a Case {
    &about.cases[about.prepared.input[statement]]
}

fn estimate(about: &About<'_>, chosen: &Chosen) -> Estimate {
    let sum = |of: fn(&advisor::StatementGain) -> f64| {
        chosen.statements.iter().map(|gain| case(about, gain.statement).calls * of(gain)).sum()
    };
    Estimate {
        before: sum(|gain| gain.before),
        after: sum(|gain| gain.after),
        unit: "planner cost".to_owned(),
        bytes: i64::try_from(chosen.size.mean.get()).ok(),
        method: about.method.as_str().to_owned(),
    }
}

fn finding(about: &About<'_>, chosen: &Chosen, gain: advisor::StatementGain) -> Finding {
    let case = case(about, gain.statement);
    let subject = Subject::Statement {
        name: case.name.clone(),
        fingerprint: case.fingerprint,
        normalized: case.normalized.clone(),
    };
    let plan = &about.prepared.plans[gain.statement];
    let all: f64 = about.cases.iter().map(|case| case.seconds).sum();
    let share = if all > 0.0 { case.seconds / all } else { 0.0 };
    let measured = |name: &str, value: f64, unit: Unit| Observation::measured(name, value, unit, about.now);
    let estimated = |name: &str, value: f64, unit: Unit| Observation {
        provenance: Provenance::Estimated,
        ..measured(name, value, unit)
    };
    let evidence = vec![
        measured("calls", case.calls, Unit::Count),
        measured("mean_seconds", case.seconds / case.calls.max(1.0), Unit::Seconds),
        measured("share_of_database_time", share, Unit::Ratio),
        estimated("planner_cost_before", gain.before, Unit::Count),
        estimated("planner_cost_after", gain.after, Unit::Count),
    ];
    Finding {
        id: Finding::identity(FindingKind::MissingIndex, &subject),
        kind: FindingKind::MissingIndex,
        cause: cause(about, chosen, plan),
        recommendation: format!(
            "Create an index on {}: the planner expects a call to cost {:.0} instead of {:.0}",
            chosen.spec, gain.after, gain.before
        ),
        impact: Impact::of_time_share(share),
        evidence,
        callers: callers(about.callers, case),
        found_at: about.now,
        seen_at: about.now,
        subject,
    }
}

/// Says what the plan does at the index's table: what it reads, and what it keeps.
fn cause(about: &About<'_>, chosen: &Chosen, plan: &Plan) -> Cause {
    let table = chosen.spec.table.to_string();
    let text = plan.text_without_literals();
    let is_there = |node: &&Node| {
        node.kind.is_table_scan()
            && node.relation.as_ref().is_some_and(|relation| {
                relation.schema == chosen.spec.table.schema && relation.name == chosen.spec.table.name
            })
    };
    let scan =
        plan.nodes().filter(is_there).max_by(|left, right| left.total_cost.total_cmp(&right.total_cost));
    let rows = facts_of(&about.prepared.facts, &chosen.spec).map_or(0.0, |facts| facts.rows);
    match scan {
        Some(node) if node.kind == NodeKind::SeqScan && node.filter.is_some() => {
            Cause::SequentialScan { table, rows_read: whole(rows), rows_kept: whole(node.rows), plan: text }
        }
        scan => Cause::Plan {
            node: scan.map_or("Seq Scan", |node| node.kind.as_str()).to_owned(),
            detail: format!("its rows are read otherwise than by an index on {}", chosen.spec),
            table: Some(table),
            plan: text,
        },
    }
}

pub(super) fn callers(snapshot: &StatementSnapshot, case: &Case) -> Vec<Caller> {
    let mut counted: Vec<(u64, &Caller)> = snapshot
        .statements
        .iter()
        .filter(|statement| statement.fingerprint == case.fingerprint)
        .flat_map(|statement| statement.callers.iter().map(|count| (count.calls, &count.caller)))
        .collect();
    counted.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    let mut callers: Vec<Caller> = Vec::new();
    for (_, caller) in counted {
        if !callers.contains(caller) {
            callers.push(caller.clone());
        }
    }
    callers
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of rows is not negative, and the cast saturates"
)]
fn whole(rows: f64) -> u64 {
    rows.round() as u64
}
