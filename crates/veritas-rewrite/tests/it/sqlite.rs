//! A real SQLite as the fuzzer's database.

use rusqlite::{
    Connection, params_from_iter,
    types::{Value as SqlValue, ValueRef},
};
use veritas_rewrite::{
    Dialect, Schema,
    fuzz::{Content, Database, Row, Value, definitions},
};

pub(crate) struct Sqlite {
    connection: Connection,
    schema: Schema,
}

impl Sqlite {
    pub(crate) fn with(schema: &Schema) -> Self {
        let connection = Connection::open_in_memory().expect("memory opens");
        for statement in definitions(schema, Dialect::Sqlite) {
            connection.execute_batch(&statement).expect("a table is created");
        }
        Self { connection, schema: schema.clone() }
    }
}

fn sql_value(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Boolean(value) => SqlValue::Integer(i64::from(*value)),
        Value::Integer(value) => SqlValue::Integer(*value),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::List(values) => {
            let json: Vec<String> = values
                .iter()
                .map(|value| match value {
                    Value::Null => "null".to_owned(),
                    Value::Integer(value) => value.to_string(),
                    other => format!("\"{}\"", other.to_string().replace('\\', "\\\\").replace('"', "\\\"")),
                })
                .collect();
            SqlValue::Text(format!("[{}]", json.join(",")))
        }
    }
}

impl Database for Sqlite {
    type Error = rusqlite::Error;

    fn fill(&mut self, content: &Content) -> Result<(), Self::Error> {
        self.connection.execute_batch("BEGIN")?;
        for index in &content.order {
            let table = &self.schema.tables[*index];
            let places = vec!["?"; table.columns.len()].join(", ");
            let insert = format!("INSERT INTO {} VALUES ({places})", table.name);
            for row in &content.tables[*index] {
                self.connection
                    .prepare_cached(&insert)?
                    .execute(params_from_iter(row.iter().map(sql_value)))?;
            }
        }
        Ok(())
    }

    fn run(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Self::Error> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map(params_from_iter(parameters.iter().map(sql_value)), |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(value) => Value::Integer(value),
                        ValueRef::Real(value) => Value::Text(format!("{value:?}")),
                        ValueRef::Text(text) | ValueRef::Blob(text) => {
                            Value::Text(String::from_utf8_lossy(text).into_owned())
                        }
                    })
                })
                .collect()
        })?;
        rows.collect()
    }

    fn clear(&mut self) -> Result<(), Self::Error> {
        self.connection.execute_batch("ROLLBACK")
    }
}
