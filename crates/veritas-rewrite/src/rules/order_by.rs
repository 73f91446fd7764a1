//! An `ORDER BY` that nobody sees goes.
//!
//! - In `EXISTS` and in `IN`, without a limit: only whether and which values there are.
//! - In a `FROM`, without a limit, where the query around it groups or aggregates (the
//!   aggregates that are known ignore the order), or asks for an order of its own.
//! - The columns after those that already leave no ties: a unique key that is never `NULL`.
//!
//! The rows, their duplicates and their `NULL`s are the same; of the order only what was
//! defined.

use sqlparser::ast::{OrderByKind, Query, SetExpr, TableFactor, TableWithJoins};

use crate::{
    keys::{determine, ordering},
    rules::{Context, Draft, each_query},
    scope::Scopes,
    shape,
    walk::Place,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_query(context, query, |query, place, scopes| {
        let mut changed = forget_within(query);
        if matches!(place, Place::Exists | Place::In) && shape::is_unlimited(query) {
            changed |= query.order_by.take().is_some();
        }
        shorten(query, scopes).unwrap_or(false) || changed
    })?;
    Some(Draft::same_rows(query, "nothing is sorted that need not be"))
}

/// Drops the order of what is in the `FROM` of a query that does not pass it on.
fn forget_within(query: &mut Query) -> bool {
    let orders = query.order_by.is_some();
    let Some(select) = shape::selecting_mut(query) else { return false };
    if !orders && !shape::is_grouped(select) {
        return false;
    }
    let mut changed = false;
    for item in &mut select.from {
        changed |= forget_in(item);
    }
    changed
}

fn forget_in(item: &mut TableWithJoins) -> bool {
    let forget = |factor: &mut TableFactor| match factor {
        TableFactor::Derived { subquery, .. }
            if shape::is_unlimited(subquery) && matches!(*subquery.body, SetExpr::Select(_)) =>
        {
            subquery.order_by.take().is_some()
        }
        _ => false,
    };
    let mut changed = forget(&mut item.relation);
    for join in &mut item.joins {
        changed |= forget(&mut join.relation);
    }
    changed
}

/// Drops what an order says after there are no ties any more.
fn shorten(query: &mut Query, scopes: &Scopes<'_>) -> Option<bool> {
    let select = shape::selecting(query)?;
    if shape::is_grouped(select) || select.distinct.is_some() {
        return None;
    }
    let within = scopes.within(select);
    let items = shape::order_items(query)?;
    let mut columns = Vec::new();
    let needed = items.iter().position(|item| {
        columns.extend(ordering(item, select, &within));
        determine(select, &within, &columns)
    })?;
    if needed + 1 >= items.len() {
        return None;
    }
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(items) = &mut order.kind
    {
        items.truncate(needed + 1);
    }
    Some(true)
}
