//! `MariaDB` fixtures.

use std::path::Path;

use veritas_testkit::MariaDb;

#[test]
fn each_test_has_a_database_of_its_own() {
    let server = MariaDb::start();
    let (first, second) = (server.database(), server.database());
    first.sql("CREATE TABLE notes (body text); INSERT INTO notes VALUES ('hello')");
    assert_eq!(first.sql("SELECT body FROM notes"), "hello\n");
    assert_eq!(second.sql("SHOW TABLES"), "");
    assert_ne!(first.url(), second.url());
}

#[test]
fn statements_are_counted_by_digest() {
    let database = MariaDb::start().database();
    database.sql(
        "CREATE TABLE counted (n int); SELECT * FROM counted WHERE n = 1; SELECT * FROM counted WHERE n = 2",
    );
    let counted = "SELECT DIGEST_TEXT, COUNT_STAR FROM performance_schema.events_statements_summary_by_digest \
                   WHERE SCHEMA_NAME = DATABASE() AND DIGEST_TEXT LIKE 'SELECT * FROM %counted%'";
    let counted = database.sql(counted);
    assert!(counted.ends_with("\t2\n"), "{counted}");
}

#[test]
fn a_user_has_the_rights_that_were_granted_and_no_other() {
    let database = MariaDb::start().database();
    database.sql("CREATE TABLE open (n int); CREATE TABLE closed (n int)");
    let user = database.user("reader", &format!("GRANT SELECT ON {}.open TO {{user}}", database.name()));
    let grants = database.sql(&format!("SHOW GRANTS FOR '{user}'@'localhost'"));
    assert!(grants.contains("`open`") && !grants.contains("closed"), "{grants}");
}

#[test]
fn a_server_of_ones_own_takes_options_and_goes_with_its_last_guard() {
    let alone = MariaDb::start_alone(&["--long-query-time=3"]);
    let database = alone.database();
    assert_eq!(database.sql("SELECT @@long_query_time"), "3.000000\n");
    assert_ne!(alone.process(), MariaDb::start().process());
    let (process, socket) = (alone.process(), alone.socket().to_path_buf());
    drop((alone, database));
    assert!(!socket.exists());
    assert!(!Path::new("/proc").join(process.to_string()).exists());
}
