//! Candidates: indexes that may serve a query, from what it compares and sorts by.
//!
//! For each table: columns compared for equality (with a value or with another table's
//! column), then one range or the columns of the order. Conditions under `OR` and `NOT`
//! are not looked at.

use std::{collections::BTreeMap, ops::ControlFlow};

use sqlparser::{
    ast::{
        BinaryOperator, Expr, JoinConstraint, JoinOperator, OrderByExpr, OrderByKind, OrderBySort, Query,
        Select, SetExpr, Statement, TableFactor, Visit, Visitor,
    },
    dialect::MySqlDialect,
    parser::Parser,
};

/// More key columns than these are rarely worth their writes.
const MOST_COLUMNS: usize = 4;

/// An index that may serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The table.
    pub table: String,
    /// The key columns, in order.
    pub columns: Vec<String>,
}

/// Returns the candidates of a query, widest first for each table: what a rule says, which
/// nobody has measured.
pub fn of(sql: &str) -> Vec<Candidate> {
    let Ok(statements) = Parser::parse_sql(&MySqlDialect {}, sql) else { return Vec::new() };
    let Some(Statement::Query(query)) = statements.first() else { return Vec::new() };
    let mut blocks = Blocks::default();
    let _end = query.visit(&mut blocks);
    blocks.candidates
}

#[derive(Default)]
struct Blocks {
    candidates: Vec<Candidate>,
}

impl Visitor for Blocks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = &*query.body {
            self.block(select, query);
        }
        ControlFlow::Continue(())
    }
}

/// What one table of a block is compared and sorted by.
#[derive(Default)]
struct Compared {
    equal: Vec<String>,
    range: Vec<String>,
    sort: Vec<String>,
}

/// The tables of a block, by the name under which it knows them.
#[derive(Default)]
pub(super) struct Scope {
    tables: BTreeMap<String, String>,
}

impl Scope {
    /// Returns the tables that a block names.
    pub(super) fn of(select: &Select) -> Self {
        let mut scope = Self::default();
        for from in &select.from {
            scope.add(&from.relation);
            from.joins.iter().for_each(|join| scope.add(&join.relation));
        }
        scope
    }

    /// Returns the table and column of an expression that is a plain column.
    pub(super) fn column(&self, expr: &Expr) -> Option<(String, String)> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(name) if self.tables.len() == 1 => {
                Some((self.tables.values().next()?.clone(), name.value.clone()))
            }
            Expr::CompoundIdentifier(names) => {
                let [table, column] = &names[..] else { return None };
                Some((self.tables.get(&table.value)?.clone(), column.value.clone()))
            }
            _ => None,
        }
    }
}

impl Blocks {
    fn block(&mut self, select: &Select, query: &Query) {
        let scope = Scope::of(select);
        let mut conditions: Vec<&Expr> = select.selection.iter().collect();
        for from in &select.from {
            for join in &from.joins {
                if let JoinOperator::Join(JoinConstraint::On(on))
                | JoinOperator::Inner(JoinConstraint::On(on))
                | JoinOperator::Left(JoinConstraint::On(on))
                | JoinOperator::LeftOuter(JoinConstraint::On(on)) = &join.join_operator
                {
                    conditions.push(on);
                }
            }
        }
        let mut compared: BTreeMap<String, Compared> = BTreeMap::new();
        for condition in conditions {
            conjuncts(condition, &scope, &mut compared);
        }
        if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order| &order.kind) {
            // Rows of one table in one direction come out of an index in order.
            let falls = |key: &OrderByExpr| key.options.sort == Some(OrderBySort::Desc);
            let same = keys.windows(2).all(|pair| falls(&pair[0]) == falls(&pair[1]));
            let columns: Option<Vec<(String, String)>> =
                keys.iter().map(|key| scope.column(&key.expr)).collect();
            if let Some(columns) =
                columns.filter(|columns| same && columns.iter().all(|(table, _)| *table == columns[0].0))
            {
                for (table, column) in columns {
                    compared.entry(table).or_default().sort.push(column);
                }
            }
        }
        for (table, compared) in compared {
            self.of_table(&table, &compared);
        }
    }

    fn of_table(&mut self, table: &str, compared: &Compared) {
        let after = |more: &[String]| -> Vec<String> {
            let mut columns: Vec<String> = Vec::new();
            for column in compared.equal.iter().chain(more) {
                if !columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
                    columns.push(column.clone());
                }
            }
            columns.truncate(MOST_COLUMNS);
            columns
        };
        let range = compared.range.first().cloned().into_iter().collect::<Vec<_>>();
        for columns in [after(&range), after(&compared.sort), after(&[])] {
            let candidate = Candidate { table: table.to_owned(), columns };
            if !candidate.columns.is_empty() && !self.candidates.contains(&candidate) {
                self.candidates.push(candidate);
            }
        }
    }
}

impl Scope {
    fn add(&mut self, factor: &TableFactor) {
        let TableFactor::Table { name, alias, .. } = factor else { return };
        let Some(table) = name.0.last().and_then(|part| part.as_ident()) else { return };
        let known_as = alias.as_ref().map_or(&table.value, |alias| &alias.name.value);
        self.tables.insert(known_as.clone(), table.value.clone());
    }
}

fn conjuncts(condition: &Expr, scope: &Scope, compared: &mut BTreeMap<String, Compared>) {
    let mut equal = |expr: &Expr| {
        if let Some((table, column)) = scope.column(expr) {
            compared.entry(table).or_default().equal.push(column);
        }
    };
    match condition {
        Expr::Nested(inner) => conjuncts(inner, scope, compared),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, scope, compared);
            conjuncts(right, scope, compared);
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::Spaceship, right } => {
            equal(left);
            equal(right);
        }
        Expr::InList { expr, negated: false, .. }
        | Expr::InSubquery { expr, negated: false, .. }
        | Expr::IsNull(expr) => equal(expr),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq,
            right,
        } => {
            for expr in [left, right] {
                if let Some((table, column)) = scope.column(expr) {
                    compared.entry(table).or_default().range.push(column);
                }
            }
        }
        Expr::Between { expr, negated: false, .. } | Expr::Like { expr, negated: false, .. } => {
            if let Some((table, column)) = scope.column(expr) {
                compared.entry(table).or_default().range.push(column);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &[&str]) {
        let shown: Vec<String> = of(sql)
            .into_iter()
            .map(|index| format!("{}({})", index.table, index.columns.join(", ")))
            .collect();
        assert_eq!(shown, expected, "{sql}");
    }

    #[test]
    fn equality_comes_first_then_a_range_or_the_order() {
        check("SELECT * FROM t WHERE a = 1 AND b > 2", &["t(a, b)", "t(a)"]);
        check("SELECT * FROM t WHERE a = 1 ORDER BY c DESC LIMIT 3", &["t(a)", "t(a, c)"]);
        check("SELECT * FROM t WHERE b BETWEEN 1 AND 2 AND a IN (1, 2)", &["t(a, b)", "t(a)"]);
        check("SELECT * FROM t ORDER BY a, b DESC", &[]);
        check("SELECT * FROM t WHERE a + 1 = 2 OR b = 3", &[]);
    }

    #[test]
    fn columns_belong_to_the_tables_of_their_block() {
        check(
            "SELECT * FROM t x JOIN u ON x.a = u.b WHERE x.c = 5 AND u.d > 1",
            &["t(c, a)", "u(b, d)", "u(b)"],
        );
        check("SELECT * FROM t WHERE a IN (SELECT b FROM u WHERE u.c = 1)", &["t(a)", "u(c)"]);
    }
}
