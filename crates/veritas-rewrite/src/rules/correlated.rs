//! `SELECT …, (SELECT agg(x) FROM i WHERE i.k = o.k) FROM o` →
//! `… FROM o LEFT JOIN (SELECT k, agg(x) FROM i GROUP BY k) v ON v.k = o.k`.
//!
//! Holds when the subquery is one aggregated row, tied to the outer row by equalities of
//! columns of one type only. Grouping makes at most one row for each key, so the join
//! repeats no outer row; it drops none, being an outer join. A key that is `NULL` equals
//! nothing, in the subquery as in the join. Where no row matches, the aggregate of nothing
//! is `NULL`, as the outer join has it, except for `count`, which is put to 0. What the
//! subquery computes from its aggregates is computed from them outside.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Join, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use crate::{
    rules::{Context, Draft, each_select},
    scope::{Scopes, merges_columns},
    shape, text,
};

/// Begins the names that we add. A statement that has it already is left alone.
const PREFIX: &str = "veritas_";

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if query.to_string().contains(PREFIX) {
        return None;
    }
    let mut count = 0;
    let query = each_select(context, query, |select, scopes| {
        join_all(select, scopes, &mut count).is_some_and(|changed| {
            *select = changed;
            true
        })
    })?;
    Some(Draft::same_rows(query, "the aggregates of all rows are computed at once instead of one by one"))
}

/// A subquery as a join.
struct Joined {
    /// The item of the outer `FROM` that it is joined to.
    item: usize,
    join: Join,
    /// What stands in the subquery's place.
    value: Expr,
}

fn join_all(select: &Select, scopes: &Scopes<'_>, count: &mut usize) -> Option<Select> {
    struct Replacing<'a, 's> {
        depth: usize,
        select: &'a Select,
        scopes: &'a Scopes<'s>,
        count: &'a mut usize,
        joins: Vec<(usize, Join)>,
    }
    impl VisitorMut for Replacing<'_, '_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.depth == 0
                && let Expr::Subquery(subquery) = &*expr
                && let Some(joined) = convert(subquery, self.select, self.scopes, *self.count + 1)
            {
                *self.count += 1;
                self.joins.push((joined.item, joined.join));
                *expr = joined.value;
            }
            ControlFlow::Continue(())
        }
    }
    if shape::is_grouped(select) || select.distinct.is_some() || scopes.innermost().opaque {
        return None;
    }
    let mut changed = select.clone();
    if changed.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
        // A bare * would get the columns of the join.
        if merges_columns(select) {
            return None;
        }
        changed.projection = expanded(&changed.projection, scopes)?;
    }
    let mut replacing = Replacing { depth: 0, select, scopes, count, joins: Vec::new() };
    let _: ControlFlow<()> = changed.projection.visit(&mut replacing);
    let _: ControlFlow<()> = changed.selection.visit(&mut replacing);
    if replacing.joins.is_empty() {
        return None;
    }
    for (item, join) in replacing.joins {
        changed.from.get_mut(item)?.joins.push(join);
    }
    Some(changed)
}

fn expanded(projection: &[SelectItem], scopes: &Scopes<'_>) -> Option<Vec<SelectItem>> {
    let mut items = Vec::new();
    for item in projection {
        match item {
            SelectItem::Wildcard(_) => {
                for source in &scopes.innermost().sources {
                    items.push(text::parse_item(&format!("{}.*", source.written), scopes.dialect)?);
                }
            }
            other => items.push(other.clone()),
        }
    }
    Some(items)
}

fn convert(subquery: &Query, outer: &Select, scopes: &Scopes<'_>, number: usize) -> Option<Joined> {
    let inner = shape::plain_select(subquery)?;
    let [item] = inner.projection.as_slice() else { return None };
    let result = shape::item_expr(item)?;
    let is_one_row =
        shape::group_keys(inner)?.is_empty() && inner.having.is_none() && shape::has_aggregate(result);
    let within = scopes.within(inner);
    if !is_one_row
        || inner.distinct.is_some()
        || within.innermost().opaque
        || shape::has_query(result)
        || !inner.from.iter().all(|item| is_of_its_own(item, &within))
    {
        return None;
    }
    let (mut keys, mut kept, mut item) = (Vec::new(), Vec::new(), None);
    for condition in shape::conjuncts(inner.selection.as_ref()) {
        let columns = within.columns(condition)?;
        if columns.iter().all(|column| column.depth == 0) {
            kept.push(condition.clone());
            continue;
        }
        let (key, other) = shape::comparisons(condition).into_iter().find_map(|comparison| {
            let (key, other) = (within.resolve(comparison.subject)?, within.resolve(comparison.constant)?);
            let ties = comparison.operator == BinaryOperator::Eq
                && key.depth == 0
                && other.depth == 1
                && key.column.kind.compares_with(&other.column.kind);
            ties.then_some((comparison.subject.clone(), (comparison.constant.clone(), other)))
        })?;
        let of = from_item(outer, other.1.source)?;
        if *item.get_or_insert(of) != of {
            return None;
        }
        let source = &scopes.innermost().sources[other.1.source];
        let name = super::ident(&other.1.column.name, scopes.dialect);
        keys.push((key, format!("{}.{name}", source.written)));
    }
    let item = item?;

    let alias = format!("{PREFIX}{number}");
    let (value, aggregates) = from_aggregates(result, &alias, &within)?;
    let mut columns = String::new();
    let mut on = Vec::new();
    for (index, (key, other)) in keys.iter().enumerate() {
        write!(columns, "{key} AS key_{index}, ").ok()?;
        on.push(format!("{alias}.key_{index} = {other}"));
    }
    for (index, aggregate) in aggregates.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(columns, "{separator}{aggregate} AS value_{index}").ok()?;
    }
    let from: Vec<String> = inner.from.iter().map(ToString::to_string).collect();
    let selection =
        shape::conjunction(kept).map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let grouping: Vec<String> = keys.iter().map(|(key, _)| key.to_string()).collect();
    let join = parse_join(
        &format!(
            "LEFT JOIN (SELECT {columns} FROM {}{selection} GROUP BY {}) AS {alias} ON {}",
            from.join(", "),
            grouping.join(", "),
            on.join(" AND ")
        ),
        scopes,
    )?;
    Some(Joined { item, join, value })
}

/// Returns whether the conditions of an item's joins are about the item only.
fn is_of_its_own(item: &TableWithJoins, within: &Scopes<'_>) -> bool {
    item.joins.iter().all(|join| {
        within
            .columns(&join.join_operator)
            .is_some_and(|columns| columns.iter().all(|column| column.depth == 0))
    })
}

/// Returns the aggregates of an expression, and the expression with the join's columns in
/// their places; `None` where it has other columns, too.
fn from_aggregates(result: &Expr, alias: &str, within: &Scopes<'_>) -> Option<(Expr, Vec<String>)> {
    let mut aggregates: Vec<String> = Vec::new();
    let mut value = result.clone();
    let mut failed = false;
    shape::replace_expressions(&mut value, &mut |expr| {
        let Expr::Function(function) = expr else { return None };
        let name = shape::function_name(function)?;
        if !shape::AGGREGATES.contains(&name.as_str()) {
            return None;
        }
        // SQLite's total() of nothing is 0.0.
        failed |= name == "total"
            || within.columns(expr).is_none_or(|columns| columns.iter().any(|column| column.depth > 0));
        let index = aggregates.len();
        aggregates.push(expr.to_string());
        let column = format!("{alias}.value_{index}");
        let column = if name == "count" { format!("COALESCE({column}, 0)") } else { column };
        text::parse_expr(&column, within.dialect)
    });
    let mut others = value.clone();
    shape::replace_expressions(&mut others, &mut |expr| match expr {
        Expr::CompoundIdentifier(parts) if parts[0].value == alias => text::parse_expr("0", within.dialect),
        _ => None,
    });
    let only_aggregates = within.columns(&others)?.is_empty();
    let value = match value {
        value @ (Expr::CompoundIdentifier(_) | Expr::Function(_)) => value,
        value => Expr::Nested(Box::new(value)),
    };
    (only_aggregates && !failed).then_some((value, aggregates))
}

/// Returns the item of the `FROM` in which a source is.
fn from_item(select: &Select, source: usize) -> Option<usize> {
    fn sources(item: &TableWithJoins) -> usize {
        let of = |factor: &TableFactor| match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => sources(table_with_joins),
            _ => 1,
        };
        of(&item.relation) + item.joins.iter().map(|join| of(&join.relation)).sum::<usize>()
    }
    let mut seen = 0;
    select.from.iter().position(|item| {
        seen += sources(item);
        source < seen
    })
}

fn parse_join(join: &str, scopes: &Scopes<'_>) -> Option<Join> {
    let query = text::parse_query(&format!("SELECT 1 FROM x {join}"), scopes.dialect)?;
    match *query.body {
        SetExpr::Select(mut select) => select.from.pop()?.joins.pop(),
        _ => None,
    }
}
