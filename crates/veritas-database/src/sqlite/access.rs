//! Accesses: which columns of which table a statement compares and sorts by.
//!
//! Only what an ordinary index can serve counts: plain columns in the conjuncts
//! of WHERE and of join conditions, and plain columns in ORDER BY or GROUP BY.
//! Expressions, OR, LIKE and comparisons with an explicit COLLATE are left out.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, Expr, FromTable, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName,
    OrderByExpr, OrderByKind, OrderBySort, Query, Select, SetExpr, TableFactor, TableWithJoins, Visit,
    Visitor, visit_expressions,
};
use sqlparser::tokenizer::Location;

use super::schema::{Schema, Table};

/// How one block of a statement reads one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The table, as the schema spells it.
    pub(crate) table: String,
    /// The name that the query plan shows for it: the alias, else the table.
    pub(crate) shown: String,
    /// Columns compared for equality, in order of appearance.
    pub(crate) equal: Vec<String>,
    /// Columns compared with a bound, in order of appearance.
    pub(crate) range: Vec<String>,
    /// Columns that the block sorts or groups by, if all are of this table;
    /// `true`: descending.
    pub(crate) sort: Vec<(String, bool)>,
    /// Whether the block stops after some rows.
    pub(crate) limited: bool,
    /// Parameters that are compared with one of its columns: where they stand
    /// in the text, and the column.
    pub(crate) bound: Vec<(Location, String)>,
}

/// Returns the accesses of a statement, block by block.
pub(crate) fn accesses(statement: &ast::Statement, schema: &Schema) -> Vec<Access> {
    let mut blocks = Blocks { schema, found: Vec::new() };
    match statement {
        ast::Statement::Update(update) => {
            let conditions: Vec<&Expr> = update.selection.iter().collect();
            blocks.read(std::slice::from_ref(&update.table), &conditions, &[], false);
        }
        ast::Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let conditions: Vec<&Expr> = delete.selection.iter().collect();
            blocks.read(from, &conditions, &[], false);
        }
        _ => {}
    }
    let walked: ControlFlow<()> = statement.visit(&mut blocks);
    debug_assert!(walked.is_continue(), "the walk never breaks");
    blocks.found
}

struct Blocks<'s> {
    schema: &'s Schema,
    found: Vec<Access>,
}

/// One table of a FROM clause.
struct Instance<'s> {
    table: &'s Table,
    shown: String,
    access: Access,
}

impl Visitor for Blocks<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        match query.body.as_ref() {
            SetExpr::Select(select) => {
                let order = match query.order_by.as_ref().map(|order| &order.kind) {
                    Some(OrderByKind::Expressions(order)) => order.as_slice(),
                    _ => &[],
                };
                self.select(select, order, query.limit_clause.is_some());
            }
            body => self.set_operation(body),
        }
        ControlFlow::Continue(())
    }
}

impl<'s> Blocks<'s> {
    fn set_operation(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select, &[], false),
            SetExpr::SetOperation { left, right, .. } => {
                self.set_operation(left);
                self.set_operation(right);
            }
            _ => {} // a nested query is visited by itself
        }
    }

    fn select(&mut self, select: &Select, order: &[OrderByExpr], limited: bool) {
        let mut sort: Vec<(&Expr, bool)> = Vec::new();
        for term in order {
            if term.options.nulls_first.is_some() || term.with_fill.is_some() {
                sort.clear();
                break;
            }
            sort.push((&term.expr, matches!(term.options.sort, Some(OrderBySort::Desc))));
        }
        if let (true, GroupByExpr::Expressions(terms, modifiers)) = (order.is_empty(), &select.group_by)
            && modifiers.is_empty()
        {
            sort.extend(terms.iter().map(|term| (term, false)));
        }
        let conditions: Vec<&Expr> = select.selection.iter().collect();
        self.read(&select.from, &conditions, &sort, limited);
    }

    fn read(&mut self, from: &[TableWithJoins], conditions: &[&Expr], sort: &[(&Expr, bool)], limited: bool) {
        let mut instances = Vec::new();
        let mut conjuncts = Vec::new();
        let mut shared: Vec<&ObjectName> = Vec::new();
        for tables in from {
            instances.extend(self.instance(&tables.relation));
            for join in &tables.joins {
                instances.extend(self.instance(&join.relation));
                match constraint(&join.join_operator) {
                    Some(JoinConstraint::On(condition)) => split(condition, &mut conjuncts),
                    Some(JoinConstraint::Using(columns)) => shared.extend(columns),
                    _ => {}
                }
            }
        }
        for condition in conditions {
            split(condition, &mut conjuncts);
        }
        for conjunct in conjuncts {
            note(conjunct, &mut instances);
            note_parameters(conjunct, &mut instances);
        }
        for column in shared.into_iter().filter_map(last_identifier) {
            for instance in &mut instances {
                if let Some(column) = instance.table.column(&column.value) {
                    push(&mut instance.access.equal, column);
                }
            }
        }
        let resolved: Option<Vec<(usize, &str, bool)>> = sort
            .iter()
            .map(|&(expr, descending)| {
                resolve(expr, &instances).map(|(index, column)| (index, column, descending))
            })
            .collect();
        let sort = resolved.unwrap_or_default();
        if let Some(&(first, ..)) = sort.first()
            && sort.iter().all(|&(index, ..)| index == first)
        {
            let columns =
                sort.into_iter().map(|(_, column, descending)| (column.to_owned(), descending)).collect();
            instances[first].access.sort = columns;
        }
        self.found.extend(instances.into_iter().map(|instance| Access { limited, ..instance.access }));
    }

    fn instance(&self, factor: &TableFactor) -> Option<Instance<'s>> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        let schema_is_main = match name.0.as_slice() {
            [_] => true,
            [schema, _] => schema.as_ident().is_some_and(|schema| schema.value.eq_ignore_ascii_case("main")),
            _ => false,
        };
        if !schema_is_main {
            return None;
        }
        let table = self.schema.table(&last_identifier(name)?.value)?;
        let shown = alias.as_ref().map_or_else(|| table.name.clone(), |alias| alias.name.value.clone());
        let access = Access {
            table: table.name.clone(),
            shown: shown.clone(),
            equal: Vec::new(),
            range: Vec::new(),
            sort: Vec::new(),
            limited: false,
            bound: Vec::new(),
        };
        Some(Instance { table, shown, access })
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

fn last_identifier(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

/// Splits a condition at its ANDs.
fn split<'e>(condition: &'e Expr, conjuncts: &mut Vec<&'e Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, conjuncts);
            split(right, conjuncts);
        }
        Expr::Nested(inner) => split(inner, conjuncts),
        other => conjuncts.push(other),
    }
}

fn note(conjunct: &Expr, instances: &mut [Instance<'_>]) {
    match conjunct {
        Expr::BinaryOp { left, op, right } => {
            let is_equality = *op == BinaryOperator::Eq;
            let is_range = matches!(
                op,
                BinaryOperator::Gt | BinaryOperator::GtEq | BinaryOperator::Lt | BinaryOperator::LtEq
            );
            if is_equality || is_range {
                compare(left, right, is_equality, instances);
                compare(right, left, is_equality, instances);
            }
        }
        Expr::InList { expr, negated: false, list } => {
            if let Some(first) = list.first() {
                compare(expr, first, true, instances);
            }
        }
        Expr::InSubquery { expr, negated: false, .. } | Expr::IsNull(expr) => {
            compare(expr, expr, true, instances);
        }
        Expr::Between { expr, negated: false, low, .. } => compare(expr, low, false, instances),
        _ => {}
    }
}

/// Notes that `side` is compared with `other`, if `side` is a plain column and
/// `other` does not hang on the same row.
fn compare(side: &Expr, other: &Expr, is_equality: bool, instances: &mut [Instance<'_>]) {
    if matches!(other, Expr::Collate { .. }) {
        return;
    }
    let Some((index, column)) = resolve(side, instances) else { return };
    let itself = std::ptr::eq(side, other);
    let same_row = !itself
        && visit_expressions(other, |part| match resolve(part, instances) {
            Some((owner, _)) if owner == index => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break();
    if same_row {
        return;
    }
    let column = column.to_owned();
    let access = &mut instances[index].access;
    push(if is_equality { &mut access.equal } else { &mut access.range }, &column);
}

/// Notes the parameters that any part of a condition compares with a column.
fn note_parameters(condition: &Expr, instances: &mut [Instance<'_>]) {
    let walked: ControlFlow<()> = visit_expressions(condition, |part| {
        match part {
            Expr::BinaryOp { left, right, .. } => {
                bind(left, right, instances);
                bind(right, left, instances);
            }
            Expr::InList { expr, list, .. } => list.iter().for_each(|item| bind(expr, item, instances)),
            Expr::Between { expr, low, high, .. } => {
                bind(expr, low, instances);
                bind(expr, high, instances);
            }
            Expr::Like { expr, pattern, .. } => bind(expr, pattern, instances),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the walk never breaks");
}

fn bind(side: &Expr, parameter: &Expr, instances: &mut [Instance<'_>]) {
    if let (Some(at), Some((index, column))) = (placeholder(parameter), resolve(side, instances)) {
        let column = column.to_owned();
        instances[index].access.bound.push((at, column));
    }
}

/// Returns where a parameter stands; `None` when the expression is none.
pub(crate) fn placeholder(expr: &Expr) -> Option<Location> {
    match expr {
        Expr::Nested(inner) => placeholder(inner),
        Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => Some(value.span.start),
        _ => None,
    }
}

/// Finds the table and the column that an expression names; `None` when it is
/// not a plain column, or not one of exactly one table of this block.
fn resolve<'s>(expr: &Expr, instances: &[Instance<'s>]) -> Option<(usize, &'s str)> {
    match expr {
        Expr::Nested(inner) => resolve(inner, instances),
        Expr::Identifier(column) => {
            let mut owners = instances
                .iter()
                .enumerate()
                .filter_map(|(index, instance)| Some((index, instance.table.column(&column.value)?)));
            let owner = owners.next()?;
            owners.next().is_none().then_some(owner)
        }
        Expr::CompoundIdentifier(path) => {
            let (column, path) = path.split_last()?;
            let qualifier = path.last()?;
            let mut owners = instances
                .iter()
                .enumerate()
                .filter(|(_, instance)| instance.shown.eq_ignore_ascii_case(&qualifier.value));
            let (index, instance) = owners.next()?;
            let column = instance.table.column(&column.value)?;
            owners.next().is_none().then_some((index, column))
        }
        _ => None,
    }
}

fn push(columns: &mut Vec<String>, column: &str) {
    if !columns.iter().any(|known| known == column) {
        columns.push(column.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::statement;

    #[track_caller]
    fn check(sql: &str, expected: &[&str]) {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT, age INT, team INT);
                 CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INT, state TEXT, made INT)",
            )
            .unwrap();
        let schema = Schema::read(&connection).unwrap();
        let tree = statement::parse(sql).unwrap().tree;
        let shown: Vec<String> = accesses(&tree, &schema)
            .into_iter()
            .map(|access| {
                let sort: Vec<String> = access
                    .sort
                    .iter()
                    .map(|(column, descending)| format!("{column}{}", if *descending { "-" } else { "+" }))
                    .collect();
                format!(
                    "{}: = {} < {} by {}{}",
                    access.shown,
                    access.equal.join(" "),
                    access.range.join(" "),
                    sort.join(" "),
                    if access.limited { " limited" } else { "" }
                )
            })
            .collect();
        assert_eq!(shown, expected, "{sql}");
    }

    #[test]
    fn conjuncts_of_where_count() {
        check("SELECT * FROM users WHERE email = ?", &["users: = email <  by "]);
        check("SELECT * FROM Users WHERE (? = EMAIL AND age >= 3)", &["users: = email < age by "]);
        check(
            "SELECT * FROM users WHERE age BETWEEN 1 AND 2 AND team IN (1, 2)",
            &["users: = team < age by "],
        );
        check("SELECT * FROM users WHERE team IS NULL AND id IN (SELECT 1)", &["users: = team id <  by "]);
        check("UPDATE users SET age = 1 WHERE email = ?", &["users: = email <  by "]);
        check("DELETE FROM users WHERE age < ?", &["users: =  < age by "]);
    }

    #[test]
    fn what_no_index_serves_does_not_count() {
        let nothing = &["users: =  <  by "];
        check("SELECT * FROM users WHERE email = ? OR age = 1", nothing);
        check("SELECT * FROM users WHERE lower(email) = ? AND age + 1 = 2 AND email LIKE 'x%'", nothing);
        check("SELECT * FROM users WHERE email = ? COLLATE NOCASE AND age = team", nothing);
        check("SELECT * FROM users WHERE email <> ? AND age NOT IN (1) AND NOT team = 1", nothing);
        check("SELECT * FROM unknown WHERE email = ?", &[]);
        check("SELECT * FROM other.users WHERE email = ?", &[]);
    }

    #[test]
    fn joins_count_on_both_sides() {
        check(
            "SELECT * FROM users u JOIN orders AS o ON o.user_id = u.id AND o.made > u.age WHERE u.email = ?",
            &["u: = id email < age by ", "o: = user_id < made by "],
        );
        check("SELECT * FROM users JOIN orders USING (id)", &["users: = id <  by ", "orders: = id <  by "]);
    }

    #[test]
    fn an_order_counts_where_one_table_gives_it() {
        check(
            "SELECT * FROM orders WHERE user_id = ? ORDER BY made DESC, id LIMIT 5",
            &["orders: = user_id <  by made- id+ limited"],
        );
        check("SELECT state, count(*) FROM orders GROUP BY state", &["orders: =  <  by state+"]);
        check("SELECT * FROM users u, orders o ORDER BY u.age, o.made", &["u: =  <  by ", "o: =  <  by "]);
        check("SELECT * FROM orders ORDER BY made + 1", &["orders: =  <  by "]);
        check("SELECT * FROM orders ORDER BY made NULLS LAST", &["orders: =  <  by "]);
    }

    #[test]
    fn inner_queries_count_by_themselves() {
        check(
            "WITH x AS (SELECT * FROM users WHERE age = 1) \
             SELECT * FROM x WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = x.id) \
             UNION SELECT * FROM users WHERE team = 2",
            &["users: = team <  by ", "users: = age <  by ", "orders: = user_id <  by "],
        );
    }
}
