//! `WHERE a OR b` → `WHERE a UNION ALL … WHERE b AND (a) IS NOT TRUE`.
//!
//! Holds for a `SELECT` without groups, aggregates, `DISTINCT` and limit of its own. A row
//! is kept when some side is true; the first side that is true keeps it in exactly one
//! branch, because each branch leaves out what an earlier side keeps. `IS NOT TRUE` is
//! true for false and for `NULL`, so that a side that is `NULL` loses no row; duplicates
//! stay, because each row of the `FROM` is in one branch. An order is asked of the union,
//! by the columns of the result. Offered where the sides look at different columns or at
//! a subquery: there one plan cannot use the index of each side.

use sqlparser::ast::{
    BinaryOperator, Expr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Value,
};

use crate::{
    rules::{Context, Draft, each_query},
    scope::Scopes,
    shape,
    walk::Place,
};

/// Most sides that are asked by themselves: each reads its rows again.
const MOST_SIDES: usize = 4;

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_query(context, query, |query, place, scopes| {
        if matches!(place, Place::Exists | Place::Scalar) {
            return false;
        }
        split(query, scopes).is_some_and(|union| {
            *query = union;
            true
        })
    })?;
    Some(Draft::same_rows(query, "each side of the OR can use an index of its own"))
}

fn split(query: &Query, scopes: &Scopes<'_>) -> Option<Query> {
    let select = shape::selecting(query)?;
    if select.distinct.is_some()
        || shape::is_grouped(select)
        || select.from.is_empty()
        || !shape::is_unlimited(query)
        || shape::has_parameter(&select.projection)
    {
        return None;
    }
    let within = scopes.within(select);
    let conditions = shape::conjuncts(select.selection.as_ref());
    let (index, sides) = conditions.iter().enumerate().find_map(|(index, condition)| {
        let sides = shape::operands(condition, &BinaryOperator::Or);
        ((2..=MOST_SIDES).contains(&sides.len()) && look_elsewhere(&sides, &within)).then_some((index, sides))
    })?;

    let branch = |side: usize| -> Option<Box<SetExpr>> {
        let before = conditions[..index].iter().map(|condition| (*condition).clone());
        let after = conditions[index + 1..].iter().map(|condition| (*condition).clone());
        let earlier = sides[..side]
            .iter()
            .map(|side| Expr::IsNotTrue(Box::new(Expr::Nested(Box::new((*side).clone())))));
        let selection = before
            .chain([sides[side].clone()])
            .chain(earlier.map(|expr| Expr::Nested(Box::new(expr))))
            .chain(after);
        Some(Box::new(SetExpr::Select(Box::new(Select {
            selection: shape::conjunction(selection),
            ..select.clone()
        }))))
    };
    let mut body = branch(0)?;
    for side in 1..sides.len() {
        body = Box::new(SetExpr::SetOperation {
            left: body,
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            right: branch(side)?,
        });
    }
    let mut union = Query { body, ..query.clone() };
    if let Some(order) = &mut union.order_by {
        let OrderByKind::Expressions(items) = &mut order.kind else { return None };
        for item in items {
            item.expr = by_result(&item.expr, select)?;
        }
    }
    Some(union)
}

/// Returns whether the sides are about different columns, or one asks another table.
fn look_elsewhere(sides: &[&Expr], within: &Scopes<'_>) -> bool {
    let mut columns = sides.iter().map(|side| {
        let mut columns: Vec<_> =
            within.columns(*side)?.iter().map(|column| (column.source, column.column.name.clone())).collect();
        columns.sort();
        columns.dedup();
        Some(columns)
    });
    let Some(first) = columns.next() else { return false };
    columns.any(|columns| columns != first || columns.is_none())
}

/// Returns how an order is asked for by the result: by the number of its column, or by a
/// bare name that a `*` brings.
fn by_result(expr: &Expr, select: &Select) -> Option<Expr> {
    if shape::integer(expr).is_some() {
        return Some(expr.clone());
    }
    let wild = select.projection.iter().any(|item| shape::item_expr(item).is_none());
    if wild {
        return matches!(expr, Expr::Identifier(_)).then(|| expr.clone());
    }
    // A name of the result goes before a column of the same name.
    let named = |item: &SelectItem| matches!((item, expr), (SelectItem::ExprWithAlias { alias, .. }, Expr::Identifier(name)) if name == alias);
    let same = |item: &SelectItem| shape::item_expr(item) == Some(expr);
    let places = &select.projection;
    let place = places.iter().position(named).or_else(|| places.iter().position(same))?;
    Some(Expr::Value(Value::Number((place + 1).to_string(), false).into()))
}
