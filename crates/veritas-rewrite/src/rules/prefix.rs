//! `left(c, 3) = 'abc'` → `c LIKE 'abc%'`.
//!
//! Holds for texts of `PostgreSQL` under collations in which only identical texts are
//! equal. A text whose first `n` characters are a literal of `n` characters begins with
//! it, which is what `LIKE` asks after the signs that it reads otherwise are escaped. Is
//! the literal shorter, then only a text as short is equal to it, and that is the literal
//! itself; is it longer, nothing is, and nothing is offered. `NULL` stays `NULL`.

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
    let mut index = None;
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| convert(condition, scopes, &mut index))
    })?;
    let note = "an index serves the beginning of a text as LIKE, not as a function of the column";
    Some(Draft { index, ..Draft::same_rows(query, note) })
}

fn convert(condition: &Expr, scopes: &Scopes<'_>, index: &mut Option<String>) -> Option<Expr> {
    shape::comparisons(condition).into_iter().find_map(|comparison| {
        let (column, characters) = beginning(comparison.subject)?;
        let prefix = shape::text(comparison.constant)?;
        let resolved = scopes.resolve(column)?;
        if comparison.operator != BinaryOperator::Eq || resolved.column.kind != ColumnType::Text {
            return None;
        }
        let count = i128::try_from(prefix.chars().count()).ok()?;
        if count > characters || characters < 1 {
            return None;
        }
        let sql = if count < characters {
            format!("{column} = {}", text::literal(prefix))
        } else {
            let name = super::ident(&resolved.column.name, scopes.dialect);
            let table = super::ident(&resolved.table.name, scopes.dialect);
            index.get_or_insert_with(|| format!("CREATE INDEX ON {table} ({name} text_pattern_ops)"));
            let escaped: String = prefix
                .chars()
                .flat_map(|letter| {
                    matches!(letter, '%' | '_' | '\\').then_some('\\').into_iter().chain([letter])
                })
                .collect();
            format!("{column} LIKE {}", text::literal(&format!("{escaped}%")))
        };
        text::parse_expr(&sql, scopes.dialect)
    })
}

/// Returns the column of which the first characters are taken, and how many.
fn beginning(expr: &Expr) -> Option<(&Expr, i128)> {
    match expr {
        Expr::Function(function) => {
            let arguments = shape::plain_arguments(function)?;
            match (shape::function_name(function)?.as_str(), arguments.as_slice()) {
                ("left", [column, count]) => Some((column, shape::integer(count)?)),
                ("substr" | "substring", [column, start, count]) if shape::integer(start)? == 1 => {
                    Some((column, shape::integer(count)?))
                }
                _ => None,
            }
        }
        Expr::Substring { expr, substring_from, substring_for: Some(count), .. } => {
            let begins = substring_from.as_ref().is_none_or(|start| shape::integer(start) == Some(1));
            begins.then_some((expr, shape::integer(count)?))
        }
        _ => None,
    }
}
