//! `x NOT IN (SELECT y …)` → `NOT EXISTS (SELECT 1 … WHERE x = y)`.
//!
//! `x NOT IN` a set is true when the set is empty, or when `x` is not `NULL`, no value of
//! the set is `NULL`, and none equals `x`. Where both are never `NULL` (declared so, and
//! not brought by an outer join), that is `NOT EXISTS` of an equal value, and false
//! otherwise. Where `y` may be `NULL`, a second `NOT EXISTS` asks for one; where `x` may
//! be, a third condition lets it pass only before an empty set. These guards turn a
//! `NULL` into false, so they are used only where a condition keeps rows. How often a
//! value is in the set does not matter, nor its order.
//!
//! `x` moves into the subquery: its columns are qualified there, and nothing in the
//! subquery has the same name.

use sqlparser::ast::{Distinct, Expr, Query, UnaryOperator};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::Scopes,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| match condition {
            Expr::InSubquery { expr, subquery, negated: true } => convert(expr, subquery, scopes),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => match shape::bare(expr) {
                Expr::InSubquery { expr, subquery, negated: false } => convert(expr, subquery, scopes),
                _ => None,
            },
            _ => None,
        })
    })?;
    Some(Draft::same_rows(query, "NOT EXISTS can be an anti-join; NOT IN has to keep the whole set at hand"))
}

fn convert(x: &Expr, subquery: &Query, scopes: &Scopes<'_>) -> Option<Expr> {
    let inner = shape::plain_select(subquery)?;
    if shape::is_grouped(inner)
        || !matches!(inner.distinct, None | Some(Distinct::Distinct | Distinct::All))
        || shape::has_query(x)
    {
        return None;
    }
    let [item] = inner.projection.as_slice() else { return None };
    let y = shape::item_expr(item)?;
    let within = scopes.within(inner);
    if within.innermost().opaque || within.columns(y).is_none() {
        return None;
    }
    if scopes.dialect != Dialect::PostgreSql {
        // Their comparisons convert by rules of their own: only columns of one type.
        let (x, y) = (scopes.resolve(x)?, within.resolve(y)?);
        if !x.column.kind.compares_with(&y.column.kind) {
            return None;
        }
    }
    let moved = qualified(x, scopes, &within)?;
    let conditions = shape::conjuncts(inner.selection.as_ref());
    let is_asked_not_null = conditions.iter().any(
        |condition| matches!(condition, Expr::IsNotNull(column) if shape::bare(column) == shape::bare(y)),
    );
    let y_nullable = !is_asked_not_null && is_nullable(y, &within);
    // A row that holds a NULL is neither IS NULL nor IS NOT NULL.
    let may_be_row = |expr, scopes: &Scopes<'_>| {
        scopes.resolve(expr).is_some_and(|column| matches!(column.column.kind, ColumnType::Other(_)))
    };
    if may_be_row(x, scopes) || may_be_row(y, &within) {
        return None;
    }

    let not_exists = |added: Option<String>| {
        let mut select = inner.clone();
        select.distinct = None;
        select.projection = vec![text::parse_item("1", scopes.dialect)?];
        let added = match added {
            Some(added) => Some(text::parse_expr(&added, scopes.dialect)?),
            None => None,
        };
        select.selection = shape::conjunction(select.selection.take().into_iter().chain(added));
        Some(format!("NOT EXISTS ({select})"))
    };
    let mut guards = vec![not_exists(Some(format!("{} = {}", operand(&moved), operand(y))))?];
    if y_nullable {
        guards.push(not_exists(Some(format!("{} IS NULL", operand(y))))?);
    }
    if is_nullable(x, scopes) {
        guards.push(format!("({} IS NOT NULL OR {})", operand(x), not_exists(None)?));
    }
    text::parse_expr(&guards.join(" AND "), scopes.dialect)
}

fn operand(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_) => {
            expr.to_string()
        }
        _ => format!("({expr})"),
    }
}

fn is_nullable(expr: &Expr, scopes: &Scopes<'_>) -> bool {
    match scopes.resolve(expr) {
        Some(column) => column.nullable,
        None => !shape::is_literal(expr),
    }
}

/// Returns `x` with every column qualified so that it means the same within the subquery.
fn qualified(x: &Expr, scopes: &Scopes<'_>, within: &Scopes<'_>) -> Option<Expr> {
    let mut moved = x.clone();
    let mut known = scopes.columns(x).is_some();
    shape::replace_expressions(&mut moved, &mut |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let column = scopes.resolve(expr)?;
            let source = &scopes.stack.iter().rev().nth(column.depth)?.sources[column.source];
            let captured = within.innermost().sources.iter().any(|inner| inner.alias == source.alias);
            known &= !captured;
            let name = match expr {
                Expr::Identifier(name) => name.clone(),
                Expr::CompoundIdentifier(parts) => parts.last()?.clone(),
                _ => return None,
            };
            Some(Expr::CompoundIdentifier(vec![source.written.clone(), name]))
        }
        _ => None,
    });
    // Both ends resolve to the same columns, or nothing is offered.
    let before = scopes.columns(x)?;
    let after = within.columns(&moved)?;
    let same = before.len() == after.len()
        && before.iter().zip(&after).all(|(before, after)| {
            after.depth == before.depth + 1 && after.source == before.source && after.column == before.column
        });
    (known && same).then_some(moved)
}
