//! PostgreSQL fixtures.

use std::{path::Path, time::Duration};

use veritas_testkit::{Postgres, wait_for};

#[test]
fn each_test_has_a_database_of_its_own() {
    let postgres = Postgres::start();
    let (first, second) = (postgres.database(), postgres.database());
    first.psql("CREATE TABLE notes (body text); INSERT INTO notes VALUES ('hello')");
    assert_eq!(first.psql("SELECT body FROM notes"), "hello\n");
    assert_eq!(second.psql("SELECT count(*) FROM pg_tables WHERE tablename = 'notes'"), "0\n");
    assert_ne!(first.url(), second.url());
}

#[test]
fn a_schema_is_run_once_and_copied() {
    let postgres = Postgres::start();
    let schema = "CREATE TABLE items AS SELECT n FROM generate_series(1, 1000) AS n";
    let (first, second) = (postgres.database_with(schema), postgres.database_with(schema));
    first.psql("DELETE FROM items");
    assert_eq!(second.psql("SELECT count(*), sum(n) FROM items"), "1000|500500\n");
}

#[test]
fn the_url_connects() {
    let database = Postgres::start().database();
    let output = std::process::Command::new("psql")
        .args([&database.url(), "-Atc", "SELECT current_database()"])
        .output();
    let output = output.expect("psql runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), database.name(), "{output:?}");
}

#[test]
fn a_server_of_ones_own_takes_settings() {
    let alone = Postgres::start_alone("work_mem = '1234kB'");
    assert_ne!(alone.process(), Postgres::start().process());
    assert_eq!(alone.database().psql("SHOW work_mem"), "1234kB\n");
}

#[test]
fn a_server_listens_on_no_port_and_runs_unprivileged() {
    let database = Postgres::start().database();
    assert_eq!(database.psql("SHOW listen_addresses").trim(), "");
    let status = std::fs::read_to_string(format!("/proc/{}/status", database.server().process()));
    let status = status.expect("the server runs");
    let uid = status.lines().find(|line| line.starts_with("Uid:")).expect("a process has a user");
    assert_ne!(uid.split_whitespace().nth(1), Some("0"));
}

#[test]
fn a_server_and_its_directory_go_with_the_last_guard() {
    let postgres = Postgres::start_alone("");
    let database = postgres.database();
    let (process, directory) = (postgres.process(), postgres.socket_dir().to_path_buf());
    drop(postgres);
    assert_eq!(database.psql("SELECT 1"), "1\n");
    drop(database);
    assert!(!directory.exists());
    assert!(!Path::new("/proc").join(process.to_string()).exists());
}

#[test]
#[should_panic(expected = "nowhere")]
fn a_failing_statement_fails_the_test_with_the_servers_words() {
    Postgres::start().database().psql("SELECT * FROM nowhere");
}

/// Starts this test binary again, lets the child start a server and die by
/// SIGKILL, and looks for the server.
#[test]
fn a_server_dies_with_a_killed_test_process() {
    let output = std::process::Command::new(std::env::current_exe().expect("a test binary has a path"))
        .args(["--exact", "--nocapture", "postgres::start_a_server_and_die_when_asked_to"])
        .env("VERITAS_TESTKIT_DIE", "1")
        .output()
        .expect("the test binary runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let process = printed.lines().find_map(|line| line.rsplit_once("server process ")).expect(&printed).1;
    let process = Path::new("/proc").join(process.trim());
    wait_for(Duration::from_mins(1), || !process.exists());
}

#[test]
fn start_a_server_and_die_when_asked_to() {
    if std::env::var_os("VERITAS_TESTKIT_DIE").is_some() {
        let postgres = Postgres::start();
        println!("\nserver process {}", postgres.process());
        std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status().ok();
    }
}
