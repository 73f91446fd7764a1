//! The batch of a statement of which only the normalized text is known: by its form alone.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{BinaryOperator, Expr, Ident, SelectItem, Statement, Value, Visit, Visitor},
    dialect::GenericDialect,
    parser::Parser,
};

use crate::{shape, text};

/// Stands for the list of keys until the text is printed.
const KEYS: &str = "veritas_keys";

/// Returns what asks for all keys at once, of a statement that is sent once for each: a text
/// to be read, for a statement without its literals (`select name from users where id = ?`
/// becomes `SELECT name, id FROM users WHERE id IN (?, …)`, with `arrays`
/// `… WHERE id = ANY($1)`). The key is among the columns, so that the rows can be told apart.
///
/// The tables are not known, so this is a rule and no proof: that a row belongs to the call
/// whose key its column has follows from the form (one equality with a parameter that must
/// hold, no groups, no limit). `None` where the form is another one.
pub fn batched(normalized: &str, arrays: bool) -> Option<String> {
    if normalized.len() > text::MAX_BYTES {
        return None;
    }
    text::with_deep_stack(|| write(normalized, arrays)).ok().flatten()
}

fn write(normalized: &str, arrays: bool) -> Option<String> {
    let mut statements =
        Parser::new(&GenericDialect {}).with_recursion_limit(100).try_with_sql(normalized).ok()?;
    let Statement::Query(query) = statements.parse_statement().ok()? else { return None };
    let select = shape::selecting(&query)?;
    if select.distinct.is_some() || shape::is_grouped(select) || !shape::is_unlimited(&query) {
        return None;
    }
    let conditions = shape::conjuncts(select.selection.as_ref());
    let mut keyed =
        conditions.iter().enumerate().filter_map(|(at, condition)| Some((at, key_of(condition)?)));
    let (at, key) = keyed.next()?;
    if keyed.next().is_some() {
        return None;
    }
    let only = placeholders(&query) == 1;
    let condition = if arrays {
        let array = if only { "$1" } else { "?" };
        expression(&format!("{key} = ANY({array})"))?
    } else {
        expression(&format!("{key} IN ({KEYS})"))?
    };
    let all = conditions
        .iter()
        .enumerate()
        .map(|(other, kept)| if other == at { condition.clone() } else { (*kept).clone() });
    let all: Vec<Expr> = all.collect();
    let shows_key = select.projection.iter().any(|item| shows(item, key));
    let mut changed = query.clone();
    let batch = shape::selecting_mut(&mut changed)?;
    batch.selection = shape::conjunction(all);
    if !shows_key {
        batch.projection.push(SelectItem::UnnamedExpr(key.clone()));
    }
    Some(changed.to_string().replace(KEYS, "?, …"))
}

fn expression(sql: &str) -> Option<Expr> {
    Parser::new(&GenericDialect {}).try_with_sql(sql).ok()?.parse_expr().ok()
}

/// Returns the column that a condition compares with a parameter.
fn key_of(condition: &Expr) -> Option<&Expr> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = shape::bare(condition) else { return None };
    let (left, right) = (shape::bare(left), shape::bare(right));
    match (is_column(left), is_placeholder(right), is_column(right), is_placeholder(left)) {
        (true, true, ..) => Some(left),
        (_, _, true, true) => Some(right),
        _ => None,
    }
}

const fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(&value.value, Value::Placeholder(_)))
}

/// Returns whether an item of the select list has the key.
fn shows(item: &SelectItem, key: &Expr) -> bool {
    match item {
        SelectItem::Wildcard(_) => true,
        SelectItem::UnnamedExpr(expr) => name_of(expr).is_some_and(|name| Some(name) == name_of(key)),
        _ => false,
    }
}

fn name_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        _ => None,
    }
}

fn placeholders<T: Visit>(tree: &T) -> usize {
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.0 += usize::from(is_placeholder(expr));
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    let _end = tree.visit(&mut count);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(normalized: &str, arrays: bool, expected: Option<&str>) {
        assert_eq!(batched(normalized, arrays).as_deref(), expected, "{normalized}");
    }

    #[test]
    fn all_keys_are_asked_for_at_once_and_the_key_is_among_the_columns() {
        let sql = "select name from users where id = ?";
        check(sql, false, Some("SELECT name, id FROM users WHERE id IN (?, …)"));
        check(sql, true, Some("SELECT name, id FROM users WHERE id = ANY($1)"));
        check("select * from users where ? = id", true, Some("SELECT * FROM users WHERE id = ANY($1)"));
        check(
            "select o.id, o.total from orders o where o.user_id = ? and o.total > ? order by o.id",
            false,
            Some(
                "SELECT o.id, o.total, o.user_id FROM orders o WHERE o.user_id IN (?, …) AND o.total > ? ORDER BY o.id",
            ),
        );
        check(
            "select id from users where id = ? and active > ?",
            true,
            Some("SELECT id FROM users WHERE id = ANY(?) AND active > ?"),
        );
    }

    #[test]
    fn another_form_is_no_batch() {
        for sql in [
            "select name from users where id = ? and kind = ?",
            "select name from users where id = ? or kind = ?",
            "select count(*) from users where kind = ?",
            "select name from users where kind = ? limit ?",
            "select distinct name from users where kind = ?",
            "select name from users where id > ?",
            "update users set name = ? where id = ?",
            "select name from users where",
        ] {
            check(sql, false, None);
        }
    }
}
