//! A role with exactly what is granted for a level does the work of the level, and not more.

use veritas_postgres::{
    doctor::{self, Limits},
    grants::{self, Level},
    session::{ConnectOptions, Session, SessionError, ident},
};
use veritas_testkit::{Database, Postgres};

use crate::doctor::clock;

const SCHEMA: &str = "
CREATE TABLE notes(id int PRIMARY KEY, body text);
INSERT INTO notes SELECT i, 'n' || i FROM generate_series(1, 1000) i; ANALYZE;
CREATE SEQUENCE numbers; SELECT nextval('numbers');
CREATE TABLE of_root(id int PRIMARY KEY);";

/// A database whose tables belong to an application, and a session of a role with the grants of `level`.
fn granted(server: &Postgres, level: Level, role: &str) -> (Database, Session) {
    let database = server.database_with(SCHEMA);
    let owner = format!("owner of {}", database.name());
    database.psql(&format!("CREATE ROLE {} LOGIN", ident(&owner)));
    database.psql(&format!(
        "ALTER TABLE notes OWNER TO {0}; GRANT CREATE ON SCHEMA public TO {0}",
        ident(&owner)
    ));
    for grant in grants::statements(role, database.name(), level, 150_018) {
        database.psql(&grant.sql);
    }
    let url = database.url().replacen(
        "postgres@",
        &format!("{}@", role.replace(' ', "%20").replace('"', "%22")),
        1,
    );
    let session = Session::connect_writing(&ConnectOptions::new(url)).expect("the role may log in");
    (database, session)
}

#[track_caller]
fn check_denied(session: &mut Session, sql: &str) {
    match session.batch(sql) {
        Err(SessionError::Denied { .. }) => {}
        other => panic!("{sql} was not denied: {other:?}"),
    }
}

const WRITES: [&str; 9] = [
    "INSERT INTO notes VALUES (0, '')",
    "UPDATE notes SET body = ''",
    "DELETE FROM notes",
    "TRUNCATE notes",
    "CREATE TABLE public.mine(a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
];

#[test]
fn a_role_that_observes_sees_statistics_and_no_row() {
    let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'");
    let (database, mut session) = granted(&server, Level::Observe, "odd \"observer");
    database.psql("SELECT count(*) FROM notes WHERE id > 5");
    let texts =
        session.query("SELECT query FROM pg_stat_statements WHERE query LIKE '%notes WHERE id > $1%'", &[]);
    assert_eq!(texts.unwrap().len(), 1);
    let hidden =
        session.query("SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'", &[]);
    assert_eq!(hidden.unwrap().len(), 1);
    check_denied(&mut session, "SELECT * FROM notes");
    check_denied(&mut session, "EXPLAIN SELECT * FROM notes");
    check_denied(&mut session, "CREATE DATABASE mine");
    check_denied(&mut session, "CREATE INDEX ON notes(body)");
    check_denied(&mut session, "SELECT nextval('numbers')");
    for write in WRITES {
        check_denied(&mut session, write);
    }
    let url = database.url().replacen("postgres@", "odd%20%22observer@", 1);
    let diagnosis = doctor::examine(&ConnectOptions::new(url), &Limits::default(), &clock());
    for code in
        ["superuser", "sees_no_sessions", "no_statement_timeout", "no_idle_timeout", "statements_not_created"]
    {
        assert_eq!(diagnosis.fault(code), None);
    }
    let because: Vec<_> = diagnosis.not_checked.iter().filter(|(_, why)| why.contains("GRANT")).collect();
    assert!(because.is_empty(), "{because:?}");
    let read_only =
        session.query("SELECT setting FROM pg_settings WHERE name = 'default_transaction_read_only'", &[]);
    assert_eq!(read_only.unwrap()[0].get::<_, String>(0), "off", "the session of a change says so itself");
}

#[test]
fn a_role_that_proves_reads_and_copies_and_writes_nothing() {
    let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'");
    let (database, mut session) = granted(&server, Level::Prove, "prover");
    session.batch("EXPLAIN SELECT * FROM notes WHERE id = 5").unwrap();
    assert_eq!(session.query("SELECT 1 FROM notes", &[]).unwrap().len(), 1000);
    assert_eq!(session.query("SELECT 1 FROM pg_stats WHERE tablename = 'notes'", &[]).unwrap().len(), 2);
    assert_eq!(
        session.query("SELECT 1 FROM hypopg_create_index('CREATE INDEX ON notes(body)')", &[]).unwrap().len(),
        1
    );
    session.batch("CREATE DATABASE copy_of_ours").unwrap();
    session.batch("DROP DATABASE copy_of_ours").unwrap();
    for write in WRITES {
        check_denied(&mut session, write);
    }
    check_denied(&mut session, "CREATE INDEX ON notes(body)");
    check_denied(&mut session, "EXPLAIN DELETE FROM notes");
    assert_eq!(database.psql("SELECT count(*) FROM notes"), "1000\n");
}

#[test]
fn a_role_that_applies_makes_indexes_of_its_owners_tables_only() {
    let server = Postgres::start_alone("shared_preload_libraries = 'pg_stat_statements'");
    let (database, mut session) = granted(&server, Level::Apply, "applier");
    session.batch("CREATE INDEX CONCURRENTLY veritas_notes_body ON notes(body)").unwrap();
    session.batch("DROP INDEX CONCURRENTLY veritas_notes_body").unwrap();
    check_denied(&mut session, "CREATE INDEX ON of_root(id)");
    for never in [
        "CREATE ROLE mine",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SET ROLE postgres",
    ] {
        check_denied(&mut session, never);
    }
    assert_eq!(database.psql("SELECT rolsuper FROM pg_roles WHERE rolname = 'applier'"), "f\n");
}
