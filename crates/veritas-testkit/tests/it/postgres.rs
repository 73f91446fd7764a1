//! PostgreSQL fixtures.

use std::{path::Path, time::Duration};

use veritas_testkit::{FaultProxy, Postgres, wait_for};

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

#[test]
fn statements_are_counted_and_hypothetical_indexes_are_to_be_had() {
    let database = Postgres::start().database();
    database.extension("pg_stat_statements").extension("hypopg");
    database.psql("CREATE TABLE counted (n int)");
    database.psql("SELECT * FROM counted WHERE n = 1; SELECT * FROM counted WHERE n = 2");
    let calls = "SELECT calls FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
                 WHERE datname = current_database() AND query LIKE 'SELECT * FROM counted%'";
    assert_eq!(database.psql(calls), "2\n");
    let hypothetical = "SELECT count(*) FROM hypopg_create_index('CREATE INDEX ON counted (n)')";
    assert_eq!(database.psql(hypothetical), "1\n");
}

#[test]
#[should_panic(expected = "run cargo xtask setup")]
fn an_extension_that_is_not_installed_names_the_setup_command() {
    Postgres::start().database().extension("no_such_extension");
}

#[test]
fn a_role_has_the_rights_that_were_granted_and_no_other() {
    let database = Postgres::start().database();
    database.psql("CREATE TABLE open (n int); CREATE TABLE closed (n int)");
    let bare = database.role("bare", "");
    let reader = database.role("reader", "GRANT SELECT ON open TO {role}");
    let count = |url: &str, table: &str| {
        let count = format!("SELECT count(*) FROM {table}");
        let output = std::process::Command::new("psql").args([url, "-Atc", &count]).output();
        output.expect("psql runs").status.success()
    };
    assert!(count(&reader, "open") && !count(&reader, "closed") && !count(&bare, "open"));
}

#[test]
fn a_stopped_server_refuses_and_keeps_what_was_committed() {
    let server = Postgres::start_alone("");
    let database = server.database();
    database.psql("CREATE TABLE kept AS SELECT 7 AS n");
    let before = server.process();
    server.stop();
    let refused = std::process::Command::new("psql").args([&database.url(), "-c", "SELECT 1"]).output();
    assert!(!refused.expect("psql runs").status.success());
    server.restart();
    assert_ne!(server.process(), before);
    assert_eq!(database.psql("SELECT n FROM kept"), "7\n");
    server.kill();
    server.restart();
    assert_eq!(database.psql("SELECT n FROM kept"), "7\n");
}

#[test]
fn a_frozen_server_answers_nobody_and_goes_on_afterwards() {
    let server = Postgres::start_alone("");
    let database = server.database();
    let frozen = server.freeze();
    let mut asking = std::process::Command::new("psql")
        .args([&database.url(), "-Atc", "SELECT 1"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("psql runs");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process())).expect("it is there");
    assert!(stat.contains(") T "), "{stat}");
    assert!(asking.try_wait().expect("psql is our child").is_none());
    drop(frozen);
    assert!(asking.wait().expect("psql is our child").success());
}

#[test]
fn a_replica_follows_and_takes_over() {
    let primary = Postgres::start_alone("");
    let database = primary.database();
    let replica = primary.replica();
    database.psql("CREATE TABLE followed AS SELECT 7 AS n");
    let copy = database.on(&replica);
    let there = "SELECT to_regclass('followed') IS NOT NULL";
    wait_for(Duration::from_mins(1), || copy.psql(there) == "t\n");
    assert_eq!(copy.psql("SELECT pg_is_in_recovery()"), "t\n");
    primary.stop();
    copy.psql("SELECT pg_promote()");
    assert_eq!(copy.psql("SELECT pg_is_in_recovery(); INSERT INTO followed VALUES (8)"), "f\n");
}

#[test]
fn a_proxy_stands_before_a_server() {
    let database = Postgres::start().database();
    let proxy = FaultProxy::start(database.server());
    let output =
        std::process::Command::new("psql").args([&database.url_through(&proxy), "-Atc", "SELECT 7"]).output();
    assert_eq!(output.expect("psql runs").stdout, b"7\n");
}

#[test]
fn a_server_with_a_port_answers_there_and_keeps_it_over_a_restart() {
    let server = Postgres::start_tcp("");
    let database = server.database();
    let ask =
        |url: &str| std::process::Command::new("psql").args([url, "-Atc", "SELECT 7"]).output().unwrap();
    for url in [database.url_tcp(), database.url()] {
        assert_eq!(ask(&url).stdout, b"7\n", "{url}");
    }
    server.stop();
    assert!(!ask(&database.url_tcp()).status.success());
    server.restart();
    assert_eq!(ask(&database.url_tcp()).stdout, b"7\n");
}

#[test]
fn a_server_speaks_tls_and_its_authority_vouches_for_it() {
    let server = Postgres::start_tls();
    let database = server.database();
    let url =
        format!("{}?sslmode=verify-full&sslrootcert={}", database.url_tcp(), server.authority().display());
    let ask = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let output = std::process::Command::new("psql").args([&url, "-Atc", ask]).output().unwrap();
    assert!(output.stdout.starts_with(b"TLSv1."), "{output:?}");
}
