//! Values for the parameters of a statement: those of real calls, else sampled from the columns that they are compared with.

use std::{collections::BTreeMap, ops::ControlFlow};

use sqlparser::{
    ast::{
        self, AssignmentTarget, Expr, LimitClause, ObjectName, Query, SetExpr, TableFactor, TableObject,
        Visit, Visitor,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use veritas_database::Value;

use crate::{
    plan::Relation,
    session::{Session, SessionError, ident, qualified},
};

/// Vectors of real calls that are used.
const MOST: usize = 16;
/// Fewer different vectors of real calls are topped up from the columns: a proof counts
/// vectors, not repetitions, and this many can reach a p-value below 1 %.
const FEWEST: usize = 8;

/// Columns of the tables on a copy.
const COLUMNS: &str = "
SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT LIKE 'pg\\_%'
    AND n.nspname <> 'information_schema' ORDER BY 1, 2, a.attnum LIMIT 20000";

/// Where vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From real calls.
    Calls,
    /// Some from real calls (so many), the others sampled from the columns.
    Both(usize),
    /// Sampled from the columns.
    Columns,
    /// The statement has no parameters.
    None,
}

/// Values to run a statement with.
#[derive(Clone, PartialEq, Eq)]
pub struct Vectors {
    /// One value for each parameter, as text; `None` is NULL. Never stored, never shown.
    pub values: Vec<Vec<Option<String>>>,
    /// Where they come from.
    pub source: Source,
}

impl std::fmt::Debug for Vectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vectors").field("count", &self.values.len()).field("source", &self.source).finish()
    }
}

impl Vectors {
    /// Says where they come from, for people.
    pub fn words(&self) -> String {
        let count = self.values.len();
        match self.source {
            Source::Calls => format!("parameter vectors of real calls: {count}"),
            Source::Both(real) => format!(
                "parameter vectors of real calls: {real}, sampled from the columns: {}",
                count.saturating_sub(real)
            ),
            Source::Columns => {
                format!("parameter vectors sampled from the columns, not of real calls: {count}")
            }
            Source::None => "without parameters".to_owned(),
        }
    }
}

/// Returns vectors of real calls, at most 16, each once.
pub fn of_calls(kept: &[Vec<Value>], parameters: usize) -> Vec<Vec<Option<String>>> {
    let mut vectors: Vec<Vec<Option<String>>> = Vec::new();
    for vector in kept.iter().filter(|vector| vector.len() == parameters) {
        let vector: Vec<Option<String>> = vector.iter().map(text).collect();
        if vectors.len() < MOST && !vectors.contains(&vector) {
            vectors.push(vector);
        }
    }
    vectors
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(value) => Some(value.to_string()),
        Value::Real(value) => Some(value.to_string()),
        Value::Text(value) => Some(value.clone()),
        Value::Blob(bytes) => {
            let mut hex = "\\x".to_owned();
            hex.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
            Some(hex)
        }
    }
}

/// Returns vectors to run a statement with: those of real calls, topped up from the
/// columns of the copy that `session` is connected to. `usual_rows` stands for a LIMIT
/// whose value is not known. Costs a query for each table.
///
/// # Errors
///
/// When the copy cannot be read. No vectors at all are an empty list.
pub fn sampled(
    session: &mut Session,
    sql: &str,
    parameters: usize,
    real: Vec<Vec<Option<String>>>,
    usual_rows: u64,
) -> Result<Vectors, SessionError> {
    if parameters == 0 {
        return Ok(Vectors { values: vec![Vec::new()], source: Source::None });
    }
    let count = real.len();
    if count >= FEWEST {
        return Ok(Vectors { values: real, source: Source::Calls });
    }
    let mut values = real;
    let columns = Columns::read(session)?;
    if let Some(roles) = roles(sql, parameters, &columns) {
        for vector in draw(session, &roles, usual_rows)? {
            if values.len() < MOST && !values.contains(&vector) {
                values.push(vector);
            }
        }
    }
    let source = match count {
        0 => Source::Columns,
        real if real == values.len() => Source::Calls,
        real => Source::Both(real),
    };
    Ok(Vectors { values, source })
}

/// What a parameter means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// It is compared with, or stored in, this column.
    Column(Relation, String),
    /// It is a list of such values.
    List(Relation, String),
    /// It says how many rows are wanted.
    Limit,
    /// It says how many rows are left out.
    Offset,
}

/// The columns of the copy's tables.
struct Columns(Vec<(Relation, String)>);

impl Columns {
    fn read(session: &mut Session) -> Result<Self, SessionError> {
        let rows = session.query(COLUMNS, &[])?;
        let column = |row: &tokio_postgres::Row| {
            (Relation { schema: row.get(0), name: row.get(1) }, row.get::<_, String>(2))
        };
        Ok(Self(rows.iter().map(column).collect()))
    }

    /// Finds a column by its name in one of the tables; the only one that has it.
    fn find(&self, tables: &[&Relation], column: &str) -> Option<(Relation, String)> {
        let mut found = self.0.iter().filter(|(table, name)| tables.contains(&table) && name == column);
        found.next().filter(|_| found.next().is_none()).cloned()
    }

    fn table(&self, name: &ObjectName) -> Option<&Relation> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        let (name, schema) = parts.split_last()?;
        let of_name = |relation: &&Relation| {
            relation.name == *name && schema.last().is_none_or(|schema| relation.schema == *schema)
        };
        self.0.iter().map(|(table, _)| table).find(of_name)
    }
}

/// Reads a name as the server does: without quotes it is lower case.
fn folded(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Returns what each parameter means; `None` when one of them cannot be told.
fn roles(sql: &str, parameters: usize, columns: &Columns) -> Option<Vec<Role>> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(100).try_with_sql(sql).ok()?;
    let statement = parser.parse_statement().ok()?;
    let mut finder = Finder { columns, tables: BTreeMap::new(), roles: BTreeMap::new() };
    let walked = statement.visit(&mut Names(&mut finder));
    debug_assert!(walked.is_continue(), "the walk never breaks");
    finder.write(&statement);
    let walked = statement.visit(&mut Uses(&mut finder));
    debug_assert!(walked.is_continue(), "the walk never breaks");
    (1..=parameters).map(|number| finder.roles.remove(&number)).collect()
}

struct Finder<'a> {
    columns: &'a Columns,
    /// Tables by what the statement calls them.
    tables: BTreeMap<String, Relation>,
    roles: BTreeMap<usize, Role>,
}

impl Finder<'_> {
    fn name(&mut self, name: &ObjectName, alias: Option<&ast::Ident>) {
        let Some(relation) = self.columns.table(name) else { return };
        let called = alias.map_or_else(|| relation.name.clone(), folded);
        self.tables.insert(called, relation.clone());
    }

    fn column(&self, expr: &Expr) -> Option<(Relation, String)> {
        match expr {
            Expr::Identifier(name) => {
                self.columns.find(&self.tables.values().collect::<Vec<_>>(), &folded(name))
            }
            Expr::CompoundIdentifier(parts) => {
                let [.., table, name] = parts.as_slice() else { return None };
                let table = self.tables.get(&folded(table))?;
                self.columns.find(&[table], &folded(name))
            }
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => self.column(inner),
            Expr::Function(function) => match &function.args {
                // lower(name) = $1: a value of the column will do.
                ast::FunctionArguments::List(list) => match list.args.as_slice() {
                    [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(inner))] => self.column(inner),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    fn compared(&mut self, column: &Expr, value: &Expr) {
        if let (Some(number), Some((table, column))) = (placeholder(value), self.column(column)) {
            self.roles.entry(number).or_insert(Role::Column(table, column));
        }
    }

    fn either(&mut self, one: &Expr, other: &Expr) {
        self.compared(one, other);
        self.compared(other, one);
    }

    /// Finds the columns that an INSERT or UPDATE writes.
    fn write(&mut self, statement: &ast::Statement) {
        match statement {
            ast::Statement::Insert(insert) => self.insert(insert),
            ast::Statement::Update(update) => {
                for assignment in &update.assignments {
                    if let AssignmentTarget::ColumnName(name) = &assignment.target
                        && let Some(name) = name.0.last().and_then(|part| part.as_ident())
                    {
                        self.compared(&Expr::Identifier(name.clone()), &assignment.value);
                    }
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, insert: &ast::Insert) {
        let TableObject::TableName(name) = &insert.table else { return };
        let Some(table) = self.columns.table(name).cloned() else { return };
        let mut targets: Vec<String> =
            insert.columns.iter().filter_map(|name| name.0.last()?.as_ident().map(folded)).collect();
        if targets.is_empty() {
            let all = self.columns.0.iter().filter(|(of, _)| *of == table);
            targets = all.map(|(_, name)| name.clone()).collect();
        }
        let Some(SetExpr::Values(values)) = insert.source.as_deref().map(|query| query.body.as_ref()) else {
            return;
        };
        for row in &values.rows {
            for (target, value) in targets.iter().zip(row.iter()) {
                if let Some(number) = placeholder(value) {
                    self.roles.entry(number).or_insert(Role::Column(table.clone(), target.clone()));
                }
            }
        }
    }
}

/// Notes what tables are called.
struct Names<'a, 'b>(&'a mut Finder<'b>);

impl Visitor for Names<'_, '_> {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.0.name(name, None);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias: Some(alias), .. } = factor {
            self.0.name(name, Some(&alias.name));
        }
        ControlFlow::Continue(())
    }
}

/// Notes what parameters are compared with.
struct Uses<'a, 'b>(&'a mut Finder<'b>);

impl Visitor for Uses<'_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, right, .. } => self.0.either(left, right),
            Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. } => {
                self.0.compared(expr, pattern);
            }
            Expr::Between { expr, low, high, .. } => {
                self.0.compared(expr, low);
                self.0.compared(expr, high);
            }
            Expr::InList { expr, list, .. } => list.iter().for_each(|value| self.0.compared(expr, value)),
            Expr::AnyOp { left, right, .. } => {
                if let (Some(number), Some((table, column))) = (placeholder(right), self.0.column(left)) {
                    self.0.roles.entry(number).or_insert(Role::List(table, column));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            if let Some(number) = limit.as_ref().and_then(placeholder) {
                self.0.roles.insert(number, Role::Limit);
            }
            if let Some(number) = offset.as_ref().and_then(|offset| placeholder(&offset.value)) {
                self.0.roles.insert(number, Role::Offset);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Returns the number of a parameter, which may be cast.
fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(text) => text.strip_prefix('$')?.parse().ok(),
            _ => None,
        },
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => placeholder(inner),
        _ => None,
    }
}

/// Draws vectors: the columns of one table from one row.
fn draw(
    session: &mut Session,
    roles: &[Role],
    usual_rows: u64,
) -> Result<Vec<Vec<Option<String>>>, SessionError> {
    let mut wanted: BTreeMap<&Relation, Vec<&str>> = BTreeMap::new();
    for role in roles {
        if let Role::Column(table, column) | Role::List(table, column) = role {
            wanted.entry(table).or_default().push(column);
        }
    }
    let mut rows: BTreeMap<&Relation, Vec<BTreeMap<&str, Option<String>>>> = BTreeMap::new();
    for (table, columns) in wanted {
        let texts: Vec<String> = columns.iter().map(|column| format!("{}::text", ident(column))).collect();
        // Rows spread over the whole table, the same ones each time.
        let name = qualified(&table.schema, &table.name);
        let sql = format!(
            "SELECT {} FROM {name} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {name} ORDER BY md5(ctid::text) LIMIT {MOST})) \
             ORDER BY md5(ctid::text)",
            texts.join(", ")
        );
        let drawn = session.simple(&sql)?;
        rows.insert(table, drawn.into_iter().map(|row| columns.iter().copied().zip(row).collect()).collect());
    }
    let most = rows.values().map(Vec::len).min().unwrap_or(1);
    let rows = &rows;
    let vector = |at: usize| {
        roles.iter().map(move |role| match role {
            Role::Limit => Some(usual_rows.max(1).to_string()),
            Role::Offset => Some("0".to_owned()),
            Role::Column(table, column) => rows[table][at].get(column.as_str()).cloned().flatten(),
            Role::List(table, column) => {
                let value = rows[table][at].get(column.as_str()).cloned().flatten()?;
                Some(format!("{{\"{}\"}}", value.replace('\\', "\\\\").replace('"', "\\\"")))
            }
        })
    };
    Ok((0..most).map(|at| vector(at).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let of = |table: &str, names: &[&str]| {
            let relation = Relation { schema: "public".to_owned(), name: table.to_owned() };
            names.iter().map(|name| (relation.clone(), (*name).to_owned())).collect::<Vec<_>>()
        };
        Columns([of("orders", &["id", "customer", "at"]), of("customers", &["id", "name"])].concat())
    }

    #[track_caller]
    fn check(sql: &str, expected: &[&str]) {
        let roles = roles(sql, expected.len(), &columns()).unwrap_or_else(|| panic!("not understood: {sql}"));
        let words: Vec<String> = roles
            .iter()
            .map(|role| match role {
                Role::Column(table, column) => format!("{}.{column}", table.name),
                Role::List(table, column) => format!("{}.{column}[]", table.name),
                Role::Limit => "limit".to_owned(),
                Role::Offset => "offset".to_owned(),
            })
            .collect();
        assert_eq!(words, expected, "{sql}");
    }

    #[test]
    fn parameters_mean_the_columns_that_they_are_compared_with() {
        check(
            "SELECT * FROM orders WHERE customer = $1 AND at >= $2 LIMIT $3 OFFSET $4",
            &["orders.customer", "orders.at", "limit", "offset"],
        );
        check(
            "SELECT 1 FROM orders o JOIN customers c ON c.id = o.customer WHERE lower(c.name) = $1 AND $2 < o.id",
            &["customers.name", "orders.id"],
        );
        check(
            "SELECT 1 FROM public.orders WHERE id = ANY($1::int[]) AND at BETWEEN $2 AND $3",
            &["orders.id[]", "orders.at", "orders.at"],
        );
        check("INSERT INTO customers (name, id) VALUES ($1, $2)", &["customers.name", "customers.id"]);
        check("INSERT INTO customers VALUES ($1, $2)", &["customers.id", "customers.name"]);
        check("UPDATE orders SET at = $1 WHERE id IN ($2, $3)", &["orders.at", "orders.id", "orders.id"]);
    }

    #[test]
    fn a_parameter_without_a_meaning_is_not_guessed() {
        for sql in ["SELECT $1", "SELECT 1 FROM orders, customers WHERE id = $1", "nonsense $1"] {
            assert_eq!(roles(sql, 1, &columns()), None, "{sql}");
        }
    }

    #[test]
    fn real_values_are_written_as_the_server_reads_them() {
        let kept = [
            vec![Value::Integer(3), Value::Blob(vec![1, 255])],
            vec![Value::Integer(3), Value::Blob(vec![1, 255])],
            vec![Value::Null],
        ];
        assert_eq!(of_calls(&kept, 2), [[Some("3".to_owned()), Some("\\x01ff".to_owned())]]);
    }
}
