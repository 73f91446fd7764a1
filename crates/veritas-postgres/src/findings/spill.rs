//! Sorts and hashes that do not fit into memory.

use veritas_model::{Bytes, Finding, FindingKind, Unit};

use super::{PlanContext, Verdict};
use crate::plan::{Node, NodeKind};

/// What a row takes beside its columns while it is sorted or hashed, about.
const ROW_OVERHEAD: f64 = 24.0;
/// `work_mem` where nothing else is known: the default.
const WORK_MEMORY: u64 = 4 * 1024 * 1024;
/// Fewer temporary pages in a call are noise of others (a cursor, a function).
const LEAST_PAGES: f64 = 8.0;
/// Bytes of a page.
const PAGE: f64 = 8192.0;

/// Finds the node that writes to disk: by what an execution showed, or by what the
/// server counted and the plan expects.
pub(super) fn finding(context: &PlanContext<'_>) -> Option<Finding> {
    let measured = context.measured.temporary_per_call.filter(|pages| *pages >= LEAST_PAGES);
    let node = context.plan.nodes().find(|node| has_spilled(node)).or_else(|| {
        measured?;
        let spilling = context.plan.nodes().filter(|node| expected(context, node).is_some());
        spilling.max_by(|left, right| bytes(left).total_cmp(&bytes(right)))
    })?;
    let kind = if is_sort(node) { FindingKind::SortSpill } else { FindingKind::HashSpill };
    let needed = needed(node, measured);
    let word = if is_sort(node) { "sorts" } else { "hashes" };
    let mebibytes = (needed / (1024.0 * 1024.0)).ceil();
    let cause = context.cause(node, format!("{word} {mebibytes:.0} MiB, which does not fit into work_mem"));
    let recommendation = format!(
        "Let it {} fewer rows (an index in that order, a condition, fewer columns), or give its session a work_mem \
         above {mebibytes:.0} MiB",
        if is_sort(node) { "sort" } else { "hash" },
    );
    let mut evidence = vec![context.estimated("bytes_needed", needed, Unit::Bytes)];
    evidence.extend(measured.map(|pages| {
        veritas_model::Observation::measured("temporary_pages_per_call", pages, Unit::Count, context.now)
    }));
    Some(context.find(Verdict { kind, cause, recommendation, evidence }))
}

fn is_sort(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Sort | NodeKind::IncrementalSort)
}

/// What an execution showed.
fn has_spilled(node: &Node) -> bool {
    let Some(actual) = &node.actual else { return false };
    match node.kind {
        NodeKind::Sort => actual.sort_on_disk,
        NodeKind::Hash => actual.hash_batches.is_some_and(|batches| batches > 1.0),
        NodeKind::Aggregate => actual.disk_kilobytes.is_some_and(|kilobytes| kilobytes > 0.0),
        _ => false,
    }
}

/// What the plan expects to need, where that is more than there is.
fn expected(context: &PlanContext<'_>, node: &Node) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "sizes of memory stay below 2^53")]
    let memory = context.work_mem.map_or(WORK_MEMORY, Bytes::get) as f64;
    let hashed = memory * context.hash_memory.unwrap_or(1.0).max(1.0);
    let needed = bytes(node);
    let limit = match node.kind {
        NodeKind::Sort | NodeKind::IncrementalSort => memory,
        NodeKind::Hash => hashed,
        NodeKind::Aggregate if node.strategy.as_deref() == Some("Hashed") => hashed,
        _ => return None,
    };
    (needed > limit).then_some(needed)
}

fn bytes(node: &Node) -> f64 {
    node.rows * (node.width + ROW_OVERHEAD)
}

fn needed(node: &Node, temporary_pages: Option<f64>) -> f64 {
    let shown = node.actual.as_ref().and_then(|actual| actual.sort_kilobytes.or(actual.disk_kilobytes));
    let written = temporary_pages.map(|pages| pages * PAGE);
    shown.map(|kilobytes| kilobytes * 1024.0).or(written).unwrap_or(0.0).max(bytes(node))
}
