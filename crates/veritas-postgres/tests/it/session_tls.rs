//! Encrypted sessions: with a server that somebody vouches for, and with none else.

use std::path::PathBuf;

use veritas_postgres::session::{ConnectOptions, Session, SessionError};
use veritas_testkit::{Database, Postgres};

const IS_ENCRYPTED: &str = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

fn connect(database: &Database, mode: &str, authority: Option<PathBuf>) -> Result<Session, SessionError> {
    let url = format!("{}?sslmode={mode}", database.url_tcp());
    Session::connect(&ConnectOptions { root_certificates: authority, ..ConnectOptions::new(url) })
}

fn is_encrypted(mut session: Session) -> bool {
    session.simple(IS_ENCRYPTED).expect("everybody may see it")[0][0].as_deref() == Some("true")
}

#[test]
fn a_server_is_talked_to_in_secret_when_its_certificate_is_trusted() {
    let server = Postgres::start_tls();
    let database = server.database();
    for mode in ["verify-full", "require", "prefer"] {
        let session = connect(&database, mode, Some(server.authority())).expect("it is trusted");
        assert!(is_encrypted(session), "{mode}");
    }
    // A certificate that nobody vouches for: refused, or in the clear where that is permitted.
    let refused = connect(&database, "require", None).unwrap_err();
    assert!(
        matches!(&refused, SessionError::Unreachable { reason } if reason.contains("certificate")),
        "{refused}"
    );
    assert!(!is_encrypted(connect(&database, "prefer", None).expect("it is permitted")));
    assert!(!is_encrypted(connect(&database, "disable", None).expect("it is permitted")));
}

#[test]
fn a_statement_is_cancelled_over_an_encrypted_connection_too() {
    let server = Postgres::start_tls();
    let database = server.database();
    let url = format!("{}?sslmode=require&sslrootcert={}", database.url_tcp(), server.authority().display());
    let options = ConnectOptions { statement_timeout: std::time::Duration::ZERO, ..ConnectOptions::new(url) };
    let mut session = Session::connect(&options).expect("it is trusted");
    let late = session.within(std::time::Duration::from_millis(50)).query("SELECT pg_sleep(3600)", &[]);
    assert_eq!(late.unwrap_err(), SessionError::TimedOut);
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'veritas' AND state = 'active'";
    veritas_testkit::wait_for(std::time::Duration::from_mins(1), || database.psql(running) == "0\n");
}

#[test]
fn certificates_that_cannot_be_read_are_told_before_anything_is_sent() {
    let server = Postgres::start_tls();
    let database = server.database();
    let missing = connect(&database, "require", Some(PathBuf::from("/nowhere/ca.pem"))).unwrap_err();
    assert!(matches!(missing, SessionError::Options { .. }), "{missing:?}");
}
