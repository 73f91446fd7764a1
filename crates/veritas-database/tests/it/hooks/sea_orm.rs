//! sea-orm's connections: by their metric callback, and by what sqlx logs.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use veritas_database::{Value, scope, sea_orm_hook};
use veritas_model::{FindingKind, Timestamp};
use veritas_testkit::Database;

use super::{database, recorded, recorder};

/// A connection, and the database that must outlive it.
async fn connect() -> (DatabaseConnection, Database) {
    // sqlx reads the socket's folder from the query, not from the host.
    let database = database();
    let folder = database.server().socket_dir().display().to_string();
    let url = format!("postgres://{}@localhost/{}?host={folder}", database.user(), database.name());
    let connection = sea_orm::Database::connect(url).await.expect("the server accepts");
    (connection, database)
}

fn by_id(id: i64) -> Statement {
    let sql = "SELECT name FROM users WHERE id = $1";
    Statement::from_sql_and_values(DbBackend::Postgres, sql, [id.into()])
}

#[tokio::test]
async fn what_sea_orm_runs_is_recorded_with_its_values_and_errors() {
    let (recorder, (mut connection, _database)) = (recorder(), connect().await);
    sea_orm_hook::record(&mut connection, &recorder);
    assert_eq!(connection.query_all_raw(by_id(3)).await.unwrap().len(), 1);
    assert!(connection.execute_unprepared("SELECT nothing FROM nowhere").await.is_err());
    let select = recorded(&recorder, "select name");
    assert_eq!((select.calls, select.errors), (1, 0));
    assert_eq!(select.sample_parameters, [[Value::Integer(3)]]);
    assert!(select.total_seconds > 0.0);
}

#[tokio::test]
async fn a_loop_over_sea_orm_is_an_n_plus_one_and_asking_again_is_redundant() {
    let (recorder, (mut connection, _database)) = (recorder(), connect().await);
    sea_orm_hook::record(&mut connection, &recorder);
    for _ in 0..3 {
        scope::in_future("/users", async {
            for id in [6, 1, 2, 3, 4, 5, 6] {
                connection.query_one_raw(by_id(id)).await.unwrap();
            }
        })
        .await;
    }
    let mut kinds: Vec<_> = recorder.findings(Timestamp::default()).iter().map(|found| found.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [FindingKind::NPlusOne, FindingKind::RedundantStatement]);
}

/// In a process of its own: what one test's subscriber hears of sqlx depends on what the other
/// tests' threads do.
#[cfg(feature = "tracing")]
#[test]
fn the_tracing_layer_sees_sea_orm_too() {
    let program = std::env::current_exe().expect("the test binary has a path");
    let output = std::process::Command::new(program)
        .args(["hooks::sea_orm::seen_by_the_layer", "--exact", "--ignored", "--test-threads=1"])
        .output()
        .expect("the test binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(feature = "tracing")]
#[tokio::test]
#[ignore = "run by the_tracing_layer_sees_sea_orm_too, in a process of its own"]
async fn seen_by_the_layer() {
    use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

    let recorder = recorder();
    tracing_subscriber::registry().with(recorder.tracing_layer().filtered()).init();
    let (connection, _database) = connect().await;
    assert_eq!(connection.query_all_raw(by_id(3)).await.unwrap().len(), 1);
    let select = recorded(&recorder, "select name");
    assert_eq!((select.calls, select.rows_returned), (1, 1));
}
