//! diesel's connections, through diesel-async (which needs no C library).

use std::sync::Arc;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use veritas_database::{Recorder, Value, diesel_hook::Recording, label, scope};
use veritas_model::{FindingKind, Timestamp};
use veritas_testkit::Database;

use super::{database, recorded, recorder};

mod schema {
    mod tables {
        diesel::table! {
            users (id) {
                id -> BigInt,
                name -> Text,
            }
        }
    }
    pub(super) use tables::users;
}

use diesel::{ExpressionMethods as _, QueryDsl as _};
use schema::users;

/// A connection, and the database that must outlive it.
async fn connect(recorder: &Arc<Recorder>) -> (AsyncPgConnection, Database) {
    let database = database();
    let mut connection = AsyncPgConnection::establish(&database.url()).await.expect("the server accepts");
    connection.set_instrumentation(Recording::new(recorder));
    (connection, database)
}

#[tokio::test]
async fn what_diesel_runs_is_recorded_with_its_values_and_errors() {
    let recorder = recorder();
    let (mut connection, _database) = connect(&recorder).await;
    let named = users::table.filter(users::name.eq("user 3")).select(users::id);
    assert_eq!(named.load::<i64>(&mut connection).await.unwrap(), [3]);
    assert_eq!(named.filter(users::id.gt(5)).load::<i64>(&mut connection).await.unwrap(), [0_i64; 0]);
    let select = recorded(&recorder, "select \"users\".\"id\" from \"users\" where (\"users\".\"name\" = ?)");
    assert_eq!((select.calls, select.errors), (1, 0));
    assert_eq!(select.sample_parameters, [[Value::from("user 3")]]);
    assert!(!select.normalized.contains("user 3"));

    assert!(connection.batch_execute("SELECT nothing FROM nowhere").await.is_err());
    assert_eq!(recorded(&recorder, "select nothing").errors, 1);
}

static SITE: label::Site = label::Site::new("names", "src/users.rs", 7);

#[tokio::test]
async fn a_loop_over_diesel_is_an_n_plus_one_and_its_label_gives_the_line() {
    let recorder = recorder();
    let (mut connection, _database) = connect(&recorder).await;
    for _ in 0..3 {
        scope::in_future(
            "/users",
            label::in_future(&SITE, async {
                for id in 1..=6_i64 {
                    let name = users::table.find(id).select(users::name);
                    name.first::<String>(&mut connection).await.unwrap();
                }
            }),
        )
        .await;
    }
    let findings = recorder.findings(Timestamp::default());
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].kind, findings[0].subject.name()), (FindingKind::NPlusOne, "names"));
    assert_eq!((findings[0].callers[0].file.as_str(), findings[0].callers[0].line), ("src/users.rs", 7));
}
