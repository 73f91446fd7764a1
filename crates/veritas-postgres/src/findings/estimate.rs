//! Estimates that are far from what is there.

use veritas_model::{Finding, FindingKind, Observation, Unit};

use super::{PlanContext, Verdict, tables};
use crate::plan::{Node, NodeKind};

/// Estimates are off by some factors everywhere; from here on plans go wrong.
const FACTOR: f64 = 20.0;
/// Fewer rows on both sides make no plan slow.
const LEAST_ROWS: f64 = 1_000.0;
/// A mean of fewer calls tells little.
const LEAST_CALLS: u64 = 10;

/// Finds a node whose rows were misjudged; silent where old statistics say it already.
pub(super) fn finding(context: &PlanContext<'_>) -> Option<Finding> {
    let (node, expected, found) = executed(context).or_else(|| measured(context))?;
    let stale = context.plan.relations().into_iter().filter_map(|relation| context.table(relation));
    if stale.into_iter().any(tables::is_stale) {
        return None;
    }
    let relation = node.walk().find_map(|node| node.relation.as_ref());
    let table = relation.map_or("its tables", |relation| relation.name.as_str());
    let recommendation = format!(
        "Teach the planner about {table}: CREATE STATISTICS on columns that go together, or a higher statistics \
         target; it expects {expected:.0} rows where there are {found:.0}"
    );
    let cause = context.cause(node, format!("expects {expected:.0} rows, and there are {found:.0}"));
    let evidence = vec![
        context.estimated("rows_expected", expected, Unit::Rows),
        Observation::measured("rows_found", found, Unit::Rows, context.now),
    ];
    Some(context.find(Verdict { kind: FindingKind::Misestimate, cause, recommendation, evidence }))
}

fn is_off(expected: f64, found: f64) -> bool {
    let (expected, found) = (expected.max(1.0), found.max(1.0));
    expected.max(found) >= LEAST_ROWS && (expected / found >= FACTOR || found / expected >= FACTOR)
}

/// The lowest node that an execution showed to be misjudged: those above follow from it.
fn executed<'a>(context: &PlanContext<'a>) -> Option<(&'a Node, f64, f64)> {
    let is_cut_short = context.plan.nodes().any(|node| node.kind == NodeKind::Limit);
    if is_cut_short || context.plan.generic {
        return None;
    }
    let nodes: Vec<&Node> = context.plan.nodes().collect();
    nodes.into_iter().rev().find_map(|node| {
        let actual = node.actual.as_ref().filter(|actual| actual.loops > 0.0)?;
        is_off(node.rows, actual.rows).then_some((node, node.rows, actual.rows))
    })
}

/// The whole statement, by the rows that its calls returned.
fn measured<'a>(context: &PlanContext<'a>) -> Option<(&'a Node, f64, f64)> {
    let root = &context.plan.root;
    let found = context.measured.rows_per_call?;
    let is_comparable = !context.plan.generic
        && root.actual.is_none()
        && !matches!(root.kind, NodeKind::ModifyTable)
        // How many groups there are is no question of a table's statistics.
        && context.plan.nodes().all(|node| !matches!(node.kind, NodeKind::Aggregate | NodeKind::Group))
        && context.plan.nodes().all(|node| node.kind != NodeKind::Limit)
        && context.measured.calls.is_some_and(|calls| calls >= LEAST_CALLS);
    (is_comparable && is_off(root.rows, found)).then_some((root, root.rows, found))
}
