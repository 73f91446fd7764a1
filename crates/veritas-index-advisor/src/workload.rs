//! What the database is asked: statements with their weight, and how each of
//! them reads its tables.

use std::time::Duration;

use crate::{index::Key, table::TableId};

/// The statements that advice is for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Workload {
    /// The statements; a [`WhatIf`](crate::WhatIf) knows them by their position.
    pub statements: Vec<Statement>,
    /// How the statements read their tables: candidates come from these, and they
    /// tell which index can concern which statement. A statement without scans
    /// may be concerned by any index on its tables.
    pub scans: Vec<Scan>,
    /// What weights mean, and so the unit of every total.
    pub unit: CostUnit,
    /// The time over which weights were gathered; writes per second are
    /// multiplied by it.
    pub window: Duration,
}

/// What the weight of a statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CostUnit {
    /// Weights are calls; totals are calls times planner cost.
    #[default]
    Planner,
    /// Weights are seconds that the statement took in all (calls times mean);
    /// totals are seconds, the estimate scaled by new planner cost over today's.
    Seconds,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// A short name, for reports: never its text.
    pub name: String,
    /// Calls or seconds, as [`Workload::unit`] says.
    pub weight: f64,
    /// The tables that it reads; indexes on others cannot concern it.
    pub tables: Vec<TableId>,
}

impl Statement {
    /// Returns a statement of `weight` (calls or seconds) that reads `tables`.
    pub fn new(name: impl Into<String>, weight: f64, tables: Vec<TableId>) -> Self {
        Self { name: name.into(), weight, tables }
    }
}

/// How one plan node reads one table, in the terms that an index can serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The statement, by its position in the workload.
    pub statement: usize,
    /// The table.
    pub table: TableId,
    /// What the scan costs the workload: planner cost of the node times loops
    /// times the weight of the statement. Only ratios matter.
    pub weight: f64,
    /// Conditions `column = value`.
    pub equalities: Vec<Condition>,
    /// Conditions by `<`, `<=`, `>`, `>=`, `BETWEEN`, and a `LIKE` prefix on a
    /// column whose collation is `C`.
    pub ranges: Vec<Condition>,
    /// Conditions by a `LIKE` prefix under any other collation: only an index with
    /// an operator class for patterns serves them.
    pub prefixes: Vec<PrefixCondition>,
    /// Columns that other tables are joined on by `=`: an index on them turns a
    /// join into look-ups. The selectivity is that of one look-up.
    pub joins: Vec<Condition>,
    /// The order that something above wants.
    pub order: Vec<Key>,
    /// Whether a `LIMIT` above stops early when rows come in that order.
    pub limited: bool,
    /// Columns that something above groups by or makes distinct.
    pub group: Vec<String>,
    /// Every column that the statement needs of this table; `None` when that is
    /// not known or all of them.
    pub needed: Option<Vec<String>>,
    /// Conditions on expressions (`lower(x) = …`), which only an expression index serves.
    pub expressions: Vec<ExpressionCondition>,
    /// Conditions with a constant in nearly every execution, which a partial
    /// index may carry as its predicate.
    pub fixed: Vec<FixedCondition>,
    /// Rows that the scan looks at, per loop.
    pub rows_in: f64,
    /// Rows that it keeps, per loop.
    pub rows_out: f64,
}

/// A condition on one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The column, without quotes.
    pub column: String,
    /// The share of rows that it keeps, 0 to 1.
    pub selectivity: f64,
}

/// A condition `column LIKE 'abc%'`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixCondition {
    /// The column, without quotes.
    pub column: String,
    /// The operator class that serves it: `text_pattern_ops`, `varchar_pattern_ops`
    /// or `bpchar_pattern_ops`.
    pub opclass: String,
    /// The share of rows that it keeps, 0 to 1.
    pub selectivity: f64,
}

/// A condition on an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpressionCondition {
    /// The expression as SQL, without literals of the application.
    pub sql: String,
    /// Whether it is compared by `=` (else by a range).
    pub equality: bool,
    /// The share of rows that it keeps, 0 to 1.
    pub selectivity: f64,
}

/// A condition that holds in nearly every execution.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedCondition {
    /// The columns that it speaks of.
    pub columns: Vec<String>,
    /// The predicate as SQL.
    pub sql: String,
    /// The share of weighted executions that have it, 0 to 1.
    pub share_of_executions: f64,
    /// The share of rows that it keeps, 0 to 1.
    pub selectivity: f64,
}

impl Scan {
    /// Returns a scan without conditions; fill in what the plan says.
    pub fn of(statement: usize, table: TableId, weight: f64) -> Self {
        Self {
            statement,
            table,
            weight,
            equalities: Vec::new(),
            ranges: Vec::new(),
            prefixes: Vec::new(),
            joins: Vec::new(),
            order: Vec::new(),
            limited: false,
            group: Vec::new(),
            needed: None,
            expressions: Vec::new(),
            fixed: Vec::new(),
            rows_in: 0.0,
            rows_out: 0.0,
        }
    }
}
