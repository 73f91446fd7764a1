//! Conditions as plans print them, sorted by how an index could serve them.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::{
    ast::{BinaryOperator, DataType, Expr, UnaryOperator, Value},
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use veritas_index_advisor::{ExpressionCondition, Layout, Scan, TableFacts};

use super::{
    kept,
    text::{LONGEST, columns, parseable},
};

/// How deep expressions nest that are taken apart.
const DEEPEST: usize = 50;

/// Conditions on the columns of one scan.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Columns compared by `=` with what is known before the scan, and how many values.
    equalities: BTreeMap<String, f64>,
    ranges: BTreeSet<String>,
    joins: BTreeSet<String>,
    expressions: Vec<(String, bool)>,
}

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Compared {
    /// With this many values.
    Equal(f64),
    Range,
}

impl Conditions {
    /// Takes a condition that is tested on the scan itself.
    pub(super) fn read(&mut self, sql: &str, alias: &str, facts: &TableFacts) {
        if let Some(expr) = parsed(sql) {
            self.conjunct(&expr, alias, facts, DEEPEST);
        }
    }

    /// Takes the columns of the scan that a join compares by `=` with another table's.
    pub(super) fn read_join(&mut self, sql: &str, alias: &str, facts: &TableFacts) {
        if !columns(sql).iter().any(|(of, _)| of == alias) {
            return;
        }
        let Some(expr) = parsed(sql) else { return };
        let mut open = vec![&expr];
        while let Some(expr) = open.pop() {
            match expr {
                Expr::Nested(inner) => open.push(inner),
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([&**right, &**left]),
                Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                    for (side, other) in [(left, right), (right, left)] {
                        if let Some(column) = column_of(side, alias, facts)
                            && !mentions(other, alias)
                        {
                            let _new = self.joins.insert(column);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn conjunct(&mut self, expr: &Expr, alias: &str, facts: &TableFacts, depth: usize) {
        if depth == 0 {
            return;
        }
        match expr {
            Expr::Nested(inner) => self.conjunct(inner, alias, facts, depth - 1),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.conjunct(left, alias, facts, depth - 1);
                self.conjunct(right, alias, facts, depth - 1);
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                // An index serves a column that every arm compares.
                for (column, how) in arms(expr, alias, facts, depth) {
                    self.take(column, how);
                }
            }
            _ => {
                if let Some((column, how, is_join)) = compared(expr, alias, facts) {
                    if is_join && matches!(how, Compared::Equal(_)) {
                        let _new = self.joins.insert(column);
                    } else {
                        self.take(column, how);
                    }
                } else if let Some(expression) = expression(expr, alias) {
                    self.expressions.push(expression);
                }
            }
        }
    }

    fn take(&mut self, column: String, how: Compared) {
        match how {
            Compared::Equal(values) => {
                let known = self.equalities.entry(column).or_insert(values);
                *known = known.min(values);
            }
            Compared::Range => {
                let _new = self.ranges.insert(column);
            }
        }
    }

    /// Puts them into `scan`, with selectivities that multiply to what the planner
    /// expects of the scan, as far as distinct values tell.
    pub(super) fn into_scan(self, scan: &mut Scan, facts: &TableFacts) {
        let of_one = |column: &str| {
            let distinct = facts.column(column).map_or(200.0, |known| known.distinct.count);
            1.0 / distinct.max(1.0)
        };
        let all = (scan.rows_out / scan.rows_in.max(1.0)).clamp(1e-9, 1.0);
        let mut left = all;
        for (column, values) in &self.equalities {
            let selectivity = (of_one(column) * values).min(1.0);
            left /= selectivity;
            scan.equalities.push(kept(column, selectivity));
        }
        let ranges: Vec<&String> =
            self.ranges.iter().filter(|column| !self.equalities.contains_key(*column)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a table has few columns")]
        let each = left.clamp(1e-6, 1.0).powf(1.0 / ranges.len().max(1) as f64);
        scan.ranges.extend(ranges.into_iter().map(|column| kept(column, each)));
        scan.joins.extend(
            self.joins
                .iter()
                .filter(|column| !self.equalities.contains_key(*column))
                .map(|column| kept(column, of_one(column))),
        );
        scan.expressions.extend(self.expressions.into_iter().map(|(sql, equality)| ExpressionCondition {
            sql,
            equality,
            selectivity: all,
        }));
    }
}

fn parsed(sql: &str) -> Option<Expr> {
    if sql.len() > LONGEST {
        return None;
    }
    let text = parseable(sql);
    Parser::new(&PostgreSqlDialect {}).with_recursion_limit(100).try_with_sql(&text).ok()?.parse_expr().ok()
}

/// Returns the columns that each arm of an OR compares, joined: values add up.
fn arms(expr: &Expr, alias: &str, facts: &TableFacts, depth: usize) -> Vec<(String, Compared)> {
    if depth == 0 {
        return Vec::new();
    }
    match expr {
        Expr::Nested(inner) => arms(inner, alias, facts, depth - 1),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            let (left, right) = (arms(left, alias, facts, depth - 1), arms(right, alias, facts, depth - 1));
            let both = left.into_iter().filter_map(|(column, how)| {
                let (_, other) = right.iter().find(|(known, _)| *known == column)?;
                let joined = match (how, other) {
                    (Compared::Equal(some), Compared::Equal(more)) => Compared::Equal(some + more),
                    _ => Compared::Range,
                };
                Some((column, joined))
            });
            both.collect()
        }
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut found = arms(left, alias, facts, depth - 1);
            found.extend(arms(right, alias, facts, depth - 1));
            found
        }
        _ => compared(expr, alias, facts).map(|(column, how, _)| (column, how)).into_iter().collect(),
    }
}

/// Reads one comparison of a bare column with what does not depend on the table; tells
/// whether that is a column of another table.
fn compared(expr: &Expr, alias: &str, facts: &TableFacts) -> Option<(String, Compared, bool)> {
    let alone = |column: String, how| Some((column, how, false));
    match expr {
        Expr::Nested(inner) => compared(inner, alias, facts),
        Expr::IsNull(inner) => alone(column_of(inner, alias, facts)?, Compared::Equal(1.0)),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            alone(column_of(expr, alias, facts)?, Compared::Equal(1.0))
        }
        Expr::BinaryOp { left, op, right } => {
            let (column, other, is_left) =
                match (column_of(left, alias, facts), column_of(right, alias, facts)) {
                    (Some(column), None) => (column, right, true),
                    (None, Some(column)) => (column, left, false),
                    _ => return None,
                };
            if mentions(other, alias) {
                return None;
            }
            let how = match op {
                BinaryOperator::Eq => Compared::Equal(1.0),
                BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
                    Compared::Range
                }
                BinaryOperator::PGLikeMatch if is_left && has_prefix(other) => Compared::Range,
                _ => return None,
            };
            Some((column, how, !columns(&other.to_string()).is_empty()))
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            let column = column_of(left, alias, facts)?;
            (!mentions(right, alias)).then(|| (column, Compared::Equal(values_of(right)), false))
        }
        other => alone(column_of(other, alias, facts)?, Compared::Equal(1.0)),
    }
}

/// Returns the column when `expr` is one of `alias`, in brackets or with a cast that
/// changes nothing (`varchar` compared as `text`).
fn column_of(expr: &Expr, alias: &str, facts: &TableFacts) -> Option<String> {
    match expr {
        Expr::Nested(inner) => column_of(inner, alias, facts),
        Expr::Cast { expr, data_type: DataType::Text, .. } => {
            let column = column_of(expr, alias, facts)?;
            let known = facts.column(&column)?;
            matches!(known.layout, Layout::Variable { .. }).then_some(column)
        }
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [of, column] if of.value == alias => {
                facts.column(&column.value).filter(|known| known.has_btree).map(|known| known.name.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

fn mentions(expr: &Expr, alias: &str) -> bool {
    columns(&expr.to_string()).iter().any(|(of, _)| of == alias)
}

/// Returns whether a pattern begins with letters that an order of text can find.
fn has_prefix(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => has_prefix(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => !text.starts_with(['%', '_']) && !text.is_empty(),
            Value::Placeholder(_) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Returns how many values an array has that a column is compared with; 10 when not known.
fn values_of(expr: &Expr) -> f64 {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => values_of(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => {
                let commas = text.bytes().filter(|byte| *byte == b',').count();
                #[expect(clippy::cast_precision_loss, reason = "bounded by the length of a text")]
                let values = (commas + 1) as f64;
                values
            }
            _ => 10.0,
        },
        _ => 10.0,
    }
}

/// Returns `lower(x)` of `lower(x) = …`, when it holds no literal and one table's columns.
fn expression(expr: &Expr, alias: &str) -> Option<(String, bool)> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let equality = match op {
        BinaryOperator::Eq => true,
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => false,
        _ => return None,
    };
    if mentions(right, alias) || !columns(&right.to_string()).is_empty() {
        return None;
    }
    let is_call = matches!(unnested(left), Expr::Function(_));
    let of = columns(&left.to_string());
    let text = unnested(left).to_string();
    let has_literal = text.contains(['\'', '$']) || text.contains(|letter: char| letter.is_ascii_digit());
    if !is_call || has_literal || of.is_empty() || of.iter().any(|(of, _)| of != alias) {
        return None;
    }
    // An index names no alias.
    let quoted = format!("\"{alias}\".");
    Some((text.replace(&quoted, "").replace(&format!("{alias}."), ""), equality))
}

fn unnested(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use veritas_index_advisor::{ColumnFacts, Distinct, TableId};

    use super::*;

    fn facts() -> TableFacts {
        let mut facts = TableFacts::new(TableId::new("public", "t"), 1e6, 1e4);
        for name in ["a", "b", "c"] {
            facts.columns.push(ColumnFacts::fixed(name, 8, 8, Distinct::exact(1_000.0)));
        }
        let mut name = ColumnFacts::fixed("name", 8, 8, Distinct::exact(1e5));
        name.layout = Layout::Variable { align: 4 };
        facts.columns.push(name);
        facts
    }

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut conditions = Conditions::default();
        conditions.read(sql, "t", &facts());
        let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(" ");
        let mut shown = list(conditions.equalities.keys().collect());
        shown.push_str(" | ");
        shown.push_str(&list(conditions.ranges.iter().collect()));
        shown.push_str(" | ");
        shown.push_str(&list(conditions.joins.iter().collect()));
        for (sql, equality) in &conditions.expressions {
            shown.push_str(" | ");
            shown.push_str(sql);
            shown.push_str(if *equality { " =" } else { "" });
        }
        assert_eq!(shown, expected, "{sql}");
    }

    #[test]
    fn conditions_are_sorted_by_what_an_index_can_do() {
        check("((t.a = 5) AND (t.b >= '1994-01-01'::date) AND (t.b < '1995-01-01'::date))", "a | b | ");
        check("(t.a = ANY ('{1,2,3}'::integer[]))", "a |  | ");
        check("(t.a = o.id)", " |  | a");
        check("($0 = t.a)", "a |  | ");
        check("(t.a = (t.b + 1))", " |  | ");
        check("((t.name)::text = 'x'::text)", "name |  | ");
        check("((t.a)::text = '7'::text)", " |  | ");
        check("((t.name)::text ~~ 'abc%'::text)", " | name | ");
        check("((t.name)::text ~~ '%abc'::text)", " |  | ");
        check("(t.a <> 5)", " |  | ");
        check("(t.a IS NULL)", "a |  | ");
        check("(NOT (hashed SubPlan 1))", " |  | ");
        check("(lower((t.name)::text) = 'x'::text)", " |  |  | lower((name)::TEXT) =");
        check("garbage ((", " |  | ");
    }

    #[test]
    fn an_or_counts_where_every_arm_compares_the_column() {
        check("((t.a = 1) OR (t.a = 2))", "a |  | ");
        check("((t.a = 1) OR (t.b = 2))", " |  | ");
        check("(((t.a = 1) AND (t.b < 3)) OR ((t.a = 2) AND (t.b > 7)))", "a | b | ");
    }
}
