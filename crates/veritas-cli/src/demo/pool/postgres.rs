//! A connection to `PostgreSQL`, used from blocking threads.

use std::{
    collections::HashMap,
    error::Error,
    panic::Location,
    sync::{Mutex, PoisonError},
};

use tokio::runtime::Handle;
use tokio_postgres::{
    Client, Row, Statement,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use veritas::database::{Recorder, StatementCall, Value};

use super::{QueryError, Record};
use crate::demo::dataset;

/// A connection with its prepared statements.
#[derive(Debug)]
pub(in crate::demo) struct Connection {
    client: Client,
    runtime: Handle,
    prepared: Mutex<HashMap<&'static str, (String, Statement)>>,
}

impl Connection {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let client = dataset::postgres::connect(url).await?;
        Ok(Self { client, runtime: Handle::current(), prepared: Mutex::default() })
    }

    #[track_caller]
    pub(super) fn query(
        &self,
        recorder: &Recorder,
        label: &'static str,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<Vec<Record>, QueryError> {
        let caller = Location::caller();
        let (text, statement) = self.prepare(sql)?;
        let call = begin(recorder, &text, label, parameters, caller);
        let bound: Vec<Bound<'_>> = parameters.iter().map(Bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
        match self.runtime.block_on(self.client.query(&statement, &bound)) {
            Ok(rows) => {
                call.finish_with(rows.len() as u64, 0, None);
                rows.iter().map(record).collect()
            }
            Err(_) => Err(QueryError::Failed),
        }
    }

    #[track_caller]
    pub(super) fn execute(
        &self,
        recorder: &Recorder,
        label: &'static str,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<u64, QueryError> {
        let caller = Location::caller();
        let (text, statement) = self.prepare(sql)?;
        let call = begin(recorder, &text, label, parameters, caller);
        let bound: Vec<Bound<'_>> = parameters.iter().map(Bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
        match self.runtime.block_on(self.client.execute(&statement, &bound)) {
            Ok(changed) => {
                call.finish_with(0, changed, None);
                Ok(changed)
            }
            Err(_) => Err(QueryError::Failed),
        }
    }

    /// Prepares a statement once; `?1` becomes `$1`.
    fn prepare(&self, sql: &'static str) -> Result<(String, Statement), QueryError> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = prepared.get(sql) {
            return Ok(known.clone());
        }
        let text = sql.replace('?', "$");
        let statement = self.runtime.block_on(self.client.prepare(&text)).map_err(|_| QueryError::Failed)?;
        Ok(prepared.entry(sql).or_insert((text, statement)).clone())
    }
}

/// Begins to time a statement, in the name of `caller`.
fn begin<'a>(
    recorder: &'a Recorder,
    text: &'a str,
    label: &'static str,
    parameters: &'a [Value],
    caller: &'static Location<'static>,
) -> StatementCall<'a> {
    recorder.statement(text).label(label).parameters(parameters).caller(caller.into())
}

fn record(row: &Row) -> Result<Record, QueryError> {
    let mut values = Vec::with_capacity(row.len());
    for (column, described) in row.columns().iter().enumerate() {
        let value = match *described.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(column).map(|value| value.map(Value::Integer)),
            Type::FLOAT8 => row.try_get::<_, Option<f64>>(column).map(|value| value.map(Value::Real)),
            _ => row.try_get::<_, Option<String>>(column).map(|value| value.map(Value::Text)),
        };
        values.push(value.map_err(|_| QueryError::Failed)?.unwrap_or(Value::Null));
    }
    Ok(Record(values))
}

/// A value as the server wants it: the demo's columns are bigint, double precision and text.
#[derive(Debug)]
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) => value.to_sql(wanted, out),
            Value::Real(value) => value.to_sql(wanted, out),
            Value::Text(value) => value.to_sql(wanted, out),
            Value::Blob(value) => value.to_sql(wanted, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
