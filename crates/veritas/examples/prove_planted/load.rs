//! The shop's requests, run against the real server and told to the recorder.

use std::{collections::HashMap, error::Error, sync::Arc};

use tokio_postgres::{
    Client,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use veritas::database::{Recorder, Value, scope};

use crate::case::{Argument, Case, Statement};

/// Runs the requests of the cases, one case after the other.
pub(crate) async fn run(
    client: &Client,
    recorder: &Arc<Recorder>,
    cases: &[Case],
) -> Result<u64, Box<dyn Error>> {
    let mut prepared = HashMap::new();
    let mut run = 0;
    for case in cases {
        for number in 0..case.requests {
            let statements = (case.request)(case.name, number);
            let request = async {
                for statement in &statements {
                    execute(client, recorder, &mut prepared, statement).await.map_err(|error| {
                        let said = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                        format!("{}: {said}", statement.name)
                    })?;
                    run += 1;
                }
                Ok::<(), String>(())
            };
            scope::in_future(case.name, request).await?;
        }
    }
    Ok(run)
}

async fn execute(
    client: &Client,
    recorder: &Recorder,
    prepared: &mut HashMap<&'static str, tokio_postgres::Statement>,
    statement: &Statement,
) -> Result<(), tokio_postgres::Error> {
    let Statement { name, sql, arguments } = statement;
    let plan = match prepared.get(sql) {
        Some(plan) => plan.clone(),
        None => prepared.entry(sql).or_insert(client.prepare(sql).await?).clone(),
    };
    let values: Vec<Value> = arguments.iter().map(Value::from).collect();
    let bound: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|argument| argument as _).collect();
    let call = recorder.statement(sql).label(name).parameters(&values);
    if plan.columns().is_empty() {
        let changed = client.execute(&plan, &bound).await?;
        call.finish_with(0, changed, None);
    } else {
        let rows = client.query(&plan, &bound).await?;
        call.finish_with(rows.len() as u64, 0, None);
    }
    Ok(())
}

impl ToSql for Argument {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Integer(value) => value.to_sql(wanted, out),
            Self::Long(value) => value.to_sql(wanted, out),
            Self::Text(value) => value.to_sql(wanted, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
