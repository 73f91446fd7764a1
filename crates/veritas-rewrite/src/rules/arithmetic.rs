//! `c + 1 < 10` → `c < 9`.
//!
//! Holds for whole numbers of `PostgreSQL`, with literals; with a parameter where the
//! column and the literal are at most `integer`, so that the difference is computed in
//! `bigint` and cannot overflow. Adding a number to both sides changes no comparison; a
//! positive factor is divided out, rounded to the side on which the same numbers satisfy
//! the comparison. `NULL` stays `NULL`, except that an equality without a solution becomes
//! false: used only where a condition keeps rows. The old text fails for a column value
//! with which its own arithmetic overflows; the new one does not.

use sqlparser::ast::{BinaryOperator, Expr, Query};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::Scopes,
    shape, text,
};

/// Largest magnitude of a literal that is computed with: no sum of two leaves 64 bits.
const LARGEST: i128 = 1 << 62;

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if context.dialect != Dialect::PostgreSql {
        return None;
    }
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            let sql = shape::comparisons(condition).into_iter().find_map(|comparison| {
                convert(comparison.subject, comparison.operator, comparison.constant, scopes)
            })?;
            text::parse_expr(&sql, Dialect::PostgreSql)
        })
    })?;
    Some(Draft::same_rows(query, "an index on the column serves a comparison of the column itself"))
}

fn convert(subject: &Expr, operator: BinaryOperator, constant: &Expr, scopes: &Scopes<'_>) -> Option<String> {
    let Expr::BinaryOp { left, op, right } = subject else { return None };
    let (column, number, turned) = match (shape::integer(left), shape::integer(right)) {
        (None, Some(number)) => (shape::bare(left), number, false),
        (Some(number), None) => (shape::bare(right), number, true),
        _ => return None,
    };
    let kind = &scopes.resolve(column)?.column.kind;
    if !kind.is_integer() || number.abs() > LARGEST {
        return None;
    }
    // c + k, k + c: c = v - k. c - k: c = v + k. k - c: c = k - v, turned round.
    let (added, negated) = match (op, turned) {
        (BinaryOperator::Plus, _) => (-number, false),
        (BinaryOperator::Minus, false) => (number, false),
        (BinaryOperator::Minus, true) => (number, true),
        (BinaryOperator::Multiply, _) => {
            let value = shape::integer(constant).filter(|value| value.abs() <= LARGEST)?;
            return divided(column, &operator, number, value);
        }
        _ => return None,
    };
    let operator = if negated { shape::turned(&operator)? } else { operator };
    if let Some(value) = shape::integer(constant).filter(|value| value.abs() <= LARGEST) {
        let moved = if negated { added - value } else { value + added };
        return Some(format!("{column} {operator} {moved}"));
    }
    let fits = *kind != ColumnType::BigInt && i32::try_from(number).is_ok();
    if !shape::is_parameter(constant) || !fits {
        return None;
    }
    let value = format!("CAST(CAST({constant} AS INTEGER) AS BIGINT)");
    Some(match (negated, added) {
        (true, _) => format!("{column} {operator} {added} - {value}"),
        (false, ..0) => format!("{column} {operator} {value} - {}", -added),
        (false, _) => format!("{column} {operator} {value} + {added}"),
    })
}

/// `c * factor ? value` for a positive factor.
fn divided(column: &Expr, operator: &BinaryOperator, factor: i128, value: i128) -> Option<String> {
    if factor <= 0 {
        return None;
    }
    let (floor, exact) = (value.div_euclid(factor), value.rem_euclid(factor) == 0);
    Some(match operator {
        BinaryOperator::Eq if exact => format!("{column} = {floor}"),
        BinaryOperator::Eq => "FALSE".to_owned(),
        BinaryOperator::NotEq if exact => format!("{column} <> {floor}"),
        BinaryOperator::NotEq => format!("{column} IS NOT NULL"),
        // c * f < v: c < ceil(v / f).
        BinaryOperator::Lt if exact => format!("{column} < {floor}"),
        BinaryOperator::Lt | BinaryOperator::LtEq => format!("{column} <= {floor}"),
        BinaryOperator::GtEq if exact => format!("{column} >= {floor}"),
        BinaryOperator::Gt | BinaryOperator::GtEq => format!("{column} > {floor}"),
        _ => return None,
    })
}
