//! `(SELECT count(*) FROM …) > 0` → `EXISTS (SELECT 1 FROM …)`.
//!
//! Holds for a count without groups and limits. It is never `NULL` and never negative, so
//! that it is above zero exactly when there is a row; `count(x)` counts the rows in which
//! `x` is not `NULL`, with or without `DISTINCT`, so that this condition is added. Used
//! anywhere: both texts are true or false. A statement that is such a comparison and
//! nothing else becomes `SELECT EXISTS`, under the same name.

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SelectItem,
};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::{Resolved, Scopes},
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    const NOTE: &str = "EXISTS stops at the first row, a count reads them all";
    if let Some(query) = whole(context, query) {
        return Some(Draft::same_rows(query, NOTE));
    }
    let query = each_select(context, query, |select, scopes| {
        let mut from = std::mem::take(&mut select.from);
        let mut replace = |expr: &Expr| {
            shape::comparisons(expr).into_iter().find_map(|comparison| {
                let exists = is_some(&comparison.operator, comparison.constant)?;
                let Expr::Subquery(subquery) = comparison.subject else { return None };
                let select = shape::plain_select(subquery)?;
                let [item] = select.projection.as_slice() else { return None };
                existing(select, shape::item_expr(item)?, scopes, exists)
            })
        };
        let changed = shape::replace_expressions(select, &mut replace);
        let changed = from.iter_mut().flat_map(|item| &mut item.joins).fold(changed, |changed, join| {
            shape::replace_expressions(&mut join.join_operator, &mut replace) || changed
        });
        select.from = from;
        changed
    })?;
    Some(Draft::same_rows(query, NOTE))
}

/// Converts a statement that is nothing but such a comparison.
fn whole(context: &Context<'_>, query: &Query) -> Option<Query> {
    let select = shape::plain_select(query)?;
    let [item] = select.projection.as_slice() else { return None };
    let (exists, counted) =
        shape::comparisons(shape::item_expr(item)?).into_iter().find_map(|comparison| {
            Some((is_some(&comparison.operator, comparison.constant)?, comparison.subject.clone()))
        })?;
    let expr = existing(select, &counted, &context.scopes, exists)?;
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => format!(" AS {alias}"),
        // What PostgreSQL calls a comparison.
        _ if context.dialect == Dialect::PostgreSql => " AS \"?column?\"".to_owned(),
        _ => String::new(),
    };
    text::parse_query(&format!("SELECT {expr}{name}"), context.dialect)
}

/// Returns whether a comparison of a count asks for some row or for none.
fn is_some(operator: &BinaryOperator, constant: &Expr) -> Option<bool> {
    match (operator, shape::integer(constant)?) {
        (BinaryOperator::Gt | BinaryOperator::NotEq, 0) | (BinaryOperator::GtEq, 1) => Some(true),
        (BinaryOperator::Eq | BinaryOperator::LtEq, 0) | (BinaryOperator::Lt, 1) => Some(false),
        _ => None,
    }
}

/// Returns `EXISTS` of the rows that `counted` counts in `select`.
fn existing(select: &Select, counted: &Expr, scopes: &Scopes<'_>, exists: bool) -> Option<Expr> {
    let Expr::Function(function) = counted else { return None };
    let grouped = !shape::group_keys(select)?.is_empty() || select.having.is_some();
    if grouped || select.distinct.is_some() || shape::function_name(function)? != "count" {
        return None;
    }
    let mut rows = select.clone();
    if !shape::is_count_of_rows(function) {
        if function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty() {
            return None;
        }
        let FunctionArguments::List(list) = &function.args else { return None };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else {
            return None;
        };
        // A row that holds a NULL is counted, and is not IS NOT NULL.
        let columns = scopes.within(select).columns(argument)?;
        let is_row = |column: &Resolved<'_>| matches!(column.column.kind, ColumnType::Other(_));
        if !list.clauses.is_empty() || columns.iter().any(is_row) {
            return None;
        }
        let added = text::parse_expr(&format!("({argument}) IS NOT NULL"), scopes.dialect)?;
        rows.selection = shape::conjunction(rows.selection.take().into_iter().chain([added]));
    }
    rows.projection = vec![text::parse_item("1", scopes.dialect)?];
    let sign = if exists { "" } else { "NOT " };
    text::parse_expr(&format!("{sign}EXISTS ({rows})"), scopes.dialect)
}
