//! What the server counts of statements.

use veritas_database::{
    fingerprint::fingerprint,
    server::{NotRead, ServerReading, ServerStatement},
};
use veritas_testkit::Postgres;

use super::read;

fn find<'a>(reading: &'a ServerReading, sql: &str) -> &'a ServerStatement {
    let statements = reading.statements.as_ref().expect("the extension is there");
    let wanted = fingerprint(sql);
    statements
        .iter()
        .find(|statement| statement.fingerprint == wanted)
        .unwrap_or_else(|| panic!("{statements:#?}"))
}

#[test]
fn statements_are_counted_under_our_fingerprints() {
    let database = Postgres::start().database_with("CREATE TABLE items (id int PRIMARY KEY, name text)");
    database.extension("pg_stat_statements");
    database.psql("INSERT INTO items SELECT n, n::text FROM generate_series(1, 500) AS n");
    for id in 1..=3 {
        database.psql(&format!("SELECT name FROM items WHERE id = {id}"));
    }
    // The server tells lists apart by their length; we do not.
    database.psql("SELECT name FROM items WHERE id IN (1, 2); SELECT name FROM items WHERE id IN (1, 2, 3)");
    let reading = read(&database.url());

    let by_key = find(&reading, "SELECT name FROM items WHERE id = 7");
    assert_eq!((by_key.seconds.count, by_key.rows), (3, 3));
    assert_eq!(by_key.text, "SELECT name FROM items WHERE id = $1");
    assert_eq!((by_key.tables.as_slice(), by_key.writes), (&["items".to_owned()][..], false));
    assert!(by_key.seconds.sum > 0.0 && by_key.buffers_hit + by_key.buffers_read > 0);
    let mean = by_key.seconds.mean().expect("it was called");
    assert!(by_key.seconds.sum_of_squares >= 3.0 * mean * mean * 0.999, "{by_key:?}");

    let by_list = find(&reading, "SELECT name FROM items WHERE id IN (9)");
    assert_eq!((by_list.seconds.count, by_list.rows, by_list.server_ids.len()), (2, 5, 2));
    let insert = find(&reading, "INSERT INTO items SELECT n, n::text FROM generate_series(1, 9) AS n");
    assert!(insert.writes && insert.wal_bytes.is_some_and(|bytes| bytes > 0), "{insert:?}");
    assert_eq!(reading.statements_evicted, Some(0));
    assert!(reading.statements_reset_at.is_some());
}

#[test]
fn utility_statements_keep_no_literal() {
    let database = Postgres::start().database();
    database.extension("pg_stat_statements");
    let role = format!("{}_locked", database.name());
    database.psql(&format!("CREATE ROLE {role} PASSWORD 'hunter2'"));
    let reading = read(&database.url());
    let kept = find(&reading, &format!("CREATE ROLE {role} PASSWORD 'x'"));
    assert!(!kept.text.contains("hunter2") && !format!("{reading:?}").contains("hunter2"), "{kept:?}");
}

#[test]
fn other_databases_and_the_catalogue_are_left_out() {
    let server = Postgres::start();
    let (own, other) = (server.database(), server.database());
    own.extension("pg_stat_statements");
    other.psql("CREATE TABLE elsewhere (n int); SELECT n FROM elsewhere");
    let _warm = read(&own.url());
    let reading = read(&own.url());
    for statement in reading.statements.expect("the extension is there") {
        assert!(
            statement.tables.iter().all(|table| !table.contains("pg_") && table != "elsewhere"),
            "{statement:?}"
        );
    }
}

#[test]
fn a_missing_extension_is_explained() {
    let database = Postgres::start().database();
    let reading = read(&database.url());
    let Err(NotRead::NoExtension { extension, hint }) = &reading.statements else { panic!("{reading:?}") };
    assert_eq!(extension, "pg_stat_statements");
    assert!(hint.contains("shared_preload_libraries"), "{hint}");
    assert!(reading.tables.is_ok());
}

#[test]
fn an_extension_that_the_server_has_not_loaded_is_explained() {
    let database = Postgres::start_alone("shared_preload_libraries = ''").database();
    database.extension("pg_stat_statements");
    let reading = read(&database.url());
    assert!(matches!(reading.statements, Err(NotRead::NoExtension { .. })), "{:?}", reading.statements);
    assert_eq!(reading.statements_reset_at, None);
}

#[test]
fn an_extension_in_a_schema_of_its_own_is_found() {
    let database = Postgres::start().database();
    database.psql("CREATE SCHEMA \"Odd schema\"; CREATE EXTENSION pg_stat_statements SCHEMA \"Odd schema\"");
    assert!(read(&database.url()).statements.is_ok());
}
