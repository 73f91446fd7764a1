//! What the text of a statement and its plan show together.

use veritas_model::{Cause, Finding, FindingKind, Unit};

use super::{PlanContext, Verdict};
use crate::plan::{NodeKind, Role};

/// Skipping fewer rows costs less than a round trip.
const LEAST_SKIPPED: u64 = 1_000;
/// A result in which nobody can page far.
const LEAST_PAGED: f64 = 10_000.0;
/// Narrower rows are cheap to fetch whole.
const WIDE: f64 = 1_000.0;
/// Fetching fewer rows costs little, however wide they are.
const LEAST_WIDE_ROWS: f64 = 10.0;
/// A list of this length is looked up once for each row, if it is not hashed.
const LONG_LIST: f64 = 10_000.0;

/// Finds pages that are reached by skipping rows.
pub(super) fn offset(context: &PlanContext<'_>) -> Option<Finding> {
    if !words(context.text()).iter().any(|word| word == "offset") {
        return None;
    }
    let limit = context.plan.nodes().find(|node| node.kind == NodeKind::Limit)?;
    let below = limit.child(Role::Outer)?.rows;
    let skips_many = match context.measured.largest_offset {
        Some(skipped) => skipped >= LEAST_SKIPPED,
        None => true,
    };
    if !skips_many || below < LEAST_PAGED && context.measured.largest_offset.is_none() {
        return None;
    }
    let recommendation =
        "Continue after the last row instead of skipping: `WHERE (key) > (last key) ORDER BY key \
                          LIMIT n`; every row that OFFSET skips is read and thrown away"
            .to_owned();
    let cause = context.cause(limit, format!("skips rows of a result of {below:.0} by OFFSET"));
    let mut evidence = vec![context.estimated("rows_to_page_through", below, Unit::Rows)];
    #[expect(clippy::cast_precision_loss, reason = "offsets stay below 2^53")]
    evidence.extend(context.measured.largest_offset.map(|skipped| {
        veritas_model::Observation::measured("largest_offset", skipped as f64, Unit::Rows, context.now)
    }));
    Some(context.find(Verdict { kind: FindingKind::OffsetPagination, cause, recommendation, evidence }))
}

/// Finds `SELECT *` of wide rows.
pub(super) fn wide(context: &PlanContext<'_>) -> Option<Finding> {
    let rows = context.measured.rows_per_call.unwrap_or(context.plan.root.rows);
    if !selects_all(context.text()) || rows < LEAST_WIDE_ROWS {
        return None;
    }
    let widest = context.plan.relations().into_iter().filter_map(|relation| context.facts(relation));
    let (facts, width) = widest
        .map(|facts| (facts, facts.columns.iter().map(|column| column.average_bytes).sum::<f64>()))
        .max_by(|left, right| left.1.total_cmp(&right.1))?;
    if width < WIDE {
        return None;
    }
    let mut columns: Vec<_> = facts.columns.iter().collect();
    columns.sort_by(|left, right| right.average_bytes.total_cmp(&left.average_bytes));
    let largest = columns.first()?;
    let table = &facts.table.name;
    let recommendation = format!(
        "Name the columns that are needed instead of `*`: a row of {table} has {width:.0} bytes, {:.0} of them in {}",
        largest.average_bytes, largest.name,
    );
    let detail = format!("fetches all columns of {table}, {width:.0} bytes a row");
    let evidence = vec![
        context.estimated("bytes_per_row", width, Unit::Bytes),
        context.estimated("bytes_of_widest_column", largest.average_bytes, Unit::Bytes),
    ];
    let cause = Cause::Text { detail };
    Some(context.find(Verdict { kind: FindingKind::WideSelect, cause, recommendation, evidence }))
}

/// Finds `NOT IN (SELECT …)` that is computed row by row, or that a `NULL` makes empty.
pub(super) fn not_in(context: &PlanContext<'_>) -> Option<Finding> {
    let words = words(context.text());
    let is_written = words.windows(4).any(|four| four[..3] == ["not", "in", "("] && four[3] == "select");
    if !is_written {
        return None;
    }
    let node = context.plan.nodes().find(|node| {
        node.filter.as_deref().is_some_and(|filter| {
            filter.contains("NOT (hashed SubPlan")
                || filter.contains("NOT (SubPlan")
                || filter.contains("<> ALL")
        })
    })?;
    let is_hashed = node.filter.as_deref().is_some_and(|filter| filter.contains("hashed SubPlan"));
    let list = node.children.iter().find(|child| child.role == Role::SubPlan)?;
    let read = node.relation.as_ref().and_then(|relation| context.rows(relation)).unwrap_or(node.rows);
    let column = list.output.first().and_then(|output| output.rsplit('.').next());
    let nullable = list.walk().filter_map(|node| context.facts(node.relation.as_ref()?)).any(|facts| {
        column.and_then(|name| facts.column(name)).is_some_and(|column| column.null_share > 0.0)
    });
    let is_slow =
        if is_hashed { list.rows >= LONG_LIST } else { list.rows * read >= LONG_LIST * LONG_LIST / 10.0 };
    if !is_slow && !nullable {
        return None;
    }
    let detail = match (nullable, is_hashed) {
        (true, _) => "the list holds NULLs, with which NOT IN is never true".to_owned(),
        (_, true) => {
            format!("holds a list of {:.0} rows in memory, and falls over when it no longer fits", list.rows)
        }
        _ => format!("reads a list of {:.0} rows again for each row", list.rows),
    };
    let recommendation =
        "Write NOT EXISTS (SELECT … WHERE the keys are equal): it joins, and NULLs mean what they should"
            .to_owned();
    let evidence = vec![context.estimated("rows_of_list", list.rows, Unit::Rows)];
    let cause = context.cause(node, detail);
    Some(context.find(Verdict { kind: FindingKind::NotIn, cause, recommendation, evidence }))
}

/// The words of a normalized statement.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() || matches!(letter, '_' | '"' | '$' | '?') {
            word.extend(letter.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !letter.is_whitespace() {
            words.push(letter.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether the outermost select list holds `*`, or all columns of one table.
fn selects_all(text: &str) -> bool {
    let words = words(text);
    let mut depth = 0_usize;
    let mut before = "";
    let mut in_list = false;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "select" if depth == 0 => in_list = true,
            "from" if depth == 0 && before != "distinct" => in_list = false,
            "*" if depth == 0 && in_list => {
                let ends = words.get(at + 1).is_none_or(|next| matches!(next.as_str(), "," | "from"));
                if ends && matches!(before, "select" | "," | "." | "distinct" | "all") {
                    return true;
                }
            }
            _ => {}
        }
        before = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_counts_in_the_outermost_list_only() {
        for text in [
            "select * from t",
            "select t.*, u.a from t",
            "select distinct * from t",
            "select a, * from t",
            "select a is distinct from b, t.* from t",
            "select extract(? from a), t.* from t",
        ] {
            assert!(selects_all(text), "{text}");
        }
        for text in [
            "select count(*) from t",
            "select a from t where exists (select * from u)",
            "select a from (select * from t) x",
            "select a * b from t",
            "insert into t values (?)",
        ] {
            assert!(!selects_all(text), "{text}");
        }
    }
}
