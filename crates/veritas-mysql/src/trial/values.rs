//! Values for the `?` of a statement that nobody kept calls of: sampled from the columns of
//! the copy that they are compared with.

use std::{collections::BTreeMap, ops::ControlFlow};

use mysql::Value;
use sqlparser::{
    ast::{BinaryOperator, Expr, LimitClause, Query, SetExpr, Spanned as _, Statement, Visit, Visitor},
    dialect::MySqlDialect,
    parser::Parser,
    tokenizer::{Location, Token, Tokenizer},
};

use super::candidates::Scope;
use crate::session::{Session, SessionError, ident};

/// Vectors that are sampled.
const VECTORS: u64 = 8;
/// Rows that are wanted where a `LIMIT` is not known.
const LIMIT: i64 = 20;

/// What a `?` means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// It is compared with this column of this table.
    Column(String, String),
    /// It says how many rows are wanted.
    Limit,
}

/// Samples values from the tables that the session is at. `None` when the meaning of a `?`
/// cannot be told, or a table has no rows; one empty vector when there is no `?`.
pub(super) fn sampled(session: &mut Session, sql: &str) -> Result<Option<Vec<Vec<Value>>>, SessionError> {
    let Some(roles) = roles(sql) else { return Ok(None) };
    if roles.is_empty() {
        return Ok(Some(vec![Vec::new()]));
    }
    let mut vectors = Vec::new();
    for number in 0..VECTORS {
        let mut vector = Vec::with_capacity(roles.len());
        for role in &roles {
            let Role::Column(table, column) = role else {
                vector.push(Value::Int(LIMIT));
                continue;
            };
            let Some(value) = at_share(session, table, column, number)? else { return Ok(None) };
            vector.push(value);
        }
        if !vectors.contains(&vector) {
            vectors.push(vector);
        }
    }
    Ok(Some(vectors))
}

/// Returns a value of a column: of the row so many eighths down the table.
fn at_share(
    session: &mut Session,
    table: &str,
    column: &str,
    number: u64,
) -> Result<Option<Value>, SessionError> {
    let (table, column) = (ident(table), ident(column));
    let rows = session.query(&format!("SELECT COUNT({column}) FROM {table}"))?;
    let rows: u64 = rows
        .into_iter()
        .next()
        .and_then(|mut row| row.pop().flatten())
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    let place = rows.saturating_sub(1) * number / VECTORS;
    let sql = format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1 OFFSET {place}");
    let value = session.query(&sql)?.into_iter().next().and_then(|mut row| row.pop().flatten());
    Ok(value.map(Value::from))
}

/// Returns what each `?` means, in their order; `None` when that of one cannot be told.
fn roles(sql: &str) -> Option<Vec<Role>> {
    let statements = Parser::parse_sql(&MySqlDialect {}, sql).ok()?;
    let [Statement::Query(query)] = &statements[..] else { return None };
    let tokens = Tokenizer::new(&MySqlDialect {}, sql).tokenize_with_location().ok()?;
    let places = tokens
        .into_iter()
        .filter(|token| matches!(&token.token, Token::Placeholder(_)))
        .map(|token| key(token.span.start));
    let mut uses = Uses::default();
    let walked = query.visit(&mut uses);
    debug_assert!(walked.is_continue(), "the walk never breaks");
    places.map(|place| uses.roles.remove(&place)).collect()
}

const fn key(location: Location) -> (u64, u64) {
    (location.line, location.column)
}

#[derive(Default)]
struct Uses {
    /// The scopes of the queries that are being walked, the innermost last.
    scopes: Vec<Scope>,
    roles: BTreeMap<(u64, u64), Role>,
}

impl Uses {
    fn compare(&mut self, column: &Expr, value: &Expr) {
        let Some(place) = placeholder(value) else { return };
        let found = self.scopes.iter().rev().find_map(|scope| scope.column(column));
        if let Some((table, column)) = found {
            self.roles.insert(place, Role::Column(table, column));
        }
    }
}

/// Returns where an expression that is a `?` stands.
fn placeholder(expr: &Expr) -> Option<(u64, u64)> {
    match expr {
        Expr::Nested(inner) => placeholder(inner),
        Expr::Value(value) => {
            let is_one = matches!(&value.value, sqlparser::ast::Value::Placeholder(_));
            is_one.then(|| key(expr.span().start))
        }
        _ => None,
    }
}

impl Visitor for Uses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let scope = match &*query.body {
            SetExpr::Select(select) => Scope::of(select),
            _ => Scope::default(),
        };
        self.scopes.push(scope);
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            for expr in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
                if let Some(place) = placeholder(expr) {
                    self.roles.insert(place, Role::Limit);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let _inner = self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp {
                left,
                op:
                    BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Spaceship
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq,
                right,
            } => {
                self.compare(left, right);
                self.compare(right, left);
            }
            Expr::InList { expr, list, .. } => list.iter().for_each(|item| self.compare(expr, item)),
            Expr::Between { expr, low, high, .. } => {
                self.compare(expr, low);
                self.compare(expr, high);
            }
            Expr::Like { expr, pattern, .. } => self.compare(expr, pattern),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Option<&[&str]>) {
        let shown = roles(sql).map(|roles| {
            let words = roles.into_iter().map(|role| match role {
                Role::Column(table, column) => format!("{table}.{column}"),
                Role::Limit => "limit".to_owned(),
            });
            words.collect::<Vec<_>>()
        });
        let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(shown, expected, "{sql}");
    }

    #[test]
    fn a_placeholder_means_the_column_that_it_is_compared_with() {
        check("SELECT a FROM t WHERE a = ? AND ? < b LIMIT ?", Some(&["t.a", "t.b", "limit"]));
        check(
            "SELECT x.a FROM t x JOIN u ON u.id = x.id\nWHERE u.c IN ( ? ) AND x.d BETWEEN ? AND ?",
            Some(&["u.c", "t.d", "t.d"]),
        );
        check("SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d LIKE ?)", Some(&["u.d"]));
        check("SELECT a FROM t", Some(&[]));
    }

    #[test]
    fn one_whose_meaning_cannot_be_told_is_not_guessed() {
        check("SELECT a FROM t WHERE a + ? = 7", None);
        check("SELECT ? FROM t", None);
    }
}
