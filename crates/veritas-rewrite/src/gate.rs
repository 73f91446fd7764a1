//! Statements of which one text may stand for another at all.
//!
//! A statement whose result depends on the plan (a limit without an order, a volatile
//! function, rows numbered in an order with ties) returns something else from one day to
//! the next by itself: nothing can be checked, and nothing is offered.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, Query, Select, SetExpr, TableFactor, Visit, Visitor,
};

use crate::{
    schema::ColumnType,
    scope::Scopes,
    shape,
    walk::{Place, Walk, walk},
};

/// Functions without side effects that return the same for the same arguments within one
/// statement, whatever the order of the rows. What is not in here may be anything.
const KNOWN: &[&str] = &[
    "abs",
    "age",
    "array_length",
    "avg",
    "bit_length",
    "bool_and",
    "bool_or",
    "btrim",
    "cardinality",
    "cast",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "convert",
    "count",
    "current_date",
    "current_timestamp",
    "current_user",
    "date",
    "date_add",
    "date_format",
    "date_part",
    "date_sub",
    "date_trunc",
    "datediff",
    "datetime",
    "day",
    "dayofweek",
    "dayofyear",
    "every",
    "exp",
    "extract",
    "floor",
    "generate_series",
    "greatest",
    "hex",
    "hour",
    "if",
    "ifnull",
    "iif",
    "initcap",
    "instr",
    "isfinite",
    "isnull",
    "json_array_length",
    "json_each",
    "json_extract",
    "json_extract_path_text",
    "json_unquote",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_object",
    "jsonb_extract_path_text",
    "jsonb_typeof",
    "julianday",
    "least",
    "left",
    "length",
    "ln",
    "localtimestamp",
    "locate",
    "log",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_timestamp",
    "max",
    "md5",
    "min",
    "minute",
    "mod",
    "month",
    "now",
    "nullif",
    "octet_length",
    "position",
    "pow",
    "power",
    "quarter",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "second",
    "sign",
    "split_part",
    "sqrt",
    "starts_with",
    "strftime",
    "strpos",
    "substr",
    "substring",
    "sum",
    "time",
    "to_char",
    "to_date",
    "to_timestamp",
    "total",
    "transaction_timestamp",
    "translate",
    "trim",
    "trunc",
    "typeof",
    "unnest",
    "upper",
    "week",
    "year",
];

/// Returns whether rewrites of `query` may be offered.
pub(crate) fn admits(query: &Query, scopes: &Scopes<'_>) -> bool {
    let mut look = Look { queries: 0 };
    if query.visit(&mut look).is_break() {
        return false;
    }
    let mut determinism = Determinism { admitted: true, queries: 0 };
    walk(&mut query.clone(), Place::Top, scopes, &mut determinism);
    // A query in a place that the walk does not know was not looked at.
    determinism.admitted && determinism.queries == look.queries
}

/// Looks at everything, wherever it stands.
struct Look {
    queries: usize,
}

impl Visitor for Look {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.queries += 1;
        let plain = query.locks.is_empty()
            && query.for_clause.is_none()
            && query.settings.is_none()
            && query.format_clause.is_none()
            && query.pipe_operators.is_empty()
            && query.with.as_ref().is_none_or(|with| !with.recursive);
        if plain && is_reading(&query.body) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let plain = select.into.is_none()
            && select.named_window.is_empty()
            && select.top.is_none()
            && !matches!(select.distinct, Some(Distinct::On(_)));
        if plain { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let known = match factor {
            TableFactor::Table { args: None, sample: None, version: None, .. }
            | TableFactor::Derived { sample: None, .. }
            | TableFactor::NestedJoin { .. } => true,
            TableFactor::Table { name, args: Some(_), sample: None, version: None, .. }
            | TableFactor::Function { name, .. } => {
                name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| {
                    name0_is_single(factor) && KNOWN.contains(&name.value.to_ascii_lowercase().as_str())
                })
            }
            _ => false,
        };
        if known { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let known = match expr {
            Expr::Function(function) => is_known(function),
            Expr::BinaryOp { op, .. } => {
                !matches!(op, BinaryOperator::Custom(_) | BinaryOperator::PGCustomBinaryOperator(_))
            }
            Expr::Lambda(_) | Expr::Prior(_) | Expr::OuterJoin(_) | Expr::MatchAgainst { .. } => false,
            _ => true,
        };
        if known { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn name0_is_single(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => name.0.len() == 1,
        _ => false,
    }
}

fn is_reading(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => is_reading(left) && is_reading(right),
        _ => false,
    }
}

fn is_known(function: &Function) -> bool {
    function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && shape::function_name(function).is_some_and(|name| KNOWN.contains(&name.as_str()))
}

/// Looks for results that depend on the order in which a plan delivers rows.
struct Determinism {
    admitted: bool,
    queries: usize,
}

impl<'s> Walk<'s> for Determinism {
    fn query(&mut self, query: &mut Query, place: Place, scopes: &Scopes<'s>) {
        self.queries += 1;
        self.admitted &= shape::is_unlimited(query)
            || place == Place::Exists
            || (shape::limit_and_offset(query).is_some() && crate::keys::is_order_total(query, scopes));
    }

    fn select(&mut self, select: &mut Select, scopes: &Scopes<'s>) {
        let mut sums = Sums { depth: 0, scopes };
        self.admitted &= !select.projection.visit(&mut sums).is_break();
        self.admitted &= !select.having.visit(&mut sums).is_break();
    }
}

/// A sum of floating-point numbers depends on their order.
struct Sums<'a, 's> {
    depth: usize,
    scopes: &'a Scopes<'s>,
}

impl Visitor for Sums<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && self.depth == 0
            && shape::function_name(function)
                .is_some_and(|name| ["sum", "avg", "total"].contains(&name.as_str()))
        {
            let exact = self.scopes.columns(&function.args).is_some_and(|columns| {
                columns.iter().all(|column| {
                    column.column.kind.is_integer() || column.column.kind == ColumnType::Numeric
                })
            });
            if !exact {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
