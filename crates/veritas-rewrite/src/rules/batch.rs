//! `SELECT … WHERE k = $1`, once for each key → `SELECT … WHERE k = ANY($1)`, once.
//!
//! Holds when the statement has exactly one equality of a column with that parameter among
//! the conditions that must all hold, the parameter is nowhere else, and the rows are
//! neither grouped nor limited. A row belongs to the call whose key its column has: with
//! all keys asked at once, the rows with one key are the rows of that call, in the same
//! order. Keys that are `NULL` return nothing, in both forms. The result has the key, so
//! that the caller can tell the rows apart. On `SQLite` the keys are passed as a JSON
//! array.

use sqlparser::ast::{BinaryOperator, Expr, Query};

use crate::{
    Dialect, Form, ParameterSource,
    keys::projected,
    rules::{Context, Draft, each_query},
    schema::ColumnType,
    scope::{Resolved, Scopes},
    shape, text,
    walk::Place,
};

/// The name of the column that is added where the key is not projected.
const KEY: &str = "veritas_key";

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if !context.usage.repeated || context.dialect == Dialect::MySql {
        return None;
    }
    let mut found = None;
    let query = each_query(context, query, |query, place, scopes| {
        if place != Place::Top {
            return false;
        }
        convert(context, query, scopes).is_some_and(|batch| {
            *query = batch.query;
            found = Some((batch.parameter, batch.key, batch.appended));
            true
        })
    })?;
    let (parameter, key, appended) = found?;
    Some(Draft {
        condition: Some(
            "the caller asks once, with the keys as one array, and tells the rows apart by the key"
                .to_owned(),
        ),
        sources: vec![ParameterSource::Every(parameter)],
        form: Some(Form::Batch { parameter, key, appended, ordered: context.ordered }),
        ..Draft::same_rows(query, "one round trip and one plan instead of one for each key")
    })
}

struct Batch {
    query: Query,
    parameter: usize,
    key: usize,
    appended: bool,
}

fn convert(context: &Context<'_>, query: &Query, scopes: &Scopes<'_>) -> Option<Batch> {
    let select = shape::selecting(query)?;
    if select.distinct.is_some() || shape::is_grouped(select) || !shape::is_unlimited(query) {
        return None;
    }
    let within = scopes.within(select);
    let conditions = shape::conjuncts(select.selection.as_ref());
    let mut asked = conditions.iter().enumerate().filter_map(|(index, condition)| {
        let (column, written, parameter) = key_of(condition, &within)?;
        Some((index, column, written, parameter))
    });
    let (index, column, written, parameter) = asked.next()?;
    let rest = |other: usize| other != index;
    let elsewhere = conditions
        .iter()
        .enumerate()
        .filter(|(other, _)| rest(*other))
        .any(|(_, condition)| text::numbers(*condition, context.dialect).contains(&parameter));
    let mut without = query.clone();
    shape::selecting_mut(&mut without)?.selection = None;
    if asked.next().is_some() || elsewhere || text::numbers(&without, context.dialect).contains(&parameter) {
        return None;
    }

    let added = context.parameters + 1;
    let condition = match context.dialect {
        Dialect::PostgreSql => format!("{written} = ANY(CAST(${added} AS {}[]))", column.column.kind.name()),
        _ => format!("{written} IN (SELECT value FROM json_each(?{added}))"),
    };
    let condition = text::parse_expr(&condition, context.dialect)?;
    let conditions = conditions
        .iter()
        .enumerate()
        .map(|(other, kept)| if rest(other) { (*kept).clone() } else { condition.clone() });
    let places = projected(select, &within);
    let mut changed = query.clone();
    let batch = shape::selecting_mut(&mut changed)?;
    batch.selection = shape::conjunction(conditions.collect::<Vec<_>>());
    let place = places.as_ref().and_then(|places| places.iter().position(|place| *place == Some(column)));
    if place.is_none() {
        batch.projection.push(text::parse_item(&format!("{written} AS {KEY}"), context.dialect)?);
    }
    let key = place.or_else(|| places.map(|places| places.len()))?;
    Some(Batch { query: changed, parameter, key, appended: place.is_none() })
}

/// Returns the column that a condition compares with a parameter, as it is written, and
/// the parameter's number.
fn key_of<'s>(condition: &Expr, within: &Scopes<'s>) -> Option<(Resolved<'s>, Expr, usize)> {
    shape::comparisons(condition).into_iter().find_map(|comparison| {
        let column = within.resolve(comparison.subject)?;
        let parameter = text::parameter_number(shape::value(comparison.constant)?, within.dialect)?;
        let kind = &column.column.kind;
        let suits = kind.is_integer() || matches!(kind, ColumnType::Text | ColumnType::Uuid);
        (comparison.operator == BinaryOperator::Eq && column.depth == 0 && suits)
            .then(|| (column, comparison.subject.clone(), parameter))
    })
}
