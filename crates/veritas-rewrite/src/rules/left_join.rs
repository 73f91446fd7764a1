//! `a LEFT JOIN b … WHERE b.x = 1` → `a JOIN b … WHERE b.x = 1`.
//!
//! Holds when a condition of the `WHERE` is not true for a `NULL` in a column of `b`: a
//! comparison, `IS NOT NULL`, `IN` a list, `BETWEEN`, `LIKE`. The rows that the outer join
//! adds have only `NULL`s for `b`, and that condition throws each of them away; all other
//! rows are the inner join's. A join that comes later cannot bring such a row back,
//! because the condition is asked after all joins.

use sqlparser::ast::{BinaryOperator, Expr, JoinOperator, Query, TableFactor};

use crate::{
    rules::{Context, Draft, each_select},
    scope::Scopes,
    shape,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_select(context, query, |select, scopes| {
        let rejecting: Vec<usize> = shape::conjuncts(select.selection.as_ref())
            .into_iter()
            .flat_map(|condition| rejects(condition, scopes))
            .collect();
        if scopes.innermost().opaque {
            return false;
        }
        let (mut source, mut changed) = (0, false);
        for item in &mut select.from {
            if !matches!(item.relation, TableFactor::Table { .. }) {
                return changed;
            }
            source += 1;
            for join in &mut item.joins {
                if !matches!(join.relation, TableFactor::Table { .. }) {
                    return changed;
                }
                if let JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) =
                    &join.join_operator
                    && rejecting.contains(&source)
                {
                    join.join_operator = JoinOperator::Inner(constraint.clone());
                    changed = true;
                }
                source += 1;
            }
        }
        changed
    })?;
    Some(Draft::same_rows(query, "an inner join may begin at either table"))
}

/// Returns the sources of the innermost scope for whose `NULL`s a condition is not true.
fn rejects(condition: &Expr, scopes: &Scopes<'_>) -> Vec<usize> {
    let of = |expr: &Expr| {
        scopes
            .resolve(expr)
            .filter(|column| column.depth == 0)
            .map(|column| column.source)
            .into_iter()
            .collect()
    };
    match condition {
        Expr::IsNotNull(expr)
        | Expr::InList { expr, negated: false, .. }
        | Expr::Between { expr, negated: false, .. }
        | Expr::Like { expr, negated: false, any: false, .. } => of(expr),
        Expr::BinaryOp { left, op, right }
            if shape::turned(op).is_some() && *op != BinaryOperator::Spaceship =>
        {
            [of(left), of(right)].concat()
        }
        _ => Vec::new(),
    }
}
