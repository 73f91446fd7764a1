//! The shapes that rules look for: conjunctions, plain selects, constants.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, LimitClause, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    UnaryOperator, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Takes an expression out of its parentheses.
pub(crate) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        _ => expr,
    }
}

/// Returns the operands of a chain of `operator` (`AND`, `OR`), in order.
pub(crate) fn operands<'e>(expr: &'e Expr, operator: &BinaryOperator) -> Vec<&'e Expr> {
    let (mut found, mut left) = (Vec::new(), vec![expr]);
    while let Some(expr) = left.pop() {
        match bare(expr) {
            Expr::BinaryOp { left: first, op, right: second } if op == operator => {
                left.push(second);
                left.push(first);
            }
            other => found.push(other),
        }
    }
    found
}

/// Returns the conditions that must all hold.
pub(crate) fn conjuncts(condition: Option<&Expr>) -> Vec<&Expr> {
    condition.map_or_else(Vec::new, |expr| operands(expr, &BinaryOperator::And))
}

/// Joins conditions by `AND`; each is put in parentheses where it needs them.
pub(crate) fn conjunction(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().map(operand).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// Puts an expression in parentheses unless it binds closer than `AND` and `NOT`.
pub(crate) fn operand(expr: Expr) -> Expr {
    let binds_closer = match &expr {
        Expr::BinaryOp { op, .. } => {
            !matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor)
        }
        Expr::Nested(_)
        | Expr::Exists { .. }
        | Expr::InSubquery { .. }
        | Expr::InList { .. }
        | Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Like { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::Function(_) => true,
        _ => false,
    };
    if binds_closer { expr } else { Expr::Nested(Box::new(expr)) }
}

/// Returns the `SELECT` of a query that is nothing else: no `WITH`, no order, no limit.
pub(crate) fn plain_select(query: &Query) -> Option<&Select> {
    let plain = query.order_by.is_none() && is_unlimited(query);
    if plain { selecting(query) } else { None }
}

/// Returns the `SELECT` of a query that may have an order and a limit.
pub(crate) fn selecting(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select)
            if query.with.is_none()
                && query.locks.is_empty()
                && query.for_clause.is_none()
                && query.settings.is_none()
                && query.format_clause.is_none()
                && query.pipe_operators.is_empty()
                && is_ordinary(select) =>
        {
            Some(select)
        }
        _ => None,
    }
}

/// Returns the same, to change it.
pub(crate) fn selecting_mut(query: &mut Query) -> Option<&mut Select> {
    selecting(query)?;
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// Returns whether a query returns all its rows.
pub(crate) const fn is_unlimited(query: &Query) -> bool {
    query.limit_clause.is_none() && query.fetch.is_none()
}

/// Returns whether a `SELECT` has only the clauses that rules know.
fn is_ordinary(select: &Select) -> bool {
    select.optimizer_hints.is_empty()
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(_, modifiers) if modifiers.is_empty())
}

/// Returns what a `SELECT` groups by; `None` where that is no plain list.
pub(crate) fn group_keys(select: &Select) -> Option<&[Expr]> {
    match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => Some(keys),
        _ => None,
    }
}

/// Returns whether a `SELECT` makes rows of its own: groups, or aggregates.
pub(crate) fn is_grouped(select: &Select) -> bool {
    group_keys(select).is_none_or(|keys| !keys.is_empty())
        || select.having.is_some()
        || has_aggregate(&select.projection)
}

/// Returns the items of an `ORDER BY`; empty where there is none, `None` where it is no list.
pub(crate) fn order_items(query: &Query) -> Option<&[OrderByExpr]> {
    match &query.order_by {
        None => Some(&[]),
        Some(order) if order.interpolate.is_none() => match &order.kind {
            OrderByKind::Expressions(items) if items.iter().all(|item| item.with_fill.is_none()) => {
                Some(items)
            }
            _ => None,
        },
        Some(_) => None,
    }
}

/// Returns limit and offset of a query without `LIMIT BY` and the like.
pub(crate) fn limit_and_offset(query: &Query) -> Option<(Option<&Expr>, Option<&Expr>)> {
    let (limit, offset) = match &query.limit_clause {
        None => (None, None),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        Some(_) => return None,
    };
    match &query.fetch {
        None => Some((limit, offset)),
        Some(fetch) if !fetch.with_ties && !fetch.percent && limit.is_none() => {
            Some((fetch.quantity.as_ref(), offset))
        }
        Some(_) => None,
    }
}

/// Returns the expression of an item of a select list.
pub(crate) fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Returns a function's name in lower case, where it is one word or in `pg_catalog`.
pub(crate) fn function_name(function: &Function) -> Option<String> {
    let name = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(name) => Some(name.value.to_ascii_lowercase()),
        ObjectNamePart::Function(_) => None,
    };
    match function.name.0.as_slice() {
        [only] => name(only),
        [schema, only] if name(schema).as_deref() == Some("pg_catalog") => name(only),
        _ => None,
    }
}

/// Returns the arguments of a plain call: no `DISTINCT`, filter, window or order.
pub(crate) fn plain_arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = function.filter.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && matches!(function.parameters, FunctionArguments::None);
    match &function.args {
        FunctionArguments::List(list)
            if plain
                && list.clauses.is_empty()
                && list.duplicate_treatment != Some(DuplicateTreatment::Distinct) =>
        {
            list.args
                .iter()
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect()
        }
        FunctionArguments::None if plain => Some(Vec::new()),
        _ => None,
    }
}

/// Returns whether a call is `count(*)`, without a filter.
pub(crate) fn is_count_of_rows(function: &Function) -> bool {
    function_name(function).as_deref() == Some("count")
        && function.filter.is_none()
        && function.over.is_none()
        && matches!(&function.args, FunctionArguments::List(list)
            if list.duplicate_treatment.is_none()
                && list.clauses.is_empty()
                && matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]))
}

/// The aggregates that rules know: each ignores the order of the rows.
pub(crate) const AGGREGATES: [&str; 9] =
    ["count", "sum", "min", "max", "avg", "bool_and", "bool_or", "every", "total"];

/// Returns whether a tree calls an aggregate, outside of subqueries.
pub(crate) fn has_aggregate<T: Visit>(tree: &T) -> bool {
    struct Aggregates(usize);
    impl Visitor for Aggregates {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function)
                    if self.0 == 0
                        && function_name(function)
                            .is_some_and(|name| AGGREGATES.contains(&name.as_str())) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    tree.visit(&mut Aggregates(0)).is_break()
}

/// Returns whether a tree has a subquery.
pub(crate) fn has_query<T: Visit>(tree: &T) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    tree.visit(&mut Queries).is_break()
}

/// Returns whether a tree has a parameter.
pub(crate) fn has_parameter<T: Visit>(tree: &T) -> bool {
    struct Parameters;
    impl Visitor for Parameters {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            match value.value {
                Value::Placeholder(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    tree.visit(&mut Parameters).is_break()
}

/// Returns the value that an expression is.
pub(crate) fn value(expr: &Expr) -> Option<&Value> {
    match bare(expr) {
        Expr::Value(value) => Some(&value.value),
        _ => None,
    }
}

/// Returns whether an expression is a parameter.
pub(crate) fn is_parameter(expr: &Expr) -> bool {
    matches!(value(expr), Some(Value::Placeholder(_)))
}

/// Returns whether an expression is a literal other than `NULL`.
pub(crate) fn is_literal(expr: &Expr) -> bool {
    integer(expr).is_some()
        || matches!(value(expr), Some(Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_)))
}

/// Returns the whole number that an expression is.
pub(crate) fn integer(expr: &Expr) -> Option<i128> {
    match bare(expr) {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match value(expr)? {
            Value::Number(digits, false) => digits.parse::<i128>().ok()?.checked_neg(),
            _ => None,
        },
        expr => match value(expr)? {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
    }
}

/// Returns the text that an expression is.
pub(crate) fn text(expr: &Expr) -> Option<&str> {
    match value(expr)? {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// Returns a comparison with its operands turned round.
pub(crate) const fn turned(operator: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match operator {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::NotEq => BinaryOperator::NotEq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}

/// A comparison of something with a constant.
pub(crate) struct Comparison<'e> {
    pub(crate) subject: &'e Expr,
    pub(crate) operator: BinaryOperator,
    pub(crate) constant: &'e Expr,
}

/// Returns both ways to read a comparison: the left with the right, and the right with the left.
pub(crate) fn comparisons(expr: &Expr) -> Vec<Comparison<'_>> {
    match bare(expr) {
        Expr::BinaryOp { left, op, right } => match turned(op) {
            Some(turned) => vec![
                Comparison { subject: bare(left), operator: op.clone(), constant: bare(right) },
                Comparison { subject: bare(right), operator: turned, constant: bare(left) },
            ],
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Replaces conditions in `select` by what `replace` makes of them, wherever a condition
/// that is not true keeps its row or group out: the conjuncts of `WHERE`, `HAVING`, and of
/// the `ON` of inner joins, and what `AND` and `OR` connect in them. Returns whether any was.
pub(crate) fn replace_conditions(
    select: &mut Select,
    replace: &mut dyn FnMut(&Expr) -> Option<Expr>,
) -> bool {
    use sqlparser::ast::{JoinConstraint, JoinOperator};
    let mut changed = false;
    for condition in select.selection.iter_mut().chain(&mut select.having) {
        changed |= replace_in(condition, replace);
    }
    for join in select.from.iter_mut().flat_map(|item| &mut item.joins) {
        if let JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) =
            &mut join.join_operator
        {
            changed |= replace_in(on, replace);
        }
    }
    changed
}

fn replace_in(condition: &mut Expr, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) -> bool {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            let left = replace_in(left, replace);
            replace_in(right, replace) || left
        }
        Expr::Nested(inner) => replace_in(inner, replace),
        other => match replace(other) {
            Some(new) => {
                *other = operand(new);
                true
            }
            None => false,
        },
    }
}

/// Replaces expressions anywhere in a tree, except within subqueries and within what was
/// replaced. Returns whether any was.
pub(crate) fn replace_expressions<T: VisitMut>(
    tree: &mut T,
    replace: &mut dyn FnMut(&Expr) -> Option<Expr>,
) -> bool {
    struct Replacing<'a> {
        depth: usize,
        changed: bool,
        replace: &'a mut dyn FnMut(&Expr) -> Option<Expr>,
    }
    impl VisitorMut for Replacing<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.depth == 0
                && let Some(new) = (self.replace)(expr)
            {
                *expr = new;
                self.changed = true;
            }
            ControlFlow::Continue(())
        }
    }
    let mut replacing = Replacing { depth: 0, changed: false, replace };
    let _: ControlFlow<()> = tree.visit(&mut replacing);
    replacing.changed
}
