//! Sessions: limits on both sides, and errors that tell what happened and no secret.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::mpsc, time::Duration};

use tokio_postgres::types::Type;
use veritas_postgres::session::{ConnectOptions, Session, SessionError};
use veritas_testkit::{Database, Fault, FaultProxy, Postgres, wait_for};

/// A bound for what must not hang; never what is measured.
const PATIENCE: Duration = Duration::from_mins(1);

fn database() -> Database {
    Postgres::start().database()
}

fn connect(database: &Database) -> Session {
    Session::connect(&ConnectOptions::new(database.url())).expect("the server is there")
}

/// Runs `work` on a thread of its own, and fails when it does not end.
fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    result.recv_timeout(PATIENCE).expect("it ends")
}

#[test]
fn rows_come_back_in_every_way_of_asking() {
    let database = database();
    let mut session = connect(&database);
    let rows = session.query("SELECT $1::int4 + 1, 'a'", &[&41]).unwrap();
    assert_eq!((rows[0].get::<_, i32>(0), rows[0].get::<_, &str>(1)), (42, "a"));
    let rows = session.query_typed("SELECT $1", &[(&"b", Type::TEXT)]).unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "b");
    let rows = session.simple("SELECT 1, NULL; SELECT 2").unwrap();
    assert_eq!(rows, [vec![Some("1".to_owned()), None], vec![Some("2".to_owned())]]);
    assert!(session.version() >= 130_000 && !session.is_lost());
    assert!(session.version_text().starts_with(&(session.version() / 10_000).to_string()));
}

#[test]
fn the_limits_hold_from_the_first_statement_on() {
    let database = database();
    let mut session = connect(&database);
    let mut show = |name: &str| session.simple(&format!("SHOW {name}")).unwrap()[0][0].clone().unwrap();
    assert_eq!(show("statement_timeout"), "5s");
    assert_eq!(show("lock_timeout"), "100ms");
    assert_eq!(show("idle_in_transaction_session_timeout"), "30s");
    assert_eq!(show("default_transaction_read_only"), "on");
    assert_eq!(show("application_name"), "veritas");
}

#[test]
fn a_session_for_reading_does_not_write_and_one_for_writing_does() {
    let database = database();
    let mut reading = connect(&database);
    let refused = reading.batch("CREATE TABLE t (n int)").unwrap_err();
    assert_eq!(refused.code(), Some("25006"), "{refused}");
    let mut writing = Session::connect_writing(&ConnectOptions::new(database.url())).unwrap();
    writing.batch("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)").unwrap();
    assert_eq!(writing.execute("DELETE FROM t WHERE n = $1", &[&1]).unwrap(), 1);
    assert_eq!(reading.query("SELECT n FROM t", &[]).unwrap().len(), 1);
}

#[test]
fn the_server_ends_a_statement_that_takes_too_long_and_the_session_goes_on() {
    let database = database();
    let mut session = connect(&database);
    session.batch("SET statement_timeout = '50ms'").unwrap();
    let late = session.within(PATIENCE).query("SELECT pg_sleep(3600)", &[]).unwrap_err();
    assert_eq!(late, SessionError::TimedOut);
    assert!(!session.is_lost());
    session.batch("SET statement_timeout = 0").unwrap();
}

#[test]
fn past_our_own_deadline_the_statement_is_cancelled_and_the_session_is_lost() {
    let database = database();
    let options = ConnectOptions { statement_timeout: Duration::ZERO, ..ConnectOptions::new(database.url()) };
    let mut session = Session::connect(&options).unwrap();
    let late = session.within(Duration::from_millis(50)).query("SELECT pg_sleep(3600)", &[]).unwrap_err();
    assert_eq!(late, SessionError::TimedOut);
    assert!(session.is_lost());
    assert_eq!(session.query("SELECT 1", &[]).unwrap_err(), SessionError::Lost);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas' \
                   AND datname = current_database() AND state = 'active'";
    wait_for(PATIENCE, || database.psql(running) == "0\n");
}

#[test]
fn a_lock_that_somebody_has_is_not_waited_for() {
    let database = database();
    database.psql("CREATE TABLE held (n int)");
    let mut holder = Session::connect_writing(&ConnectOptions::new(database.url())).unwrap();
    holder.batch("BEGIN; LOCK TABLE held").unwrap();
    let mut session = connect(&database);
    let refused = session.query("SELECT * FROM held", &[]).unwrap_err();
    assert_eq!(refused, SessionError::LockNotAvailable);
    assert_eq!(refused.code(), Some("55P03"));
    assert!(!session.is_lost());
}

#[test]
fn refusals_name_objects_and_no_values() {
    let database = database();
    database.psql("CREATE TABLE closed (n int UNIQUE)");
    let mut session = Session::connect(&ConnectOptions::new(database.role("bare", ""))).unwrap();
    let denied = session.query("SELECT * FROM closed", &[]).unwrap_err();
    assert!(
        matches!(&denied, SessionError::Denied { code, message }
        if code == "42501" && message == "permission denied for table closed"),
        "{denied:?}"
    );
    let missing = session.query("SELECT * FROM nowhere", &[]).unwrap_err();
    assert!(
        matches!(&missing, SessionError::Refused { code, message }
        if code == "42P01" && message.contains("nowhere")),
        "{missing:?}"
    );
    for sql in
        ["SELECT 'hunter2'::int", "SELECT 1 'hunter2' 2 hunter2", "DO $$ BEGIN RAISE 'hunter2'; END $$"]
    {
        let shown = format!("{0} {0:?}", session.batch(sql).unwrap_err());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let wrong = session.query("SELECT $1::int8", &[&"text"]).unwrap_err();
    assert!(matches!(wrong, SessionError::Answer { .. }), "{wrong:?}");
}

#[test]
fn who_cannot_be_reached_and_who_may_not_log_in_are_told_apart() {
    let nobody = Session::connect(&ConnectOptions::new("postgresql://u:hunter2@%2Fnowhere/x")).unwrap_err();
    assert!(
        matches!(&nobody, SessionError::Unreachable { reason } if !reason.contains("hunter2")),
        "{nobody}"
    );
    let database = database();
    let stranger = Session::connect(&ConnectOptions::new(database.url_as("stranger"))).unwrap_err();
    assert_eq!(stranger.code(), Some("28000"), "{stranger}");
    let elsewhere = ConnectOptions::new(database.url()).in_database("nowhere").unwrap();
    assert_eq!(Session::connect(&elsewhere).unwrap_err().code(), Some("3D000"));
}

#[test]
fn a_password_comes_from_its_file() {
    let folder = veritas_testkit::data_dir();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let rules = folder.path().join("hba.conf");
    fs::write(&rules, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o644)).unwrap();
    let server = Postgres::start_alone(&format!("hba_file = '{}'", rules.display()));
    let database = server.database();
    let url = database.role("locked", "ALTER ROLE {role} PASSWORD 'right one'");
    let with = |password: Option<&str>| {
        let mut options = ConnectOptions::new(url.clone());
        if let Some(password) = password {
            let path = folder.path().join("password");
            fs::write(&path, password).unwrap();
            options.password_file = Some(path);
        }
        Session::connect(&options).map(drop)
    };
    with(Some("right one\n")).unwrap();
    for wrong in [with(Some("wrong one\n")), with(None)] {
        let denied = wrong.unwrap_err();
        assert!(matches!(&denied, SessionError::Denied { code, .. } if code == "28P01"), "{denied:?}");
        assert!(!format!("{denied:?}").contains("wrong one"), "{denied:?}");
    }
}

#[test]
fn a_server_that_is_stopped_loses_its_sessions_and_takes_new_ones_afterwards() {
    let server = Postgres::start_alone("");
    let database = server.database();
    let mut session = connect(&database);
    server.stop();
    assert_eq!(session.query("SELECT 1", &[]).unwrap_err(), SessionError::Lost);
    assert!(session.is_lost());
    let refused = Session::connect(&ConnectOptions::new(database.url())).unwrap_err();
    assert!(matches!(refused, SessionError::Unreachable { .. }), "{refused:?}");
    server.restart();
    assert_eq!(connect(&database).query("SELECT 1", &[]).unwrap().len(), 1);
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let server = Postgres::start_alone("");
    let database = server.database();
    let mut session = connect(&database);
    let frozen = server.freeze();
    let (late, lost) = bounded(move || {
        let late = session.within(Duration::from_millis(50)).query("SELECT 1", &[]).unwrap_err();
        (late, session.is_lost())
    });
    assert_eq!((late, lost), (SessionError::TimedOut, true));
    let options =
        ConnectOptions { connect_timeout: Duration::from_millis(50), ..ConnectOptions::new(database.url()) };
    assert_eq!(bounded(move || Session::connect(&options).unwrap_err()), SessionError::TimedOut);
    drop(frozen);
}

#[test]
fn a_network_that_swallows_everything_is_given_up() {
    let database = database();
    let proxy = FaultProxy::start(database.server());
    let mut session = Session::connect(&ConnectOptions::new(database.url_through(&proxy))).unwrap();
    proxy.set(Fault::BlackHole);
    let late = bounded(move || session.within(Duration::from_millis(50)).query("SELECT 1", &[]).unwrap_err());
    assert_eq!(late, SessionError::TimedOut);
}

#[test]
fn a_cut_connection_is_lost() {
    let database = database();
    let proxy = FaultProxy::start(database.server());
    let mut session = Session::connect(&ConnectOptions::new(database.url_through(&proxy))).unwrap();
    proxy.cut();
    assert_eq!(session.query("SELECT 1", &[]).unwrap_err(), SessionError::Lost);
    assert!(session.is_lost());
}
