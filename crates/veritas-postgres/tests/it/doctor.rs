//! A healthy server has no faults, a role without rights is told what it misses, and who is not let in hears why.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use veritas_model::{Bytes, Clock, Timestamp};
use veritas_postgres::{
    doctor::{self, Diagnosis, Limits, Severity, Storage},
    session::ConnectOptions,
};
use veritas_testkit::{Database, Postgres, VirtualClock};

/// A day on which version 15 is supported.
const DAY: f64 = 1_760_000_000.0;

/// What a server needs so that nothing is to be said of it.
const HEALTHY: &str = "
fsync = on
full_page_writes = on
autovacuum = on
track_io_timing = on
shared_preload_libraries = 'pg_stat_statements'
max_connections = 20
";

/// A schema about which nothing is to be said.
const SCHEMA: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE TABLE users(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE orders(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, state text NOT NULL
);
CREATE INDEX orders_by_user ON orders(user_id, state);
INSERT INTO users(email) SELECT 'u' || i || '@example.org' FROM generate_series(1, 2000) i;
INSERT INTO orders(user_id, state) SELECT 1 + i % 2000, 'open' FROM generate_series(1, 20000) i;
ANALYZE;";

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(VirtualClock::starting_at(Timestamp::from_seconds(DAY)))
}

pub(crate) fn as_role(database: &Database, role: &str) -> ConnectOptions {
    ConnectOptions::new(database.url().replacen("postgres@", &format!("{role}@"), 1))
}

pub(crate) fn codes(diagnosis: &Diagnosis) -> BTreeSet<&'static str> {
    diagnosis.faults.iter().map(|fault| fault.code).collect()
}

#[track_caller]
pub(crate) fn check_found(diagnosis: &Diagnosis, code: &str, seen: &str, fix: &str) {
    let Some(fault) = diagnosis.fault(code) else {
        panic!("{code} was not found in {:?}; not checked: {:?}", codes(diagnosis), diagnosis.not_checked)
    };
    let evidence = fault.evidence.join("\n");
    assert!(evidence.contains(seen), "{code}: {seen:?} is not in {evidence:?}");
    assert!(fault.fix.contains(fix), "{code}: {fix:?} is not in {:?}", fault.fix);
    assert!(!fault.title.is_empty() && !fault.detail.is_empty());
}

#[test]
fn nothing_is_said_of_a_healthy_server() {
    let database = Postgres::start_alone(HEALTHY).database_with(SCHEMA);
    database.psql(
        "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
         ALTER ROLE watcher SET statement_timeout = '30s';
         ALTER ROLE watcher SET idle_in_transaction_session_timeout = '1min'",
    );
    let limits = Limits {
        machine_memory: Some(Bytes::new(256 << 20)),
        storage: Some(Storage::Disk),
        disuse: Duration::ZERO,
        ..Limits::default()
    };
    let diagnosis = doctor::examine(&as_role(&database, "watcher"), &limits, &clock());
    assert_eq!(diagnosis.faults, [], "{diagnosis:#?}");
    assert_eq!(diagnosis.role.as_deref(), Some("watcher"));
    assert!(diagnosis.server.as_ref().is_some_and(|server| server.starts_with("PostgreSQL ")));
    let unknown: Vec<&str> = diagnosis.not_checked.iter().map(|(check, _)| check.code).collect();
    assert_eq!(unknown, ["checksum_failures", "cache_misses", "rollbacks"], "{:?}", diagnosis.not_checked);
    assert_eq!(diagnosis.passed.len() + 3, doctor::checks().count());
}

#[test]
fn every_check_has_a_code_of_its_own() {
    let codes: BTreeSet<&str> = doctor::checks().map(|check| check.code).collect();
    assert_eq!(codes.len(), doctor::checks().count());
    assert!(codes.len() >= 50, "{}", codes.len());
}

#[test]
fn a_bare_role_is_told_what_it_may_not_see() {
    let database = Postgres::start().database_with("CREATE TABLE t(id int PRIMARY KEY)");
    database.psql("DROP ROLE IF EXISTS bare; CREATE ROLE bare LOGIN");
    let diagnosis = doctor::examine(&as_role(&database, "bare"), &Limits::default(), &clock());
    check_found(&diagnosis, "sees_no_sessions", "role bare", "GRANT pg_read_all_stats TO \"bare\"");
    for code in ["long_transaction", "idle_in_transaction", "lock_wait", "replica_lag"] {
        let reason = diagnosis.not_checked.iter().find(|(check, _)| check.code == code);
        let reason = &reason.unwrap_or_else(|| panic!("{code} was checked: {diagnosis:#?}")).1;
        assert!(reason.contains("GRANT pg_read_all_stats TO \"bare\""), "{code}: {reason}");
    }
    assert!(diagnosis.passed.len() > 30, "{diagnosis:#?}");
    assert!(diagnosis.fault("superuser").is_none());
}

#[test]
fn a_version_is_judged_by_the_day() {
    let database = Postgres::start().database();
    let later = |days: f64| -> Arc<dyn Clock> {
        Arc::new(VirtualClock::starting_at(Timestamp::from_seconds(DAY + days * 86_400.0)))
    };
    let options = ConnectOptions::new(database.url());
    let ended = doctor::examine(&options, &Limits::default(), &later(3_650.0));
    assert_eq!(ended.fault("version_ended").map(|fault| fault.severity), Some(Severity::Warning));
    let now = doctor::examine(&options, &Limits::default(), &later(0.0));
    assert_eq!(now.fault("version_ended"), None);
}

#[test]
fn past_its_deadline_it_says_what_is_left() {
    /// A clock that jumps an hour at each look.
    #[derive(Debug)]
    struct Leaping(VirtualClock);
    impl Clock for Leaping {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn monotonic(&self) -> veritas_model::Monotonic {
            self.0.advance(Duration::from_hours(1));
            self.0.monotonic()
        }
    }
    let database = Postgres::start().database();
    let clock: Arc<dyn Clock> = Arc::new(Leaping(VirtualClock::new()));
    let diagnosis = doctor::examine(&ConnectOptions::new(database.url()), &Limits::default(), &clock);
    assert_eq!(diagnosis.not_checked.len(), doctor::checks().count());
    assert!(diagnosis.not_checked.iter().all(|(_, reason)| reason == "no time left"));
}

#[track_caller]
fn check_refused(url: &str, code: &str, fix: &str) {
    let options = ConnectOptions { connect_timeout: Duration::from_secs(3), ..ConnectOptions::new(url) };
    let diagnosis = doctor::examine(&options, &Limits::default(), &clock());
    let [fault] = &diagnosis.faults[..] else { panic!("{url}: {:#?}", diagnosis.faults) };
    assert_eq!((fault.code, fault.severity), (code, Severity::Critical), "{url}: {fault:#?}");
    assert!(fault.fix.contains(fix), "{fix:?} is not in {:?}", fault.fix);
    assert!(!format!("{diagnosis:?}").contains("hunter2"), "{diagnosis:#?}");
    assert_eq!(diagnosis.not_checked.len(), doctor::checks().count());
}

#[test]
fn who_is_not_let_in_hears_why() {
    let rules = veritas_testkit::data_dir();
    fs::set_permissions(rules.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = rules.path().join("pg_hba.conf");
    let lines = "local all secret scram-sha-256\nlocal all banned reject\nlocal all unlisted_elsewhere trust\n\
                 local all all trust\n";
    fs::write(&file, lines).unwrap();
    let server = Postgres::start_alone(&format!(
        "hba_file = '{}'\npassword_encryption = 'scram-sha-256'",
        file.display()
    ));
    let database = server.database();
    database.psql(
        "CREATE ROLE secret LOGIN PASSWORD 'right'; CREATE ROLE banned LOGIN; CREATE ROLE group_only; CREATE ROLE outsider LOGIN",
    );
    database.psql(&format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database.name()));
    let url = |user: &str| database.url().replacen("postgres@", &format!("{user}@"), 1);
    check_refused(&url("secret:hunter2"), "wrong_password", "\\password secret");
    check_refused(&url("secret"), "wrong_password", "\\password secret");
    check_refused(&url("banned"), "not_admitted", "pg_hba.conf");
    check_refused(&url("nobody_here"), "no_role", "CREATE ROLE \"nobody_here\" LOGIN");
    check_refused(&url("group_only"), "role_may_not_log_in", "ALTER ROLE \"group_only\" LOGIN");
    check_refused(&url("outsider"), "no_connect_right", "GRANT CONNECT ON DATABASE");
    let elsewhere = database.url().replace(database.name(), "not_there");
    check_refused(&elsewhere, "no_database", "CREATE DATABASE \"not_there\"");
    check_refused("postgresql://u:hunter2@127.0.0.1:1/x", "unreachable", "start the server");
    check_refused("postgresql://u:hunter2@host.invalid/x", "unknown_host", "correct the name");
    check_refused("mysql://u:hunter2@h/x", "address_not_understood", "postgresql://");
    let missing = ConnectOptions {
        password_file: Some(rules.path().join("none")),
        ..ConnectOptions::new(url("secret"))
    };
    let diagnosis = doctor::examine(&missing, &Limits::default(), &clock());
    assert_eq!(codes(&diagnosis), ["password_file"].into());
}

#[test]
fn a_full_server_is_told_from_a_dead_one() {
    let server =
        Postgres::start_alone("max_connections = 4\nsuperuser_reserved_connections = 1\nmax_wal_senders = 0");
    let database = server.database();
    database.psql("CREATE ROLE guest LOGIN; GRANT pg_monitor TO guest");
    let options = as_role(&database, "guest");
    let mut held: Vec<veritas_postgres::session::Session> = Vec::new();
    while held.len() < 2 {
        held.push(veritas_postgres::session::Session::connect(&options).unwrap());
    }
    let diagnosis = doctor::examine(&options, &Limits::default(), &clock());
    check_found(&diagnosis, "connections_used", " of 3 in use", "pooler");
    held.push(veritas_postgres::session::Session::connect(&options).unwrap());
    check_refused(&options.url, "too_many_connections", "max_connections");
}
