//! A real PostgreSQL as the fuzzer's database.

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt::Write as _,
};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    Client, NoTls, Statement,
    types::{Format, IsNull, ToSql, Type, private::BytesMut},
};
use veritas_rewrite::{
    Dialect, Schema,
    fuzz::{Content, Database, Row, Value, definitions},
};

pub(crate) struct Postgres {
    runtime: Runtime,
    client: Client,
    schema: Schema,
    /// Statements, prepared in a form whose columns are all texts.
    prepared: HashMap<String, Statement>,
    filled: u64,
}

/// Plans differ by what the planner may use: each database gets another of these. What is off
/// costs so much that every plan would be compiled, so that compiling is off.
const PLANNERS: [&str; 5] = [
    "",
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_hashagg = off;",
    "SET LOCAL enable_nestloop = off;",
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;",
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_nestloop = off;",
];

impl Postgres {
    pub(crate) fn connect(url: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
            tokio::spawn(connection);
            client
                .batch_execute("SET timezone = 'Europe/Berlin'; SET jit = off")
                .await
                .expect("a setting is set");
            client
        });
        Self { runtime, client, schema: Schema::default(), prepared: HashMap::new(), filled: 0 }
    }

    /// Connects and creates the tables of a schema.
    pub(crate) fn with(url: &str, schema: &Schema) -> Self {
        let mut database = Self::connect(url);
        for statement in definitions(schema, Dialect::PostgreSql) {
            database.batch(&statement).expect("a table is created");
        }
        database.schema = schema.clone();
        database
    }

    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        match self.prepared.entry(sql.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(place) => {
                let (runtime, client) = (&self.runtime, &self.client);
                let columns = runtime.block_on(client.prepare(sql))?.columns().len();
                let names: Vec<String> = (0..columns).map(|index| format!("c{index}")).collect();
                let texts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
                let wrapped = format!("SELECT {} FROM ({sql}) AS q({})", texts.join(", "), names.join(", "));
                Ok(place.insert(runtime.block_on(client.prepare(&wrapped))?).clone())
            }
        }
    }
}

impl Database for Postgres {
    type Error = String;

    fn fill(&mut self, content: &Content) -> Result<(), Self::Error> {
        let planner = PLANNERS[usize::try_from(self.filled % PLANNERS.len() as u64).unwrap_or(0)];
        self.filled += 1;
        let mut script = format!("BEGIN;{planner}");
        for index in &content.order {
            let table = &self.schema.tables[*index];
            let rows: Vec<String> = content.tables[*index]
                .iter()
                .map(|row| {
                    let values: Vec<String> = row
                        .iter()
                        .map(|value| match value {
                            Value::Null => "NULL".to_owned(),
                            value => format!("'{}'", value.to_string().replace('\'', "''")),
                        })
                        .collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            if !rows.is_empty() {
                write!(script, "INSERT INTO {} VALUES {};", table.name, rows.join(", "))
                    .expect("a string takes it");
            }
        }
        self.batch(&script).map_err(told)
    }

    fn run(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Self::Error> {
        let statement = self.prepare(sql).map_err(told)?;
        // A wrong variant may use fewer than there are.
        let used = statement.params().len();
        let parameters: Vec<AsText<'_>> = parameters.iter().take(used).map(AsText).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        let rows = self.runtime.block_on(self.client.query(&statement, &parameters)).map_err(told)?;
        let value = |row: &tokio_postgres::Row, column| match row.get::<_, Option<String>>(column) {
            Some(text) => Value::Text(text),
            None => Value::Null,
        };
        Ok(rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect())
    }

    fn clear(&mut self) -> Result<(), Self::Error> {
        self.batch("ROLLBACK").map_err(told)
    }
}

/// Says an error in the server's words.
#[expect(clippy::needless_pass_by_value, reason = "what map_err passes")]
fn told(error: tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// A parameter in the text form, whatever its type.
#[derive(Debug)]
struct AsText<'v>(&'v Value);

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

    tokio_postgres::types::to_sql_checked!();
}
