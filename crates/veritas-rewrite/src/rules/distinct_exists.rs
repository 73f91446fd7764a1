//! `SELECT DISTINCT a.… FROM a JOIN b ON …` → `SELECT a.… FROM a WHERE EXISTS (SELECT 1 FROM b WHERE …)`.
//!
//! Holds for inner joins when only columns of `a` are projected and a unique key of `a`,
//! never `NULL`, is among them. With the key, two rows are equal only if they come from
//! one row of `a`: `DISTINCT` leaves one row for each row of `a` that has some match, and
//! that is what `EXISTS` keeps. Conditions that are about other tables, too, move into the
//! `EXISTS`; a row is kept when all are true for some match, in both texts. An order is by
//! columns of `a`, because `DISTINCT` asks for that.

use sqlparser::ast::{
    Distinct, Expr, JoinConstraint, JoinOperator, Query, Select, TableFactor, TableWithJoins,
};

use crate::{
    keys::projected,
    rules::{Context, Draft, each_select},
    scope::Scopes,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_select(context, query, |select, scopes| {
        convert(select, scopes).is_some_and(|changed| {
            *select = changed;
            true
        })
    })?;
    Some(Draft::same_rows(query, "EXISTS stops at the first match, and no duplicates are made to be removed"))
}

fn convert(select: &Select, scopes: &Scopes<'_>) -> Option<Select> {
    let scope = scopes.innermost();
    if select.distinct != Some(Distinct::Distinct)
        || shape::is_grouped(select)
        || scope.opaque
        || scope.sources.len() < 2
    {
        return None;
    }
    let columns = projected(select, scopes)?.into_iter().collect::<Option<Vec<_>>>()?;
    let kept = columns.first()?.source;
    let key = |names: &Vec<String>| {
        names.iter().all(|name| columns.iter().any(|column| column.column.name == *name))
    };
    let is_known = columns.iter().all(|column| column.depth == 0 && column.source == kept)
        && scope.sources[kept].table?.identifying_keys().any(key);
    if !is_known {
        return None;
    }

    // Every factor is a source, in the same order.
    let (mut factors, mut conditions) = (Vec::new(), Vec::new());
    for item in &select.from {
        factors.push(item.relation.clone());
        for join in &item.joins {
            match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) => {
                    conditions.extend(shape::conjuncts(Some(on)));
                }
                JoinOperator::CrossJoin(JoinConstraint::None) => {}
                _ => return None,
            }
            factors.push(join.relation.clone());
        }
    }
    if factors.len() != scope.sources.len()
        || !factors.iter().all(|factor| matches!(factor, TableFactor::Table { .. }))
    {
        return None;
    }
    conditions.extend(shape::conjuncts(select.selection.as_ref()));
    let (outside, inside): (Vec<&Expr>, Vec<&Expr>) = conditions.into_iter().partition(|condition| {
        scopes
            .columns(*condition)
            .is_some_and(|columns| columns.iter().all(|column| column.depth > 0 || column.source == kept))
    });
    let relation = factors.remove(kept);
    let others: Vec<String> = factors.iter().map(ToString::to_string).collect();
    let inside = shape::conjunction(inside.into_iter().cloned())
        .map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let exists =
        text::parse_expr(&format!("EXISTS (SELECT 1 FROM {}{inside})", others.join(", ")), scopes.dialect)?;
    Some(Select {
        distinct: None,
        from: vec![TableWithJoins { relation, joins: Vec::new() }],
        selection: shape::conjunction(outside.into_iter().cloned().chain([exists])),
        ..select.clone()
    })
}
