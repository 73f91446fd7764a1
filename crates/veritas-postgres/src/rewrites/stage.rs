//! A stage for random databases: tables like the copied ones, in their place, for a transaction.

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt::Write as _,
};

use bytes::BytesMut;
use postgres_types::{Format, IsNull, ToSql, Type};
use serde_json::{Map, Value as Json};
use tokio_postgres::Statement;
use veritas_rewrite::{
    Dialect,
    fuzz::{Content, Database, Row, Value, definitions},
    schema::{ColumnType, Schema},
};

use crate::session::{Session, SessionError, ident};

/// Begins the transaction that is never kept. Nothing in it is worth compiling.
const BEGIN: &str = "BEGIN; SET LOCAL jit = off";
/// Ends it: the copies are where they were.
const END: &str = "ROLLBACK";
/// The state to which each database goes back: empty tables.
const EMPTY: &str = "SAVEPOINT veritas_empty";
/// Goes back to it, also after an error.
const CLEAR: &str = "ROLLBACK TO SAVEPOINT veritas_empty";
/// Prefix of the names that the copies' schemas have meanwhile.
const ASIDE: &str = "veritas_aside_";

/// Most rows of a result that are compared: small tables, but joined without a condition.
const MOST_ROWS: usize = 10_000;

/// Tables of a schema, empty, under the names of the copies, on a scratch database only.
///
/// The schemas of the copies get other names within a transaction that is rolled back;
/// what else is in them (functions, types) is found there through the search path.
pub(super) struct Stage<'s> {
    session: &'s mut Session,
    schema: &'s Schema,
    /// Statements that were prepared, in the form that returns texts.
    prepared: HashMap<String, Statement>,
}

impl<'s> Stage<'s> {
    pub(super) fn open(session: &'s mut Session, schema: &'s Schema) -> Result<Self, SessionError> {
        let mut names: Vec<&str> = schema.tables.iter().filter_map(|table| table.schema.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let mut script = BEGIN.to_owned();
        for (index, name) in names.iter().enumerate() {
            let (name, aside) = (ident(name), ident(&format!("{ASIDE}{index}")));
            // Writing to a string does not fail.
            let _ = write!(script, "; ALTER SCHEMA {name} RENAME TO {aside}; CREATE SCHEMA {name}");
        }
        let all: Vec<String> = names
            .iter()
            .map(|name| ident(name))
            .chain((0..names.len()).map(|index| ident(&format!("{ASIDE}{index}"))))
            .collect();
        let _ = write!(script, "; SET LOCAL search_path = {}", all.join(", "));
        for definition in definitions(schema, Dialect::PostgreSql) {
            let _ = write!(script, "; {definition}");
        }
        let _ = write!(script, "; {EMPTY}");
        let stage = Self { session, schema, prepared: HashMap::new() };
        stage.session.batch(&script)?;
        Ok(stage)
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, SessionError> {
        match self.prepared.entry(sql.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(place) => {
                let client = self.session.client()?;
                let columns = self.session.block_on(client.prepare(sql))?.columns().len();
                let names: Vec<String> = (0..columns).map(|index| format!("c{index}")).collect();
                let texts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
                let wrapped = format!(
                    "SELECT {} FROM ({sql}) AS q({}) LIMIT {}",
                    texts.join(", "),
                    names.join(", "),
                    MOST_ROWS + 1
                );
                Ok(place.insert(self.session.block_on(client.prepare(&wrapped))?).clone())
            }
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // A session that is lost has lost its transaction, too.
        drop(self.session.batch(END));
    }
}

impl Database for Stage<'_> {
    type Error = SessionError;

    fn fill(&mut self, content: &Content) -> Result<(), SessionError> {
        for index in &content.order {
            let table = &self.schema.tables[*index];
            let rows: Vec<Json> = content.tables[*index]
                .iter()
                .map(|row| {
                    let members = table.columns.iter().zip(row);
                    Json::Object(
                        members
                            .map(|(column, value)| (column.name.clone(), json(value, &column.kind)))
                            .collect::<Map<String, Json>>(),
                    )
                })
                .collect();
            if rows.is_empty() {
                continue;
            }
            // The rows are one parameter: no value is ever part of a statement's text.
            let name = ident(&table.name);
            let insert = format!(
                "INSERT INTO {name} SELECT * FROM pg_catalog.jsonb_populate_recordset(NULL::{name}, $1)"
            );
            self.session.execute(&insert, &[&AsText(&Value::Text(Json::Array(rows).to_string()))])?;
        }
        Ok(())
    }

    fn run(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, SessionError> {
        let statement = self.prepare(sql)?;
        let parameters: Vec<AsText<'_>> = parameters.iter().map(AsText).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        let client = self.session.client()?;
        let rows = self.session.block_on(client.query(&statement, &parameters))?;
        if rows.len() > MOST_ROWS {
            return Err(SessionError::Answer { reason: "more rows than are compared".to_owned() });
        }
        let value = |row: &tokio_postgres::Row, column| match row.get::<_, Option<String>>(column) {
            Some(text) => Value::Text(text),
            None => Value::Null,
        };
        Ok(rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect())
    }

    fn clear(&mut self) -> Result<(), SessionError> {
        self.session.batch(CLEAR)
    }
}

fn json(value: &Value, kind: &ColumnType) -> Json {
    match (value, kind) {
        (Value::Null, _) => Json::Null,
        (Value::Boolean(value), _) => Json::Bool(*value),
        (Value::Integer(value), _) => Json::from(*value),
        (value, ColumnType::Jsonb) => serde_json::from_str(&value.to_string()).unwrap_or(Json::Null),
        (value, _) => Json::String(value.to_string()),
    }
}

/// A parameter in the text form, whatever its type.
#[derive(Debug)]
pub(super) struct AsText<'v>(pub(super) &'v Value);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            value => {
                out.extend_from_slice(value.to_string().as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    postgres_types::to_sql_checked!();
}
