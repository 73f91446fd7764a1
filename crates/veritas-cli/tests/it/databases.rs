//! `veritas explain`, `db …`, `doctor URL` and `serve --postgres` on a real PostgreSQL.

use std::{io::Write as _, process::Stdio};

use serde_json::Value;
use veritas_testkit::{Database, Postgres, data_dir, wait_for};

use crate::process::{PATIENCE, Server, run, veritas};

const API: &str = "/api/v1/performance";

/// A shop whose orders have no index on what they are looked up by.
const SHOP: &str = "
    CREATE EXTENSION hypopg;
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL);
    INSERT INTO customers SELECT i, 'user' || i FROM generate_series(1, 5000) i;
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, state text NOT NULL, filler text NOT NULL);
    INSERT INTO orders SELECT i, i % 5000, 'paid', repeat('f', 60) FROM generate_series(1, 40000) i;
    VACUUM ANALYZE customers, orders;
";

fn shop() -> Database {
    let database = Postgres::start().database();
    for statement in SHOP.split_inclusive(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        database.psql(statement);
    }
    database
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_doctor_names_faults_of_a_server_and_their_fixes() {
    let database = shop();
    database.psql("CREATE INDEX one ON orders (state)");
    database.psql("CREATE INDEX another ON orders (state)");
    let directory = data_dir();
    let output = run(directory.path(), &["doctor", &database.url(), "--json"]);
    let diagnosis = json(&output);
    let faults = diagnosis["faults"].as_array().unwrap();
    let duplicate = faults.iter().find(|fault| fault["code"] == "duplicate_index");
    let duplicate = duplicate.unwrap_or_else(|| panic!("{diagnosis:#}"));
    assert!(duplicate["fix"].as_str().unwrap().contains("DROP INDEX"), "{duplicate:#}");
    let table = String::from_utf8(run(directory.path(), &["doctor", &database.url()]).stdout).unwrap();
    assert!(table.contains("duplicate_index") && table.contains("fix: "), "{table}");
}

#[test]
fn the_doctor_says_why_a_server_cannot_be_reached() {
    let directory = data_dir();
    let nobody = "postgresql://me@%2Fnowhere%2Fat%2Fall/shop";
    let output = run(directory.path(), &["doctor", nobody, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let diagnosis = json(&output);
    assert_eq!(diagnosis["faults"][0]["severity"], "critical", "{diagnosis:#}");
    assert!(!diagnosis["not_checked"].as_array().unwrap().is_empty());
    let output = run(directory.path(), &["doctor", "https://example.org"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_statement_is_explained_and_not_run() {
    let database = shop();
    let directory = data_dir();
    let explain = |statement: &str, more: &[&str]| {
        let url = database.url();
        let mut arguments = vec!["explain", statement, "--postgres", &url, "--json"];
        arguments.extend(more);
        run(directory.path(), &arguments)
    };
    let generic = json(&explain("SELECT id FROM orders WHERE customer_id = $1", &[]));
    assert_eq!((&generic["generic"], &generic["nodes"][0]["node"]), (&true.into(), &"Seq Scan".into()));
    let custom = json(&explain("SELECT id FROM orders WHERE customer_id = $1", &["--value", "77"]));
    assert_eq!(custom["generic"], false);
    assert!(!custom["plan"].as_str().unwrap().contains("77"), "{custom:#}");

    let sql = "SELECT id FROM orders WHERE customer_id + 1 = 78";
    let other = &json(&explain(sql, &[]))["rewrites"][0];
    assert_eq!(
        (&other["rule"], &other["level"]),
        (&"arithmetic_to_value".into(), &"rule".into()),
        "{other:#}"
    );
    assert!(!other["sql"].as_str().unwrap().contains("78"), "a literal is shown: {other:#}");
    let text = run(directory.path(), &["explain", sql, "--postgres", &database.url()]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("none was measured"));

    let refused = explain("DELETE FROM orders; DROP TABLE orders", &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("hint: "), "{said}");
    assert_eq!(database.psql("SELECT count(*) FROM orders"), "40000\n");
}

#[test]
fn a_statement_may_come_from_stdin() {
    let database = shop();
    let directory = data_dir();
    let mut child = veritas(directory.path())
        .args(["explain", "-", "--postgres", &database.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT count(*) FROM customers").unwrap();
    let output = child.wait_with_output().unwrap();
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(plan.contains("Aggregate") && plan.contains("Nothing was run"), "{plan}");
}

#[test]
fn a_workload_gets_the_index_that_it_needs_within_the_budget() {
    let database = shop();
    let directory = data_dir();
    std::fs::write(
        directory.path().join("load.sql"),
        "-- calls: 500\nSELECT id, state FROM orders WHERE customer_id = $1;\n\
         -- calls: 3\nSELECT email FROM customers WHERE id = 7;\n",
    )
    .unwrap();
    let url = database.url();
    let advise = |more: &[&str]| {
        let mut arguments = vec!["db", "advise", "--workload", "load.sql", "--postgres", &url];
        arguments.extend(more);
        run(directory.path(), &arguments)
    };
    let answer = json(&advise(&["--budget", "10MB", "--json"]));
    let chosen = answer["indexes"].as_array().unwrap();
    assert_eq!(chosen.len(), 1, "{answer:#}");
    let sql = chosen[0]["sql"].as_str().unwrap();
    assert!(sql.contains("CONCURRENTLY") && sql.contains("customer_id"), "{sql}");
    assert!(chosen[0]["bytes"].as_u64().unwrap() < 10_000_000, "{answer:#}");
    assert!(answer["cost_after"].as_f64() < answer["cost_before"].as_f64(), "{answer:#}");
    let nothing = json(&advise(&["--budget", "8kB", "--json"]));
    assert_eq!(nothing["indexes"], serde_json::json!([]), "no index fits: {nothing:#}");
    let migration = String::from_utf8(advise(&["--migration", "alembic"]).stdout).unwrap();
    assert!(migration.contains("op.create_index") && migration.contains("autocommit_block"), "{migration}");
    assert_eq!(database.psql("SELECT count(*) FROM pg_indexes WHERE tablename = 'orders'"), "1\n");
}

#[test]
fn the_grants_are_sql_with_reasons() {
    let directory = data_dir();
    let arguments = ["db", "grants", "watcher", "--database", "shop"];
    let sql = String::from_utf8(run(directory.path(), &arguments).stdout).unwrap();
    assert!(sql.contains("GRANT") && sql.contains("watcher") && sql.starts_with("-- "), "{sql}");
}

#[test]
fn a_served_database_is_seen_and_its_loss_is_said() {
    let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'\n");
    let database = server.database();
    database.psql("CREATE EXTENSION pg_stat_statements");
    database.psql("CREATE TABLE notes (id bigint PRIMARY KEY, body text)");
    for _ in 0..3 {
        database.psql("SELECT body FROM notes WHERE id = 4711");
    }
    let directory = data_dir();
    let veritas = Server::start(directory.path(), &["--postgres", &database.url()]);
    let token = Server::token(directory.path(), "viewer");
    let get = |path: &str| -> Value {
        let (_, body) = veritas.get(&format!("{API}{path}"), Some(&token));
        serde_json::from_str(&body).unwrap()
    };
    let servers =
        wait_for(PATIENCE, || Some(get("/db/servers")).filter(|told| told["servers"][0].is_object()));
    assert_eq!(servers["servers"][0]["engine"], "postgresql", "{servers:#}");
    let queries = get("/db/queries?limit=1000");
    let all = queries["queries"].as_array().unwrap();
    let mine = all.iter().find(|query| query["normalized"] == "select body from notes where id = ?");
    assert!(mine.is_some(), "{queries:#}");
    assert!(!queries.to_string().contains("4711"), "a literal is served");
    assert!(get("/db/connections")["active_connections"].is_number());

    drop((database, server));
    let lost = wait_for(PATIENCE, || {
        let (_, body) = veritas.get("/readyz", None);
        Some(body).filter(|body| body.contains("postgres"))
    });
    assert!(lost.contains("degraded"), "{lost}");
}
