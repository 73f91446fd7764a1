//! The `tracing` layer under a real sqlx application: what it sees under which filter.
//!
//! sqlx runs SQLite on a thread of its own, so only a global subscriber sees
//! its events, and a process can have but one: every scenario runs in a process
//! of its own, this test binary started again.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the application of a test, which prints its figures"
)]

use std::{process::Command, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Row,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tracing::Instrument;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};
use veritas_database::{Recorder, RecorderOptions, StatementVisibility};
use veritas_model::{FindingKind, SystemClock, Timestamp};

const STATEMENTS: u64 = 10_000;

/// Runs a scenario of this module in a process of its own, and prints its figures.
#[track_caller]
fn run(scenario: &str) {
    let program = std::env::current_exe().expect("the test binary has a path");
    let output = Command::new(program)
        .args([&format!("sqlx_layer::{scenario}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .expect("the test binary runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let figures = text.lines().find_map(|line| Some(line.split_once("figures: ")?.1));
    println!("{scenario}: {}", figures.expect("the scenario prints its figures"));
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new())))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn pool(statements_at: Option<&str>) -> sqlx::SqlitePool {
    // sqlx says of itself that a statement was slow; on a busy machine any may be.
    let mut options = SqliteConnectOptions::from_str("sqlite::memory:")
        .unwrap()
        .log_slow_statements("warn".parse().unwrap(), Duration::MAX);
    if let Some(level) = statements_at {
        options = options.log_statements(level.parse().unwrap());
    }
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::raw_sql("create table users (id integer primary key, name text); insert into users values (1, 'Ada'), (2, 'Bob')")
        .execute(&pool)
        .await
        .unwrap();
    pool
}

/// Runs the statements under the subscriber that is installed; returns how many
/// of them the recorder has seen.
fn seen(recorder: &Recorder, statements_at: Option<&str>) -> u64 {
    block_on(async {
        let pool = pool(statements_at).await;
        for index in 0..STATEMENTS {
            let key = i64::try_from(index % 3).unwrap();
            let rows = sqlx::query("SELECT id, name FROM users WHERE id = ?")
                .bind(key)
                .fetch_all(&pool)
                .await
                .unwrap();
            assert_eq!(rows.len(), usize::from(key > 0));
        }
        pool.close().await;
    });
    let snapshot = recorder.snapshot();
    let wanted = "select id, name from users where id = ?";
    let Some(users) = snapshot.statements.iter().find(|statement| &*statement.normalized == wanted) else {
        return 0;
    };
    assert_eq!(&*users.tables, ["users"]);
    assert_eq!(users.rows_returned, STATEMENTS - STATEMENTS.div_ceil(3));
    assert!(users.total_seconds > 0.0 && users.errors == 0);
    users.calls
}

/// Asserts what was seen, and that the probe says so both before and after.
#[track_caller]
fn check(
    recorder: &Recorder,
    statements_at: Option<&str>,
    before: StatementVisibility,
    seen_statements: u64,
) {
    let probed = recorder.sqlx_visibility();
    let seen = seen(recorder, statements_at);
    println!("figures: {seen} of {STATEMENTS} statements seen; the probe said {:?}", probed.statements);
    println!("{}; hint: {:?}", probed.reason, probed.hint);
    assert_eq!((probed.statements, seen), (before, seen_statements));
    let after = recorder.sqlx_visibility().statements;
    assert_eq!(after, if seen == 0 { before } else { StatementVisibility::All });
}

#[test]
#[ignore = "run in a process of its own"]
fn no_filter() {
    let recorder = recorder();
    tracing_subscriber::registry().with(recorder.tracing_layer()).init();
    check(&recorder, None, StatementVisibility::All, STATEMENTS);
}

#[test]
#[ignore = "run in a process of its own"]
fn global_filter_at_info() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(fmt::layer().with_writer(std::io::sink))
        .with(recorder.tracing_layer().filtered())
        .init();
    check(&recorder, None, StatementVisibility::SlowOnly, 0);
}

#[test]
#[ignore = "run in a process of its own"]
fn filter_of_the_fmt_layer_at_info() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(fmt::layer().with_filter(EnvFilter::new("info")))
        .with(recorder.tracing_layer().filtered())
        .init();
    check(&recorder, None, StatementVisibility::All, STATEMENTS);
}

#[test]
#[ignore = "run in a process of its own"]
fn filter_of_the_fmt_layer_at_info_after_ours() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(recorder.tracing_layer().filtered())
        .with(fmt::layer().with_filter(EnvFilter::new("info")))
        .init();
    check(&recorder, None, StatementVisibility::All, STATEMENTS);
}

#[test]
#[ignore = "run in a process of its own"]
fn global_filter_at_info_and_statements_logged_at_info() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(fmt::layer().with_writer(std::io::sink))
        .with(recorder.tracing_layer().filtered())
        .init();
    check(&recorder, Some("info"), StatementVisibility::SlowOnly, STATEMENTS);
}

#[test]
#[ignore = "run in a process of its own"]
fn global_filter_that_passes_sqlx() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(EnvFilter::new("info,sqlx::query=debug"))
        .with(fmt::layer().with_writer(std::io::sink))
        .with(recorder.tracing_layer().filtered())
        .init();
    check(&recorder, None, StatementVisibility::All, STATEMENTS);
}

#[test]
#[ignore = "run in a process of its own"]
fn global_filter_that_stops_everything() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(EnvFilter::new("off"))
        .with(recorder.tracing_layer().filtered())
        .init();
    check(&recorder, None, StatementVisibility::Nothing, 0);
}

#[test]
#[ignore = "run in a process of its own"]
fn no_layer() {
    let recorder = recorder();
    tracing_subscriber::registry().with(fmt::layer().with_writer(std::io::sink)).init();
    check(&recorder, None, StatementVisibility::Nothing, 0);
}

#[tracing::instrument(skip_all, fields(veritas.query = "user_by_id"))]
async fn user_by_id(pool: &sqlx::SqlitePool, id: i64) -> Option<String> {
    let row = sqlx::query("SELECT name FROM users WHERE id = ?").bind(id).fetch_optional(pool).await.unwrap();
    row.map(|row| row.get(0))
}

#[test]
#[ignore = "run in a process of its own"]
fn spans() {
    let recorder = recorder();
    tracing_subscriber::registry()
        .with(fmt::layer().with_filter(EnvFilter::new("warn")))
        .with(recorder.tracing_layer().filtered())
        .init();
    block_on(async {
        let pool = pool(None).await;
        for _ in 0..3 {
            let request = tracing::info_span!("request", http.route = tracing::field::Empty);
            request.record("http.route", "/users/{id}");
            async {
                for id in 0..6 {
                    user_by_id(&pool, id).await;
                }
                sqlx::query("SELECT count(*) FROM users").fetch_one(&pool).await.unwrap();
                assert!(sqlx::query("SELECT nothing FROM nowhere").fetch_one(&pool).await.is_err());
            }
            .instrument(request)
            .await;
        }
        pool.close().await;
    });
    let snapshot = recorder.snapshot();
    let by_id = snapshot.statements.iter().find(|statement| statement.name == "user_by_id").unwrap();
    assert_eq!(by_id.calls, 18);
    assert!(by_id.callers[0].caller.file.ends_with("sqlx_layer.rs"));
    assert!(snapshot.calls_by_name().iter().all(|(name, _)| name != "request"));
    let findings = recorder.findings(Timestamp::default());
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.kind, FindingKind::NPlusOne);
    let cause =
        veritas_model::Cause::RepeatedStatement { request: "/users/{id}".into(), calls_per_request: 6.0 };
    assert_eq!(finding.cause, cause);
    let failed = snapshot.statements.iter().find(|statement| statement.normalized.contains("nowhere"));
    println!(
        "figures: N+1 of 18 calls found; a statement that failed to prepare was {:?}",
        failed.map(|known| known.calls)
    );
}

#[test]
fn without_a_filter_every_statement_is_seen() {
    run("no_filter");
}

#[test]
fn under_a_global_filter_at_info_no_statement_is_seen_and_the_probe_says_so() {
    run("global_filter_at_info");
    run("global_filter_that_stops_everything");
    run("no_layer");
}

#[test]
fn with_filters_per_layer_every_statement_is_seen() {
    run("filter_of_the_fmt_layer_at_info");
    run("filter_of_the_fmt_layer_at_info_after_ours");
}

#[test]
fn under_a_global_filter_statements_are_seen_when_they_are_let_through() {
    run("global_filter_at_info_and_statements_logged_at_info");
    run("global_filter_that_passes_sqlx");
}

#[test]
fn spans_give_callers_labels_and_requests() {
    run("spans");
}
