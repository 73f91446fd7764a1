//! `SELECT a.… FROM a JOIN b ON a.b_id = b.id` → `SELECT a.… FROM a WHERE a.b_id IS NOT NULL`.
//!
//! Holds when nothing else names `b`, and either
//!
//! - the join is inner, and its condition is a foreign key of `a` to a unique key of `b`:
//!   a row of `a` whose foreign key has no `NULL` has exactly one partner, one with a
//!   `NULL` has none; or
//! - the join is a left one, and its condition gives every column of a unique key of `b`
//!   a value: a row of `a` has at most one partner, and stays without.
//!
//! Either way each row of `a` is there as often as before. The foreign key must be
//! enforced for every row; the schema says only of such.

use sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem, TableFactor,
};

use crate::{
    rules::{Context, Draft, each_query},
    scope::{Resolved, Scopes, constraint, merges_columns},
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_query(context, query, |query, _, scopes| {
        without_one(query, scopes).is_some_and(|changed| {
            *query = changed;
            true
        })
    })?;
    Some(Draft::same_rows(query, "a table is not read of which nothing is asked"))
}

fn without_one(query: &Query, scopes: &Scopes<'_>) -> Option<Query> {
    let select = shape::selecting(query)?;
    let within = scopes.within(select);
    let only_tables = select.from.iter().all(|item| {
        matches!(item.relation, TableFactor::Table { .. })
            && item.joins.iter().all(|join| matches!(join.relation, TableFactor::Table { .. }))
    });
    let wild = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    let outer = select.from.iter().flat_map(|item| &item.joins).any(|join| {
        !matches!(
            join.join_operator,
            JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
        )
    });
    if within.innermost().opaque || !only_tables || wild || outer || merges_columns(select) {
        return None;
    }
    let mut source = 0;
    for (item, from) in select.from.iter().enumerate() {
        source += 1;
        for (place, join) in from.joins.iter().enumerate() {
            let guard = guards(&join.join_operator, source, &within);
            if let Some(guard) = guard
                && !is_named(query, select, source, (item, place), &within)
            {
                let mut changed = query.clone();
                let select = shape::selecting_mut(&mut changed)?;
                select.from[item].joins.remove(place);
                select.selection = shape::conjunction(select.selection.take().into_iter().chain(guard));
                return Some(changed);
            }
            source += 1;
        }
    }
    None
}

/// Returns what must be asked of the remaining rows when the join to `source` goes;
/// `None` where it may not go.
fn guards(operator: &JoinOperator, source: usize, within: &Scopes<'_>) -> Option<Vec<Expr>> {
    let JoinConstraint::On(on) = constraint(operator)? else { return None };
    let table = within.innermost().sources[source].table?;
    let mut pairs: Vec<(Resolved<'_>, Resolved<'_>, Expr)> = Vec::new();
    let conditions = shape::conjuncts(Some(on));
    for condition in &conditions {
        let pair = shape::comparisons(condition).into_iter().find_map(|comparison| {
            let (joined, other) = (within.resolve(comparison.subject)?, within.resolve(comparison.constant)?);
            let ties = comparison.operator == BinaryOperator::Eq
                && joined.depth == 0
                && joined.source == source
                && (other.depth > 0 || other.source != source)
                && joined.column.kind.compares_with(&other.column.kind);
            ties.then(|| (joined, other, comparison.constant.clone()))
        });
        pairs.extend(pair);
    }
    let is_left = matches!(operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
    let has = |name: &String| pairs.iter().any(|(joined, ..)| joined.column.name == *name);
    if !table.unique_keys.iter().any(|key| !key.is_empty() && key.iter().all(has)) {
        return None;
    }
    if is_left {
        // What else is asked only lets fewer partners pass: but nothing that may fail.
        return within.columns(on).map(|_| Vec::new());
    }
    let (_, first, _) = pairs.first()?;
    let is_foreign_key = pairs.len() == conditions.len()
        && first.depth == 0
        && pairs.iter().all(|(_, other, _)| other.depth == 0 && other.source == first.source)
        && first.table.foreign_keys.iter().any(|key| {
            key.table == table.name
                && key.columns.len() == pairs.len()
                && key.columns.iter().zip(&key.referenced).all(|(column, referenced)| {
                    pairs.iter().any(|(joined, other, _)| {
                        other.column.name == *column && joined.column.name == *referenced
                    })
                })
        });
    if !is_foreign_key {
        return None;
    }
    let nullable = pairs.iter().filter(|(_, other, _)| other.nullable);
    nullable
        .map(|(_, _, column)| text::parse_expr(&format!("{column} IS NOT NULL"), within.dialect))
        .collect()
}

/// Returns whether anything but the condition of the join names `source`, or may do so.
fn is_named(
    query: &Query,
    select: &Select,
    source: usize,
    join: (usize, usize),
    within: &Scopes<'_>,
) -> bool {
    let names = |columns: Option<Vec<Resolved<'_>>>| {
        columns
            .is_none_or(|columns| columns.iter().any(|column| column.depth == 0 && column.source == source))
    };
    let alias = &within.innermost().sources[source].alias;
    let projected = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => names(within.columns(expr)),
        SelectItem::QualifiedWildcard(kind, _) => {
            let written = kind.to_string();
            written.trim_matches('"').eq_ignore_ascii_case(alias) || written.contains('.')
        }
        _ => true,
    });
    let joins = select.from.iter().enumerate().any(|(item, from)| {
        from.joins
            .iter()
            .enumerate()
            .any(|(place, other)| (item, place) != join && names(within.columns(&other.join_operator)))
    });
    let ordered = match query.order_by.as_ref().map(|order| &order.kind) {
        None => false,
        Some(OrderByKind::Expressions(items)) => items.iter().any(|item| {
            crate::keys::ordering(item, select, within)
                .is_none_or(|column| column.depth == 0 && column.source == source)
        }),
        Some(OrderByKind::All(_)) => true,
    };
    projected
        || joins
        || ordered
        || names(within.columns(&select.selection))
        || names(within.columns(&select.having))
        || names(within.columns(&select.group_by))
}
