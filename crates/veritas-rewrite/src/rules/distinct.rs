//! A `DISTINCT` that takes nothing away goes.
//!
//! - The projection contains, as plain columns, what tells the rows apart: a unique key
//!   (never `NULL`) of each table that is not joined by a unique key of its own. No two
//!   rows are equal, with or without `NULL`s elsewhere.
//! - The projection contains everything that is grouped by: one row for each group.
//! - In `EXISTS` and in `IN`, without a limit, duplicates do not matter.

use sqlparser::ast::{Distinct, Query, Select};

use crate::{
    keys::{determine, grouping, projected},
    rules::{Context, Draft, each_query},
    scope::Scopes,
    shape,
    walk::Place,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_query(context, query, |query, place, scopes| {
        let nobody_counts = matches!(place, Place::Exists | Place::In)
            && shape::is_unlimited(query)
            && query.order_by.is_none();
        let Some(select) = shape::selecting_mut(query) else { return false };
        if select.distinct != Some(Distinct::Distinct) {
            return false;
        }
        let unneeded = nobody_counts || returns_no_duplicates(select, &scopes.within(select));
        if unneeded {
            select.distinct = None;
        }
        unneeded
    })?;
    Some(Draft::same_rows(query, "no duplicates are looked for where there are none"))
}

/// Returns whether a `SELECT`, its `DISTINCT` aside, never returns two equal rows.
pub(super) fn returns_no_duplicates(select: &Select, within: &Scopes<'_>) -> bool {
    let Some(columns) = projected(select, within) else { return false };
    let columns: Vec<_> = columns.into_iter().flatten().collect();
    let Some(keys) = shape::group_keys(select) else { return false };
    if keys.is_empty() {
        return shape::is_grouped(select) || determine(select, within, &columns);
    }
    // Groups that print alike are different groups only where equal is identical.
    grouping(select, within)
        .is_some_and(|keys| keys.iter().all(|key| key.column.kind.is_exact() && columns.contains(key)))
}
