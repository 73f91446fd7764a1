//! Visits every query of a statement, innermost first, with the names that it sees.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, LimitClause, OrderByKind, Query, Select, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use crate::scope::Scopes;

/// Where a query stands: what becomes of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the statement.
    Top,
    /// In a `FROM`.
    Derived,
    /// In `EXISTS`: only whether there is a row.
    Exists,
    /// In `IN`: only which values there are.
    In,
    /// A value.
    Scalar,
    /// A side of `UNION`, `INTERSECT` or `EXCEPT`, in parentheses.
    Branch,
    /// In a `WITH`.
    Named,
}

/// What is done at each query.
pub(crate) trait Walk<'s> {
    /// Called for each query, after what is within it. `scopes` are those around it.
    fn query(&mut self, query: &mut Query, place: Place, scopes: &Scopes<'s>) {
        let _ = (query, place, scopes);
    }

    /// Called for each `SELECT`, after what is within it and before its query. `scopes`
    /// are those within it.
    fn select(&mut self, select: &mut Select, scopes: &Scopes<'s>) {
        let _ = (select, scopes);
    }
}

/// Walks over `query` and everything within it.
pub(crate) fn walk<'s>(query: &mut Query, place: Place, scopes: &Scopes<'s>, walker: &mut dyn Walk<'s>) {
    for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        walk(&mut table.query, Place::Named, scopes, walker);
    }
    let within = match query.body.as_ref() {
        SetExpr::Select(select) => Some(scopes.within(select)),
        _ => None,
    };
    walk_body(&mut query.body, scopes, walker);
    let within = within.as_ref().unwrap_or(scopes);
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order.kind
    {
        for item in exprs {
            walk_tree(&mut item.expr, within, walker);
        }
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            for expr in limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)) {
                walk_tree(expr, within, walker);
            }
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            walk_tree(offset, within, walker);
            walk_tree(limit, within, walker);
        }
        None => {}
    }
    walker.query(query, place, scopes);
}

fn walk_body<'s>(body: &mut SetExpr, scopes: &Scopes<'s>, walker: &mut dyn Walk<'s>) {
    match body {
        SetExpr::Select(select) => {
            let within = scopes.within(select);
            for item in &mut select.from {
                walk_from(item, scopes, &within, walker);
            }
            // The items of the FROM are done: what is left of the tree are expressions.
            let from = std::mem::take(&mut select.from);
            walk_tree(select.as_mut(), &within, walker);
            select.from = from;
            walker.select(select, &within);
        }
        SetExpr::Query(query) => walk(query, Place::Branch, scopes, walker),
        SetExpr::SetOperation { left, right, .. } => {
            walk_body(left, scopes, walker);
            walk_body(right, scopes, walker);
        }
        _ => {}
    }
}

fn walk_from<'s>(
    item: &mut TableWithJoins,
    outer: &Scopes<'s>,
    within: &Scopes<'s>,
    walker: &mut dyn Walk<'s>,
) {
    walk_factor(&mut item.relation, outer, within, walker);
    for join in &mut item.joins {
        walk_factor(&mut join.relation, outer, within, walker);
        walk_tree(&mut join.join_operator, within, walker);
    }
}

fn walk_factor<'s>(
    factor: &mut TableFactor,
    outer: &Scopes<'s>,
    within: &Scopes<'s>,
    walker: &mut dyn Walk<'s>,
) {
    match factor {
        TableFactor::Derived { lateral, subquery, .. } => {
            // Only LATERAL sees the other items of the FROM.
            walk(subquery, Place::Derived, if *lateral { within } else { outer }, walker);
        }
        TableFactor::NestedJoin { table_with_joins, .. } => {
            walk_from(table_with_joins, outer, within, walker);
        }
        _ => {}
    }
}

/// Walks over the subqueries of a tree of expressions.
fn walk_tree<'s>(tree: &mut impl VisitMut, scopes: &Scopes<'s>, walker: &mut dyn Walk<'s>) {
    struct Subqueries<'a, 's> {
        depth: usize,
        scopes: &'a Scopes<'s>,
        walker: &'a mut dyn Walk<'s>,
    }
    impl VisitorMut for Subqueries<'_, '_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            // What is within a subquery is walked over by the walk of that subquery.
            if self.depth == 0 {
                match expr {
                    Expr::Exists { subquery, .. } => walk(subquery, Place::Exists, self.scopes, self.walker),
                    Expr::InSubquery { subquery, .. } => walk(subquery, Place::In, self.scopes, self.walker),
                    Expr::Subquery(subquery) => walk(subquery, Place::Scalar, self.scopes, self.walker),
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _: ControlFlow<()> = tree.visit(&mut Subqueries { depth: 0, scopes, walker });
}
