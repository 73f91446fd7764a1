//! What a condition in a plan does to the columns of the table that it filters.

use sqlparser::{
    ast::{BinaryOperator, CastKind, DataType, Expr, UnaryOperator, Value},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use crate::plan::Node;

/// Longer conditions are not looked at.
const LONGEST: usize = 16 * 1024;
/// Brackets nested deeper are not looked at: the parser recurses.
const DEEPEST: usize = 10;
/// Parts beyond this are not looked at.
const MOST_PARTS: usize = 200;

/// What one part of a condition, joined with others by AND, does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A column compared as it is: an index may serve it.
    Plain {
        column: String,
        /// Whether it is an equality, for which the number of distinct values counts.
        equality: bool,
    },
    /// A column converted to this type.
    Cast { column: String, type_name: String },
    /// A column inside of a function or of arithmetic.
    Computed { column: String, by: String },
    /// A pattern that begins with anything.
    Pattern { column: String },
    /// Alternatives on more than one column.
    Alternatives { columns: Vec<String> },
    /// Something else.
    Other,
}

/// Cuts the filter of a scan into parts; `None` where it is not understood.
pub(super) fn parts(node: &Node, condition: &str) -> Option<Vec<Part>> {
    let expression = parsed(condition)?;
    let alias = node.alias.as_deref().unwrap_or_default();
    let mut parts = Vec::new();
    let mut open = vec![&expression];
    while let Some(expression) = open.pop() {
        match bare(expression) {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([&**right, &**left]),
            other => parts.push(part(other, alias)),
        }
        if parts.len() > MOST_PARTS {
            return None;
        }
    }
    Some(parts)
}

fn parsed(condition: &str) -> Option<Expr> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in condition.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let links = condition.matches([' ']).count();
    if condition.len() > LONGEST || deepest > DEEPEST || links > 1_000 {
        return None;
    }
    let mut parser =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(40).try_with_sql(condition).ok()?;
    let expression = parser.parse_expr().ok()?;
    (parser.peek_token().token == sqlparser::tokenizer::Token::EOF).then_some(expression)
}

fn bare(expression: &Expr) -> &Expr {
    let mut expression = expression;
    while let Expr::Nested(inner) = expression {
        expression = inner;
    }
    expression
}

fn part(expression: &Expr, alias: &str) -> Part {
    match expression {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => alternatives(expression, alias),
        Expr::BinaryOp { left, op, right } => comparison(left, op, right, alias),
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if !mentions(right, alias) => {
            side(left, alias, true)
        }
        Expr::IsNull(inner) => side(inner, alias, false),
        // A boolean column may be a condition by itself.
        Expr::UnaryOp { op: UnaryOperator::Not, expr } if column(bare(expr), alias).is_some() => Part::Other,
        _ => Part::Other,
    }
}

fn comparison(left: &Expr, operator: &BinaryOperator, right: &Expr, alias: &str) -> Part {
    let (here, there) = match (mentions(left, alias), mentions(right, alias)) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return Part::Other,
    };
    match operator {
        BinaryOperator::Eq => side(here, alias, true),
        BinaryOperator::Lt | BinaryOperator::Gt | BinaryOperator::LtEq | BinaryOperator::GtEq => {
            side(here, alias, false)
        }
        BinaryOperator::PGLikeMatch | BinaryOperator::PGILikeMatch => {
            let column = columns(here, alias).into_iter().next();
            match (column, text(there)) {
                (Some(column), Some(pattern)) if pattern.starts_with(['%', '_']) => Part::Pattern { column },
                _ => Part::Other,
            }
        }
        _ => Part::Other,
    }
}

/// The side of a comparison that the columns of the table are on.
fn side(expression: &Expr, alias: &str, equality: bool) -> Part {
    match bare(expression) {
        Expr::Cast { kind: CastKind::DoubleColon, expr, data_type, .. } => match column(bare(expr), alias) {
            Some(column) => Part::Cast { column, type_name: type_name(data_type) },
            None => computed(expr, alias, "a conversion"),
        },
        other => match column(other, alias) {
            Some(column) => Part::Plain { column, equality },
            None => match other {
                Expr::Function(function) => {
                    let name = function.name.to_string();
                    let name = name.rsplit('.').next().unwrap_or_default().to_owned();
                    computed(other, alias, &format!("{name}()"))
                }
                Expr::BinaryOp { op, .. } => computed(other, alias, &format!("the operator {op}")),
                Expr::Extract { .. } => computed(other, alias, "EXTRACT"),
                _ => Part::Other,
            },
        },
    }
}

fn computed(expression: &Expr, alias: &str, by: &str) -> Part {
    match columns(expression, alias).as_slice() {
        [only] => Part::Computed { column: only.clone(), by: by.to_owned() },
        _ => Part::Other,
    }
}

fn alternatives(expression: &Expr, alias: &str) -> Part {
    let mut open = vec![expression];
    let mut named: Vec<String> = Vec::new();
    while let Some(expression) = open.pop() {
        match bare(expression) {
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => open.extend([&**left, &**right]),
            other => match part(other, alias) {
                Part::Plain { column, .. } => named.push(column),
                _ => return Part::Other,
            },
        }
    }
    named.sort();
    named.dedup();
    match named.len() {
        0 => Part::Other,
        1 => Part::Plain { column: named.remove(0), equality: true },
        _ => Part::Alternatives { columns: named },
    }
}

/// The column of the table that an expression is, without anything around it.
fn column(expression: &Expr, alias: &str) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, column] if table.value == alias => Some(column.value.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn mentions(expression: &Expr, alias: &str) -> bool {
    !columns(expression, alias).is_empty()
}

/// The columns of the table anywhere in an expression, each once.
fn columns(expression: &Expr, alias: &str) -> Vec<String> {
    let mut named = Vec::new();
    let _done = sqlparser::ast::visit_expressions(expression, |inner| {
        named.extend(column(inner, alias));
        std::ops::ControlFlow::<()>::Continue(())
    });
    named.sort();
    named.dedup();
    named
}

fn text(expression: &Expr) -> Option<&str> {
    match bare(expression) {
        Expr::Cast { expr, .. } => text(expr),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> String {
    data_type.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[track_caller]
    fn check(filter: &str, expected: &[Part]) {
        let json = r#"[{"Plan": {"Node Type": "Seq Scan", "Alias": "t", "Relation Name": "t", "Total Cost": 1, "Plan Rows": 1}}]"#;
        let plan = Plan::parse(json).unwrap();
        assert_eq!(parts(&plan.root, filter).as_deref(), Some(expected), "{filter}");
    }

    fn plain(column: &str, equality: bool) -> Part {
        Part::Plain { column: column.to_owned(), equality }
    }

    fn computed_by(column: &str, by: &str) -> Part {
        Part::Computed { column: column.to_owned(), by: by.to_owned() }
    }

    fn cast(column: &str, type_name: &str) -> Part {
        Part::Cast { column: column.to_owned(), type_name: type_name.to_owned() }
    }

    #[test]
    fn conditions_are_read_as_plans_print_them() {
        check("(t.a = 3)", &[plain("a", true)]);
        check("((t.a = 3) AND (t.d > now()))", &[plain("a", true), plain("d", false)]);
        check("(u.t_id = t.id)", &[plain("id", true)]);
        check("(t.a = ANY ('{1,2}'::integer[]))", &[plain("a", true)]);
        check("(lower(t.b) = 'x'::text)", &[computed_by("b", "lower()")]);
        check(
            "(date_trunc('month'::text, t.d) = '2024-01-01 00:00:00+00'::timestamp with time zone)",
            &[computed_by("d", "date_trunc()")],
        );
        check("((t.a + 1) = 5)", &[computed_by("a", "the operator +")]);
        check("((t.id)::text = '7'::text)", &[cast("id", "text")]);
        check("((t.id)::numeric = '7'::numeric)", &[cast("id", "numeric")]);
        check("(t.b ~~ '%x'::text)", &[Part::Pattern { column: "b".to_owned() }]);
        check("(t.b ~~ 'x%'::text)", &[Part::Other]);
        check("((t.a = 1) OR (t.a = 2))", &[plain("a", true)]);
        check(
            "((t.a = 1) OR (t.id = 2))",
            &[Part::Alternatives { columns: vec!["a".to_owned(), "id".to_owned()] }],
        );
        check("(t.a <> 1)", &[Part::Other]);
        check("((t.a = 3) AND (t.id > t.a))", &[plain("a", true), Part::Other]);
    }
}
