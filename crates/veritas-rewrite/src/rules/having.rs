//! `GROUP BY g HAVING g = 5` → `WHERE g = 5 GROUP BY g`.
//!
//! Holds for a condition without aggregates on columns that are grouped by, of types whose
//! equal values are identical: it has the same value for every row of a group, so that it
//! keeps all rows of a group or none, and a group without rows is no group. That needs
//! something to group by: without, there is one group even of no rows. Only comparisons
//! that cannot fail move, because they are now asked of every row.

use sqlparser::ast::{Expr, Query, Select, SelectItem};

use crate::{
    Dialect,
    keys::grouping,
    rules::{Context, Draft, each_select},
    scope::Scopes,
    shape,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_select(context, query, |select, scopes| {
        convert(select, scopes).is_some_and(|(selection, having)| {
            (select.selection, select.having) = (selection, having);
            true
        })
    })?;
    Some(Draft::same_rows(query, "rows are dropped before they are grouped"))
}

fn convert(select: &Select, scopes: &Scopes<'_>) -> Option<(Option<Expr>, Option<Expr>)> {
    let keys = grouping(select, scopes)?;
    // Where HAVING may mean an alias, the condition might not be on what is grouped by.
    let aliased = select.projection.iter().any(|item| matches!(item, SelectItem::ExprWithAlias { .. }));
    if scopes.dialect != Dialect::PostgreSql && aliased {
        return None;
    }
    if keys.is_empty() || scopes.innermost().opaque {
        return None;
    }
    let (moved, kept): (Vec<&Expr>, Vec<&Expr>) =
        shape::conjuncts(select.having.as_ref()).into_iter().partition(|condition| {
            is_simple(condition)
                && scopes.columns(*condition).is_some_and(|columns| {
                    columns.iter().all(|column| column.column.kind.is_exact() && keys.contains(column))
                        && !columns.is_empty()
                })
        });
    if moved.is_empty() {
        return None;
    }
    let selection = select.selection.iter().cloned().chain(moved.into_iter().cloned());
    Some((shape::conjunction(selection), shape::conjunction(kept.into_iter().cloned())))
}

/// Returns whether a condition compares columns with constants, and cannot fail.
fn is_simple(condition: &Expr) -> bool {
    let plain = |expr: &Expr| {
        matches!(shape::bare(expr), Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            || shape::is_literal(expr)
            || shape::is_parameter(expr)
    };
    match condition {
        Expr::IsNull(expr) | Expr::IsNotNull(expr) => plain(expr),
        Expr::InList { expr, list, .. } => plain(expr) && list.iter().all(plain),
        Expr::Between { expr, low, high, .. } => plain(expr) && plain(low) && plain(high),
        _ => shape::comparisons(condition)
            .first()
            .is_some_and(|comparison| plain(comparison.subject) && plain(comparison.constant)),
    }
}
