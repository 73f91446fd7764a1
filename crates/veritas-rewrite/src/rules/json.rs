//! `doc ->> 'status' = 'open'` → `doc @> '{"status": "open"}'`.
//!
//! Holds for `jsonb` of `PostgreSQL`, where a condition keeps rows. `->>` returns the text
//! of a string, and of a number, a truth value, an array or an object as it is printed.
//! Where the text can be none of the latter (it is no number, not `true` or `false`, and
//! begins with no bracket), only a string gives it, and containment finds exactly the
//! objects that have this string under this key. Anything but an object gives `NULL` and
//! contains no object; a missing key and a JSON `null` give `NULL` and do not contain the
//! string. A path of keys nests. Of a parameter the condition is told.

use std::fmt::Write as _;

use sqlparser::ast::{BinaryOperator, Expr, Query};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::Scopes,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if context.dialect != Dialect::PostgreSql {
        return None;
    }
    let (mut index, mut passed) = (None, false);
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            shape::comparisons(condition).into_iter().find_map(|comparison| {
                if comparison.operator != BinaryOperator::Eq {
                    return None;
                }
                let (column, keys) = path(comparison.subject)?;
                let resolved = scopes.resolve(column)?;
                if resolved.column.kind != ColumnType::Jsonb {
                    return None;
                }
                let sql = contains(column, &keys, comparison.constant)?;
                passed |= shape::is_parameter(comparison.constant);
                index.get_or_insert_with(|| gin(&resolved, scopes));
                text::parse_expr(&sql, Dialect::PostgreSql)
            })
        })
    })?;
    let condition = "the text passed is no number, not true or false, and begins with no bracket";
    Some(Draft {
        condition: passed.then(|| condition.to_owned()),
        index,
        ..Draft::same_rows(query, "one GIN index serves containment of every key")
    })
}

fn gin(resolved: &crate::scope::Resolved<'_>, scopes: &Scopes<'_>) -> String {
    let ident = |name: &str| super::ident(name, scopes.dialect);
    format!(
        "CREATE INDEX ON {} USING gin ({} jsonb_path_ops)",
        ident(&resolved.table.name),
        ident(&resolved.column.name)
    )
}

/// Returns the column and the keys of `column -> 'a' ->> 'b'`.
fn path(expr: &Expr) -> Option<(&Expr, Vec<&str>)> {
    fn steps<'e>(expr: &'e Expr, keys: &mut Vec<&'e str>) -> Option<&'e Expr> {
        match shape::bare(expr) {
            Expr::BinaryOp { left, op: BinaryOperator::Arrow, right } => {
                let column = steps(left, keys)?;
                keys.push(shape::text(right)?);
                Some(column)
            }
            column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => Some(column),
            _ => None,
        }
    }
    let Expr::BinaryOp { left, op: BinaryOperator::LongArrow, right } = shape::bare(expr) else {
        return None;
    };
    let mut keys = Vec::new();
    let column = steps(left, &mut keys)?;
    keys.push(shape::text(right)?);
    Some((column, keys))
}

fn contains(column: &Expr, keys: &[&str], constant: &Expr) -> Option<String> {
    if shape::is_parameter(constant) {
        let value = format!("CAST({constant} AS TEXT)");
        let nested = keys
            .iter()
            .rev()
            .fold(value, |value, key| format!("jsonb_build_object({}, {value})", text::literal(key)));
        return Some(format!("{column} @> {nested}"));
    }
    let value = shape::text(constant).filter(|value| only_a_string_prints_as(value))?;
    let document =
        keys.iter().rev().fold(quoted(value), |value, key| format!("{{{}: {value}}}", quoted(key)));
    Some(format!("{column} @> CAST({} AS JSONB)", text::literal(&document)))
}

fn only_a_string_prints_as(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic()) && !matches!(text, "true" | "false")
}

/// Writes a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            letter if u32::from(letter) < 0x20 => {
                // Writing to a string does not fail.
                let _ = write!(json, "\\u{:04x}", u32::from(letter));
            }
            letter => json.push(letter),
        }
    }
    json.push('"');
    json
}
