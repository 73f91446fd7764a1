//! Clients of tokio-postgres that record.

use std::time::Duration;

use tokio_postgres::{Client, NoTls, types::Type};
use veritas_database::{Value, postgres_client::Record as _, scope};
use veritas_model::{FindingKind, Timestamp};
use veritas_testkit::Database;

use super::{database, recorded, recorder};

/// A client, and the database that must outlive it.
async fn connect() -> (Client, Database) {
    let database = database();
    let (client, connection) =
        tokio_postgres::connect(&database.url(), NoTls).await.expect("the server accepts");
    tokio::spawn(connection);
    (client, database)
}

#[tokio::test]
async fn texts_rows_places_labels_and_errors_are_recorded() {
    let (recorder, (client, _database)) = (recorder(), connect().await);
    let users = client.recorded(&recorder);
    let (from, rows) = (line!() + 1, users.query("SELECT name FROM users WHERE id <= $1", &[&4_i64]));
    assert_eq!(rows.await.unwrap().len(), 4);
    let select = recorded(&recorder, "select name from users");
    assert_eq!((select.calls, select.rows_returned, select.rows_affected), (1, 4, 0));
    let place = &select.callers[0].caller;
    assert!(place.file.ends_with("hooks/tokio_postgres.rs"));
    assert!(place.line.abs_diff(from) <= 1, "{place:?} {from}");
    assert_eq!(select.sample_parameters, [[Value::Integer(4)]]);
    assert!(select.total_seconds > 0.0);

    let changed = users.label("birthday").execute("UPDATE users SET age = age + $1", &[&1_i32]).await;
    assert_eq!(changed.unwrap(), 9);
    let update = recorded(&recorder, "update");
    assert_eq!((update.name.as_str(), update.rows_affected, update.rows_returned), ("birthday", 9, 0));

    let deleted = users.query("DELETE FROM users WHERE id = $1 RETURNING id", &[&9_i64]).await.unwrap();
    assert_eq!(deleted.len(), 1);
    let delete = recorded(&recorder, "delete");
    assert_eq!((delete.rows_affected, delete.rows_returned), (1, 1));

    assert!(users.query_one("SELECT age FROM users WHERE id = $1", &[&77_i64]).await.is_err());
    assert!(users.query_opt("SELECT age FROM users WHERE id = $1", &[&77_i64]).await.unwrap().is_none());
    let one = recorded(&recorder, "select age");
    assert_eq!((one.calls, one.errors, one.rows_returned), (2, 1, 0));
    assert!(users.query("SELECT nothing FROM nowhere", &[]).await.is_err());
    assert_eq!(recorded(&recorder, "select nothing").errors, 1);
    users.batch_execute("SELECT 1; SELECT 2").await.unwrap();
    assert_eq!(recorded(&recorder, "select ?; select ?").calls, 1);
}

#[tokio::test]
async fn a_cancelled_future_is_a_failed_call() {
    let (recorder, (client, _database)) = (recorder(), connect().await);
    let users = client.recorded(&recorder);
    let slept =
        tokio::time::timeout(Duration::from_millis(50), users.query("SELECT pg_sleep(600)", &[])).await;
    assert!(slept.is_err());
    let sleep = recorded(&recorder, "select pg_sleep");
    assert_eq!((sleep.calls, sleep.errors), (1, 1));
}

#[tokio::test]
async fn prepared_statements_transactions_and_given_types_are_recorded() {
    let (recorder, (mut client, _database)) = (recorder(), connect().await);
    let by_name = client.recorded(&recorder).prepare("SELECT id FROM users WHERE name = $1").await.unwrap();
    assert_eq!(recorder.snapshot().total, 0, "it did not run yet");
    let transaction = client.transaction().await.unwrap();
    for user in ["user 1", "it's nobody"] {
        transaction.recorded(&recorder).query(&by_name, &[&user]).await.unwrap();
    }
    transaction.rollback().await.unwrap();
    let found = recorded(&recorder, "select id from users");
    assert_eq!((found.calls, found.rows_returned), (2, 1));
    assert_eq!(found.sample_parameters, [[Value::from("user 1")], [Value::from("it's nobody")]]);

    let typed = client
        .recorded(&recorder)
        .query_typed("SELECT age FROM users WHERE id = $1", &[(&3_i64, Type::INT8)])
        .await
        .unwrap();
    assert_eq!(typed[0].get::<_, i32>(0), 30);
    assert_eq!(recorded(&recorder, "select age").sample_parameters, [[Value::Integer(3)]]);
}

#[tokio::test]
async fn values_are_kept_as_the_server_would_take_them() {
    let (recorder, (client, _database)) = (recorder(), connect().await);
    // Every value is made by the server, handed back as it came, and must mean the same as text.
    for (written, kind) in [
        ("2026-11-23 10:20:30.000456+00", "timestamptz"),
        ("1999-12-31 23:59:59.5", "timestamp"),
        ("0001-01-01", "date"),
        ("2024-02-29", "date"),
        ("7b7a7c5e-0001-4000-8000-00805f9b34fb", "uuid"),
        ("-12345678901234567890.0012300", "numeric"),
        ("0.00000001", "numeric"),
        ("100000000", "numeric"),
        ("NaN", "numeric"),
        ("{\"a\": [1, \"x\"]}", "jsonb"),
        ("{1,NULL,-3}", "int4[]"),
        ("{\"it's, \\\"x\\\"\",NULL,\"\\\\\"}", "text[]"),
        ("{}", "int8[]"),
        ("name", "name"),
        ("-7", "int2"),
        ("t", "bool"),
        ("1.5", "float4"),
    ] {
        let row = client.query_one(&format!("SELECT $${written}$$::{kind}"), &[]).await.unwrap();
        let value = Raw::of(&row);
        let ask = format!("SELECT $1::{kind} AS {}", kind.trim_end_matches("[]"));
        client.recorded(&recorder).query(ask.as_str(), &[&value]).await.unwrap();
        let sample = recorded(&recorder, &format!("select ?::{kind} as")).sample_parameters;
        let sample = sample.last().expect("it was kept")[0].clone();
        let text = match sample {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            other => panic!("{kind} is kept as {other:?}"),
        };
        let ask = format!("SELECT ($q${text}$q$::{kind})::text = ($q${written}$q$::{kind})::text");
        let same: bool = client.query_one(&ask, &[]).await.unwrap().get(0);
        assert!(same, "{kind}: {written} is kept as {text}");
    }
}

/// A value as the server sent it.
#[derive(Debug)]
struct Raw(Vec<u8>);

impl Raw {
    fn of(row: &tokio_postgres::Row) -> Self {
        row.get(0)
    }
}

impl<'a> tokio_postgres::types::FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl tokio_postgres::types::ToSql for Raw {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

#[tokio::test]
async fn a_loop_of_awaits_is_an_n_plus_one_with_its_line() {
    let (recorder, (client, _database)) = (recorder(), connect().await);
    for _ in 0..3 {
        scope::in_future("/users", async {
            let ids =
                client.recorded(&recorder).query("SELECT id FROM users ORDER BY id", &[]).await.unwrap();
            for row in ids {
                let id: i64 = row.get(0);
                client
                    .recorded(&recorder)
                    .query("SELECT name FROM users WHERE id = $1", &[&id])
                    .await
                    .unwrap();
            }
        })
        .await;
    }
    let looped = line!() - 5;
    let findings = recorder.findings(Timestamp::default());
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::NPlusOne);
    assert!(findings[0].callers[0].line.abs_diff(looped) <= 2, "{:?}", findings[0].callers);
}
