//! `coalesce(c, k) = v` → `c = v`, or `c = v OR c IS NULL` where `k = v` is true.
//!
//! Holds where a condition keeps rows, for literals `k` and `v` of the column's own type:
//! whole numbers, texts compared for (in)equality, truth values. Where `c` is not `NULL`,
//! both compare `c`; where it is, the old text compares `k`, whose result is known now:
//! true keeps the row, and so does `c IS NULL`; otherwise neither keeps it. On `SQLite`
//! for whole numbers only: a comparison there converts by the column's affinity, which
//! `coalesce` takes away, and for numbers against a column of numbers that changes nothing.

use sqlparser::ast::{BinaryOperator, Expr, Query, Value};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::Scopes,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if context.dialect == Dialect::MySql {
        return None;
    }
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            text::parse_expr(&convert(condition, scopes)?, scopes.dialect)
        })
    })?;
    Some(Draft::same_rows(query, "an index on the column serves a comparison of the column itself"))
}

fn convert(condition: &Expr, scopes: &Scopes<'_>) -> Option<String> {
    if let Some((column, default)) = arguments(condition)
        && scopes.resolve(column)?.column.kind == ColumnType::Boolean
        && scopes.dialect == Dialect::PostgreSql
        && let Value::Boolean(default) = shape::value(default)?
    {
        return Some(if *default { format!("{column} IS NOT FALSE") } else { column.to_string() });
    }
    shape::comparisons(condition).into_iter().find_map(|comparison| {
        let (column, default) = arguments(comparison.subject)?;
        let kept = match &scopes.resolve(column)?.column.kind {
            kind if kind.is_integer() => {
                let (default, value) = (shape::integer(default)?, shape::integer(comparison.constant)?);
                holds(&default, &comparison.operator, &value)?
            }
            ColumnType::Text if scopes.dialect == Dialect::PostgreSql => {
                let equal = shape::text(default)? == shape::text(comparison.constant)?;
                match comparison.operator {
                    BinaryOperator::Eq => equal,
                    BinaryOperator::NotEq => !equal,
                    _ => return None,
                }
            }
            _ => return None,
        };
        let compared = format!("{column} {} {}", comparison.operator, comparison.constant);
        Some(if kept { format!("({compared} OR {column} IS NULL)") } else { compared })
    })
}

fn arguments(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::Function(function) = expr else { return None };
    if shape::function_name(function)? != "coalesce" {
        return None;
    }
    match shape::plain_arguments(function)?.as_slice() {
        [column, default] => Some((column, default)),
        _ => None,
    }
}

/// Returns whether a comparison of two known numbers is true.
fn holds(left: &i128, operator: &BinaryOperator, right: &i128) -> Option<bool> {
    Some(match operator {
        BinaryOperator::Eq => left == right,
        BinaryOperator::NotEq => left != right,
        BinaryOperator::Lt => left < right,
        BinaryOperator::LtEq => left <= right,
        BinaryOperator::Gt => left > right,
        BinaryOperator::GtEq => left >= right,
        _ => return None,
    })
}
