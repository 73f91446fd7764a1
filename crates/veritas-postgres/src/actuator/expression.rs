//! Expressions that may stand in an index or a default of ours: they compute, and do nothing else.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{Expr, FunctionArguments, UnaryOperator, Value, visit_expressions},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

/// Functions of the server itself that compute from their arguments alone.
pub(crate) const PURE: &[&str] = &[
    "abs",
    "btrim",
    "coalesce",
    "date_part",
    "date_trunc",
    "greatest",
    "least",
    "length",
    "lower",
    "ltrim",
    "md5",
    "nullif",
    "replace",
    "rtrim",
    "substr",
    "substring",
    "trim",
    "upper",
];

/// Functions that a default may call besides: they tell the time or draw a number.
pub(crate) const FRESH: &[&str] =
    &["now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "gen_random_uuid", "random"];

/// Letters of the longest expression that is looked at.
const LONGEST: usize = 4_096;

/// Reads an expression; `None` when it is not one, or may do more than compute: call a
/// function that is not in `functions`, ask a table, or wait for a parameter.
pub(crate) fn harmless(sql: &str, functions: &[&[&str]]) -> Option<Expr> {
    if sql.len() > LONGEST {
        return None;
    }
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(50).try_with_sql(sql).ok()?;
    let expr = parser.parse_expr().ok()?;
    if parser.peek_token().token != sqlparser::tokenizer::Token::EOF {
        return None;
    }
    let walked = visit_expressions(&expr, |expr| {
        if allowed(expr, functions) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    walked.is_continue().then_some(expr)
}

fn allowed(expr: &Expr, functions: &[&[&str]]) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let known = functions.iter().any(|names| names.contains(&name.as_str()));
            let plain = function.over.is_none()
                && function.filter.is_none()
                && function.within_group.is_empty()
                && !matches!(function.args, FunctionArguments::Subquery(_));
            known && plain
        }
        Expr::UnaryOp { op, .. } => {
            matches!(op, UnaryOperator::Not | UnaryOperator::Minus | UnaryOperator::Plus)
        }
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::InList { .. }
        | Expr::Between { .. }
        | Expr::BinaryOp { .. }
        | Expr::AnyOp { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::Nested(_)
        | Expr::Cast { .. }
        | Expr::Extract { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::TypedString(_)
        | Expr::Interval(_)
        | Expr::Array(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_computes_and_does_nothing_else() {
        for good in
            ["lower(\"name\")", "status = 'open' AND NOT done", "a IN (1, 2)", "(a + b) * 2", "x IS NOT NULL"]
        {
            assert!(harmless(good, &[PURE]).is_some(), "{good}");
        }
        for bad in [
            "pg_terminate_backend(1)",
            "public.lower(a)",
            "a = (SELECT 1)",
            "EXISTS (SELECT 1)",
            "a = $1",
            "a); DROP TABLE t; --",
            "nextval('s')",
            "count(*) OVER ()",
            "now()",
            "",
        ] {
            assert!(harmless(bad, &[PURE]).is_none(), "{bad}");
        }
        assert!(harmless("now()", &[PURE, FRESH]).is_some());
        assert!(harmless(&"(".repeat(3_000), &[PURE]).is_none());
    }
}
