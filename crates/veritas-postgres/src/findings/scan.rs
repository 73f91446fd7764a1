//! Whole tables that are read to keep few rows, and rows that are sorted to keep few.

use veritas_index_advisor::{Layout, TableFacts};
use veritas_model::{Cause, Finding, FindingKind, Unit};

use super::{
    PlanContext, Verdict,
    expression::{Part, parts},
};
use crate::plan::{Node, NodeKind, Role};

/// Smaller tables are read as fast as an index on them.
const LEAST_ROWS: f64 = 2_000.0;
/// Above this share an index saves nothing.
const FEW: f64 = 0.05;
/// An equality that keeps more than this share is not what an index is for.
const SELECTIVE: f64 = 0.2;
/// Sorting fewer rows costs next to nothing.
const LEAST_SORTED: f64 = 2_000.0;
/// Fewer rows than this share of those sorted are few.
const FEW_OF_SORTED: f64 = 0.1;

/// Finds the costliest scan that keeps few of its rows, and says why no index serves it.
pub(super) fn finding(context: &PlanContext<'_>) -> Option<Finding> {
    let nodes = context.plan.nodes_with_parents();
    let scans = nodes.iter().filter_map(|(parent, node)| {
        // An index that is read from end to end is no better than the table.
        let is_whole = node.kind == NodeKind::SeqScan
            || node.kind == NodeKind::IndexOnlyScan && node.index_condition.is_none();
        let is_scan = is_whole && node.filter.is_some();
        (is_scan && !ends_early(*parent, node)).then(|| wasteful(context, node))?
    });
    let (node, read, kept) = scans.max_by(|left, right| left.0.total_cost.total_cmp(&right.0.total_cost))?;
    let filter = node.filter.as_deref()?;
    let facts = node.relation.as_ref().and_then(|relation| context.facts(relation))?;
    let parts = parts(node, filter).unwrap_or_default();
    let table = facts.table.name.as_str();

    let verdict = judge(context, node, facts, &parts).unwrap_or_else(|| {
        let detail = format!("reads {read:.0} rows of {table} and keeps {kept:.0}");
        Some((
            FindingKind::SequentialScan,
            context.cause(node, detail),
            format!(
                "Write the condition on {table} so that an index can serve it, or read less of the table: no \
                 index serves it as it is written"
            ),
        ))
    });
    let (kind, cause, recommendation) = verdict?;
    let cause = match kind {
        FindingKind::MissingIndex => Cause::SequentialScan {
            table: table.to_owned(),
            rows_read: whole(read),
            rows_kept: whole(kept),
            plan: context.plan.text_without_literals(),
        },
        _ => cause,
    };
    let evidence = vec![
        context.estimated("rows_read_per_call", read, Unit::Rows),
        context.estimated("rows_kept_per_call", kept, Unit::Rows),
        context.estimated("plan_cost", context.plan.cost(), Unit::Count),
    ];
    Some(context.find(Verdict { kind, cause, recommendation, evidence }))
}

/// A `Limit` above that expects to stop long before the end of the table.
fn ends_early(parent: Option<&Node>, node: &Node) -> bool {
    parent.is_some_and(|parent| {
        parent.kind == NodeKind::Limit && parent.total_cost < node.total_cost * FEW_OF_SORTED
    })
}

/// Rows that a scan reads and keeps, when it keeps few of many.
fn wasteful<'a>(context: &PlanContext<'_>, node: &'a Node) -> Option<(&'a Node, f64, f64)> {
    let read = context.rows(node.relation.as_ref()?)?;
    let mut kept = match &node.actual {
        Some(actual) if actual.loops > 0.0 => actual.rows,
        _ => node.rows,
    };
    // A statement that reads one table only and returns its rows tells what is really kept.
    let returns_rows =
        context.plan.nodes().all(|node| node.kind == NodeKind::SeqScan || node.kind == NodeKind::Gather);
    if returns_rows && node.actual.is_none() {
        kept = kept.max(context.measured.rows_per_call.unwrap_or(0.0));
    }
    (read >= LEAST_ROWS && kept <= read * FEW).then_some((node, read, kept))
}

type Judged = Option<(FindingKind, Cause, String)>;

/// Says what stands between the scan and an index. `None`: nothing that is known; the
/// inner `None`: an index is there, and was not chosen.
fn judge(context: &PlanContext<'_>, node: &Node, facts: &TableFacts, parts: &[Part]) -> Option<Judged> {
    let table = &facts.table.name;
    let mut indexed = false;
    for part in parts {
        let Part::Plain { column, equality } = plain(part, facts) else { continue };
        if leads_an_index(facts, &column) {
            indexed = true;
        } else if !equality || is_selective(facts, &column) {
            let recommendation = format!(
                "Let an index begin with {table}.{column}: the whole table is read to keep few of its rows"
            );
            return Some(Some((FindingKind::MissingIndex, context.cause(node, ""), recommendation)));
        }
    }
    for part in parts {
        let (kind, detail, recommendation) = match plain(part, facts) {
            Part::Cast { column, type_name } => cast(context, table, &column, &type_name),
            Part::Computed { column, by } => (
                FindingKind::NonSargable,
                format!("{column} is inside of {by}, so that no index on it can serve the comparison"),
                format!(
                    "Compare {table}.{column} itself with what is computed from the value (a range instead of \
                     {by}), or make an index on the same expression"
                ),
            ),
            Part::Pattern { column } => (
                FindingKind::NonSargable,
                format!(
                    "the pattern on {column} begins with anything, so that no ordered index can serve it"
                ),
                format!(
                    "Search {table}.{column} by its beginning, or make a trigram index (pg_trgm, GIN) on it"
                ),
            ),
            Part::Alternatives { columns } if columns.iter().any(|column| !leads_an_index(facts, column)) => {
                (
                    FindingKind::NonSargable,
                    format!(
                        "alternatives on {} are joined by OR, and not each has an index",
                        columns.join(", ")
                    ),
                    format!(
                        "Give each of {} on {table} an index, or write one SELECT for each and join them by UNION",
                        columns.join(", ")
                    ),
                )
            }
            _ => continue,
        };
        return Some(Some((kind, context.cause(node, detail), recommendation)));
    }
    indexed.then_some(None)
}

fn cast(
    context: &PlanContext<'_>,
    table: &str,
    column: &str,
    type_name: &str,
) -> (FindingKind, String, String) {
    let text = context.text();
    let is_written = text.contains("::") || text.contains("cast");
    if is_written {
        return (
            FindingKind::NonSargable,
            format!("{column} is converted to {type_name}, so that no index on it can serve the comparison"),
            format!(
                "Convert the value to the type of {table}.{column} instead of the column (a range for a day)"
            ),
        );
    }
    (
        FindingKind::ImplicitCast,
        format!("{column} is converted to {type_name}, since the value is of that type"),
        format!(
            "Bind the value in the type of {table}.{column}: compared as {type_name}, every row is converted and \
             no index on it can serve"
        ),
    )
}

/// A conversion between texts changes no bytes, and hides no column from its index.
fn plain(part: &Part, facts: &TableFacts) -> Part {
    match part {
        Part::Cast { column, type_name } => {
            let layout = facts.columns.iter().find(|facts| facts.name == *column).map(|facts| facts.layout);
            let is_text = ["text", "character varying", "varchar", "bpchar", "name"]
                .iter()
                .any(|text| type_name.starts_with(text));
            match layout {
                Some(Layout::Variable { .. }) if is_text => {
                    Part::Plain { column: column.clone(), equality: true }
                }
                None => Part::Other,
                _ => part.clone(),
            }
        }
        other => other.clone(),
    }
}

fn leads_an_index(facts: &TableFacts, column: &str) -> bool {
    facts.existing.iter().any(|index| {
        index.spec.predicate.is_none() && index.spec.keys.first().and_then(|key| key.name()) == Some(column)
    })
}

fn is_selective(facts: &TableFacts, column: &str) -> bool {
    let distinct = facts.columns.iter().find(|facts| facts.name == column).map(|facts| facts.distinct.count);
    distinct.is_none_or(|count| count * SELECTIVE >= 1.0)
}

/// Finds rows that are sorted whole though only the first are asked for.
pub(super) fn order(context: &PlanContext<'_>) -> Option<Finding> {
    let limit = context.plan.nodes().find(|node| node.kind == NodeKind::Limit)?;
    let mut below = limit.child(Role::Outer)?;
    if matches!(below.kind, NodeKind::GatherMerge | NodeKind::Gather) {
        below = below.child(Role::Outer)?;
    }
    if below.kind != NodeKind::Sort {
        return None;
    }
    let scan = below.child(Role::Outer).filter(|node| node.kind == NodeKind::SeqScan)?;
    let relation = scan.relation.as_ref()?;
    let facts = context.facts(relation)?;
    let sorted = below.child(Role::Outer)?.rows;
    // The optimizer of the scan has its say first: one finding for one scan.
    let is_filtered = scan.filter.is_some() && scan.rows <= facts.rows * FEW;
    if sorted < LEAST_SORTED || limit.rows > sorted * FEW_OF_SORTED || is_filtered {
        return None;
    }
    let alias = scan.alias.as_deref().unwrap_or(&relation.name);
    let keys: Option<Vec<&str>> = below
        .sort_key
        .iter()
        .map(|key| {
            let key = key.split(" DESC").next().unwrap_or(key).split(" NULLS").next().unwrap_or(key);
            let name = key.strip_prefix(alias).and_then(|key| key.strip_prefix('.')).unwrap_or(key);
            let name = name.trim_matches('"');
            facts.columns.iter().find(|column| column.name == name).map(|column| column.name.as_str())
        })
        .collect();
    let keys = keys.filter(|keys| !keys.is_empty() && !leads_an_index(facts, keys[0]))?;
    let table = &relation.name;
    let recommendation = format!(
        "Let an index of {table} begin with {}: all {sorted:.0} rows are sorted to return the first {:.0}",
        keys.join(", "),
        limit.rows,
    );
    let evidence = vec![
        context.estimated("rows_sorted_per_call", sorted, Unit::Rows),
        context.estimated("rows_kept_per_call", limit.rows, Unit::Rows),
    ];
    let cause = Cause::Sort { table: table.clone(), plan: context.plan.text_without_literals() };
    Some(context.find(Verdict { kind: FindingKind::MissingIndex, cause, recommendation, evidence }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rows are whole and not negative"
)]
fn whole(rows: f64) -> u64 {
    rows.max(0.0).round() as u64
}
