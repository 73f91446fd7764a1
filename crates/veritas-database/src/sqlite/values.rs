//! Values for the parameters of a statement: those of real calls, else sampled
//! from the columns that the parameters are compared with.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use sqlparser::{
    ast::{
        self, AssignmentTarget, Expr, LimitClause, ObjectName, Query, SetExpr, TableObject, Visit, Visitor,
    },
    tokenizer::Location,
};
use std::ops::ControlFlow;
use veritas_statistics::Rng;

use super::{
    access::{accesses, placeholder},
    binding::owned,
    definition::quote,
    executable::Executable,
    schema::{Schema, Table},
    statement::Statement,
};
use crate::Value;

/// How many vectors are sampled.
const SAMPLED: usize = 32;
/// Fewer different vectors of real calls are topped up from the columns: a proof
/// counts vectors, not repetitions, and this many can reach a p-value below 1 %.
const FEWEST: usize = 8;

/// Where parameter vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From real calls.
    Calls,
    /// Some from real calls (so many), the others sampled from the columns.
    Both(usize),
    /// Sampled from the columns.
    Columns,
    /// The statement has no parameters.
    None,
}

impl Source {
    /// Says it for people.
    pub(crate) fn words(self, vectors: usize) -> String {
        match self {
            Self::Calls => format!("parameter vectors of real calls: {vectors}"),
            Self::Both(real) => format!(
                "parameter vectors of real calls: {real}, sampled from the columns: {}",
                vectors.saturating_sub(real)
            ),
            Self::Columns => {
                format!("parameter vectors sampled from the columns, not of real calls: {vectors}")
            }
            Self::None => "without parameters".to_owned(),
        }
    }
}

/// What a parameter means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// It is compared with, or stored in, this column.
    Column(String, String),
    /// It is the number of the row to insert: SQLite chooses one.
    NewRowid,
    /// It says how many rows are wanted.
    Limit,
    /// It says how many rows are left out.
    Offset,
}

/// Returns vectors to run a statement with, at least one.
///
/// `usual_rows` stands for a LIMIT whose value is not known.
///
/// # Errors
///
/// Says why no vector can be made.
pub(crate) fn vectors(
    executable: &Executable,
    statement: &Statement,
    schema: &Schema,
    connection: &Connection,
    usual_rows: i64,
    rng: &mut Rng,
) -> Result<(Vec<Vec<Value>>, Source), String> {
    let prepared = connection.prepare(&executable.sql).map_err(|_| "SQLite does not understand it")?;
    let count = prepared.parameter_count();
    if count == 0 {
        return Ok((vec![Vec::new()], Source::None));
    }
    let mut vectors: Vec<Vec<Value>> = Vec::new();
    for kept in executable.vectors.iter().filter(|vector| vector.len() == count) {
        if !vectors.contains(kept) {
            vectors.push(kept.clone());
        }
    }
    let real = vectors.len();
    if real >= FEWEST {
        return Ok((vectors, Source::Calls));
    }
    match sampled(statement, &prepared, schema, connection, usual_rows, rng) {
        Ok(sampled) if real == 0 => Ok((sampled, Source::Columns)),
        Ok(sampled) => {
            for vector in sampled {
                if vectors.len() < 2 * FEWEST && !vectors.contains(&vector) {
                    vectors.push(vector);
                }
            }
            let source = if vectors.len() > real { Source::Both(real) } else { Source::Calls };
            Ok((vectors, source))
        }
        Err(_) if real > 0 => Ok((vectors, Source::Calls)),
        Err(why) => Err(why),
    }
}

/// Samples vectors from the columns that the parameters are compared with.
fn sampled(
    statement: &Statement,
    prepared: &rusqlite::Statement<'_>,
    schema: &Schema,
    connection: &Connection,
    usual_rows: i64,
    rng: &mut Rng,
) -> Result<Vec<Vec<Value>>, String> {
    let count = prepared.parameter_count();
    let mut roles = vec![None; count];
    let by_place = roles_by_place(&statement.tree, schema);
    for (place, index) in parameter_places(&statement.tree, prepared) {
        if let Some(slot) = index.checked_sub(1).and_then(|index| roles.get_mut(index)) {
            *slot = slot.take().or_else(|| by_place.get(&place).cloned());
        }
    }
    let roles: Vec<Role> = roles
        .into_iter()
        .collect::<Option<_>>()
        .ok_or("no calls were kept, and the meaning of a parameter is not known")?;
    let sampled: Vec<Vec<Value>> =
        (0..SAMPLED).map_while(|_| sample(&roles, schema, connection, usual_rows, rng)).collect();
    if sampled.is_empty() {
        return Err("no calls were kept, and the table has no rows to sample".to_owned());
    }
    Ok(sampled)
}

/// Samples one vector: the columns of one table from one row.
fn sample(
    roles: &[Role],
    schema: &Schema,
    connection: &Connection,
    usual_rows: i64,
    rng: &mut Rng,
) -> Option<Vec<Value>> {
    let mut rows: HashMap<&str, HashMap<String, Value>> = HashMap::new();
    roles
        .iter()
        .map(|role| match role {
            Role::Limit => Some(Value::Integer(usual_rows)),
            Role::Offset => Some(Value::Integer(0)),
            Role::NewRowid => Some(Value::Null),
            Role::Column(table, column) => {
                if !rows.contains_key(table.as_str()) {
                    rows.insert(table, random_row(schema.table(table)?, connection, rng)?);
                }
                rows.get(table.as_str())?.get(column).cloned()
            }
        })
        .collect()
}

/// Takes a row near a random place of the table.
fn random_row(table: &Table, connection: &Connection, rng: &mut Rng) -> Option<HashMap<String, Value>> {
    let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
    let (columns, name) = (columns.join(", "), quote(&table.name));
    let span: Option<(i64, i64)> = connection
        .query_row(&format!("SELECT min(rowid), max(rowid) FROM {name}"), [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .ok()
        .flatten();
    let (sql, place) = if let Some((low, high)) = span {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        let place = low.saturating_add(i64::try_from(rng.below(width)).unwrap_or(0));
        (format!("SELECT {columns} FROM {name} WHERE rowid >= ?1 LIMIT 1"), place)
    } else {
        let count: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).ok()?;
        let place = rng.below(u64::try_from(count).ok().filter(|&count| count > 0)?);
        (format!("SELECT {columns} FROM {name} LIMIT 1 OFFSET ?1"), i64::try_from(place).ok()?)
    };
    connection
        .query_row(&sql, [place], |row| {
            let values = table.columns.iter().enumerate();
            values.map(|(index, column)| Ok((column.clone(), owned(row.get_ref(index)?)))).collect()
        })
        .ok()
}

/// Numbers the parameters of a statement as SQLite does.
fn parameter_places(tree: &ast::Statement, prepared: &rusqlite::Statement<'_>) -> Vec<(Location, usize)> {
    let mut places: Vec<(Location, String)> = Vec::new();
    let walked: ControlFlow<()> = ast::visit_expressions(tree, |expr| {
        if let Expr::Value(value) = expr
            && let ast::Value::Placeholder(text) = &value.value
        {
            places.push((value.span.start, text.clone()));
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the walk never breaks");
    places.sort();
    let mut largest = 0;
    places
        .into_iter()
        .filter_map(|(place, text)| {
            let index = match text.strip_prefix('?') {
                Some("") => largest + 1,
                Some(number) => number.parse().ok()?,
                None => prepared.parameter_index(&text).ok()??,
            };
            largest = largest.max(index);
            Some((place, index))
        })
        .collect()
}

fn roles_by_place(tree: &ast::Statement, schema: &Schema) -> HashMap<Location, Role> {
    let mut roles = HashMap::new();
    for access in accesses(tree, schema) {
        for (place, column) in access.bound {
            roles.insert(place, Role::Column(access.table.clone(), column));
        }
    }
    match tree {
        ast::Statement::Insert(insert) => insert_roles(insert, schema, &mut roles),
        ast::Statement::Update(update) => {
            let name = match &update.table.relation {
                ast::TableFactor::Table { name, .. } => Some(name),
                _ => None,
            };
            let table = name.and_then(|name| schema.table(&last(name)?));
            for assignment in &update.assignments {
                if let (AssignmentTarget::ColumnName(column), Some(table)) = (&assignment.target, table)
                    && let (Some(place), Some(column)) = (
                        placeholder(&assignment.value),
                        last(column).and_then(|column| table.column(&column)),
                    )
                {
                    roles.insert(place, Role::Column(table.name.clone(), column.to_owned()));
                }
            }
        }
        _ => {}
    }
    let walked = tree.visit(&mut Limits(&mut roles));
    debug_assert!(walked.is_continue(), "the walk never breaks");
    roles
}

fn insert_roles(insert: &ast::Insert, schema: &Schema, roles: &mut HashMap<Location, Role>) {
    let TableObject::TableName(name) = &insert.table else { return };
    let Some(table) = last(name).and_then(|name| schema.table(&name)) else { return };
    let named: Vec<String> = insert.columns.iter().filter_map(last).collect();
    let columns = if named.is_empty() { &table.columns } else { &named };
    let Some(SetExpr::Values(values)) = insert.source.as_ref().map(|source| source.body.as_ref()) else {
        return;
    };
    for row in &values.rows {
        for (expr, column) in row.iter().zip(columns) {
            if let (Some(place), Some(column)) = (placeholder(expr), table.column(column)) {
                let role = if table.is_rowid(column) {
                    Role::NewRowid
                } else {
                    Role::Column(table.name.clone(), column.to_owned())
                };
                roles.insert(place, role);
            }
        }
    }
}

fn last(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.clone())
}

struct Limits<'r>(&'r mut HashMap<Location, Role>);

impl Visitor for Limits<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        self.0.extend(limit.and_then(placeholder).map(|place| (place, Role::Limit)));
        self.0.extend(offset.and_then(placeholder).map(|place| (place, Role::Offset)));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::statement::parse;

    fn sampled(sql: &str) -> Result<Vec<Vec<Value>>, String> {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT);
                 CREATE TABLE k(x TEXT PRIMARY KEY) WITHOUT ROWID;
                 CREATE TABLE empty(a);
                 INSERT INTO t(a, b) VALUES ('one', 1), ('two', 2), ('three', 3);
                 INSERT INTO k VALUES ('key')",
            )
            .unwrap();
        let executable = Executable { sql: sql.to_owned(), vectors: Vec::new() };
        let schema = Schema::read(&connection).unwrap();
        let statement = parse(sql).unwrap();
        vectors(&executable, &statement, &schema, &connection, 25, &mut Rng::new(7))
            .map(|(vectors, _)| vectors)
    }

    fn pairs() -> Vec<Vec<Value>> {
        [("one", 1), ("two", 2), ("three", 3)].map(|(a, b)| vec![Value::from(a), Value::from(b)]).to_vec()
    }

    #[test]
    fn values_of_one_vector_come_from_one_row() {
        let got = sampled("SELECT * FROM t WHERE a = ? AND b >= ?").unwrap();
        assert_eq!(got.len(), SAMPLED);
        assert!(got.iter().all(|vector| pairs().contains(vector)), "{got:?}");
        assert!(pairs().iter().all(|pair| got.contains(pair)), "{got:?}");
    }

    #[test]
    fn every_spelling_of_a_parameter_finds_its_number() {
        for sql in [
            "SELECT * FROM t WHERE b = ?2 AND a = ?1",
            "SELECT * FROM t WHERE a = :a AND (b = $b OR b BETWEEN $b AND 3)",
            "UPDATE t SET a = @a WHERE b = @b",
            "INSERT INTO t(a, b) VALUES (?, ?)",
        ] {
            let got = sampled(sql).unwrap();
            assert!(got.iter().all(|vector| pairs().contains(vector)), "{sql}: {got:?}");
        }
        assert_eq!(sampled("SELECT * FROM k WHERE x IN (?)").unwrap()[0], [Value::from("key")]);
        assert_eq!(sampled("INSERT INTO t VALUES (?, ?, 3)").unwrap()[0][0], Value::Null);
    }

    #[test]
    fn limits_are_what_is_usual() {
        let got = sampled("SELECT * FROM t WHERE b > ? LIMIT ? OFFSET ?").unwrap();
        assert_eq!(got[0][1..], [Value::Integer(25), Value::Integer(0)]);
    }

    #[test]
    fn a_parameter_without_a_meaning_is_not_guessed() {
        assert!(sampled("SELECT * FROM t WHERE length(a) = ?").is_err());
        assert!(sampled("SELECT * FROM empty WHERE a = ?").is_err());
    }
}
