//! Readings of a real server.

mod statements;
mod tables;

use std::{sync::Arc, time::Duration};

use veritas_database::server::{NotRead, ServerReading};
use veritas_model::SystemClock;
use veritas_postgres::{
    session::{ConnectOptions, Session},
    view::View,
};
use veritas_testkit::{Database, Postgres, wait_for};

/// A bound for what must not hang; never what is measured.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tests on a busy machine want answers, and force time-outs where they want those.
fn view() -> View {
    View::new("shop", Arc::new(SystemClock::new())).within(PATIENCE)
}

fn read(url: &str) -> ServerReading {
    view().read(&mut Session::connect(&ConnectOptions::new(url)).expect("the server is there"))
}

fn writing(database: &Database) -> Session {
    let options = ConnectOptions {
        statement_timeout: Duration::ZERO,
        lock_timeout: Duration::ZERO,
        idle_in_transaction_timeout: Duration::ZERO,
        ..ConnectOptions::new(database.url())
    };
    let mut session = Session::connect_writing(&options).expect("the server is there");
    session.batch("SET application_name = 'shop'").expect("a name is taken");
    session.within(PATIENCE);
    session
}

#[test]
fn a_reading_says_which_server_it_is() {
    let database = Postgres::start().database();
    database.extension("hypopg");
    let reading = read(&database.url());
    assert_eq!((reading.name.as_str(), reading.engine.as_str()), ("shop", "postgresql"));
    assert_eq!(reading.database, database.name());
    let version = database.psql("SHOW server_version");
    assert!(version.starts_with(&reading.version), "{version} {}", reading.version);
    assert!(reading.uptime.is_some() && !reading.is_replica);
    assert!(reading.transaction_id_age.is_some_and(|age| age < 1_000_000));
    assert!(reading.extensions.iter().any(|(name, _)| name == "hypopg"), "{:?}", reading.extensions);
}

#[test]
fn settings_are_those_of_a_session_that_sets_nothing() {
    let server = Postgres::start_alone("work_mem = '5MB'\nrandom_page_cost = 1.5");
    let database = server.database();
    let name = database.name().to_owned();
    let setting = |name: &str| {
        let settings = read(&database.url()).settings.expect("everybody may see settings");
        settings.into_iter().find(|setting| setting.name == name)
    };
    let work_mem = setting("work_mem").expect("it is told");
    assert_eq!((work_mem.value.as_str(), work_mem.unit.as_deref()), ("5120", Some("kB")));
    assert_eq!(work_mem.source, "configuration file");
    // Ours hides what the file says; what the database says is known all the same.
    assert_eq!(setting("statement_timeout"), None);
    database.psql(&format!("ALTER DATABASE {name} SET statement_timeout = '7min'"));
    let limit = setting("statement_timeout").expect("it is told");
    assert_eq!((limit.value.as_str(), limit.source.as_str()), ("7min", "database or role"));
}

#[test]
fn the_session_is_left_as_it_was() {
    let database = Postgres::start().database();
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let show = "SELECT current_setting('search_path'), current_setting('statement_timeout')";
    let before = session.simple(show).unwrap();
    let _reading = view().read(&mut session);
    assert_eq!(session.simple(show).unwrap(), before);
}

#[test]
fn a_role_whose_path_leads_astray_reads_the_same() {
    let database = Postgres::start().database();
    let url = database.role(
        "astray",
        "CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO {role};
         CREATE VIEW trap.pg_extension AS SELECT 'fake'::name AS extname, '9'::text AS extversion;
         GRANT SELECT ON trap.pg_extension TO {role};
         ALTER ROLE {role} SET search_path = trap, pg_catalog",
    );
    let reading = read(&url);
    assert!(reading.extensions.iter().all(|(name, _)| name != "fake"), "{:?}", reading.extensions);
    assert!(reading.tables.is_ok() && reading.indexes.is_ok());
}

#[test]
fn a_role_without_rights_loses_what_others_do_and_nothing_else() {
    let database = Postgres::start().database_with("CREATE TABLE orders (id int PRIMARY KEY)");
    database.extension("pg_stat_statements");
    let other = writing(&database);
    let bare = database.role("bare", "");
    let reading = read(&bare);
    let role = format!("{}_bare", database.name());
    let asks_for_right = |section: Option<&NotRead>| {
        let Some(NotRead::Forbidden { grant, .. }) = section else { panic!("{section:?}") };
        assert_eq!(grant, &format!("GRANT pg_read_all_stats TO \"{role}\""));
    };
    asks_for_right(reading.activity.as_ref().err());
    asks_for_right(reading.connections.as_ref().err());
    asks_for_right(reading.statements.as_ref().err());
    assert_eq!(reading.tables.as_ref().unwrap()[0].name, "orders");
    assert_eq!(reading.indexes.as_ref().unwrap()[0].name, "orders_pkey");
    assert!(reading.settings.is_ok() && reading.locks.is_ok() && reading.replication.is_ok());

    database.psql(&format!("GRANT pg_read_all_stats TO {role}"));
    let reading = read(&bare);
    assert!(reading.activity.is_ok() && reading.connections.is_ok() && reading.statements.is_ok());
    drop(other);
}

#[test]
fn sessions_are_shown_without_literals_and_without_ours() {
    let database = Postgres::start().database_with("CREATE TABLE users (email text)");
    let mut idle = writing(&database);
    idle.batch("BEGIN; SELECT count(*) FROM users WHERE email = 'ada@example.org'").unwrap();
    let reading = read(&database.url());
    let activity = reading.activity.as_ref().expect("the owner may see all");
    assert_eq!(activity.states, [("idle in transaction".to_owned(), 1)]);
    let [session] = &activity.sessions[..] else { panic!("{activity:?}") };
    assert_eq!((session.user.as_deref(), session.application.as_deref()), (Some("postgres"), Some("shop")));
    assert_eq!(session.state, "idle in transaction");
    assert!(session.transaction.is_some() && session.in_state.is_some());
    let text = session.statement.as_deref().expect("the owner may see it");
    assert!(text.contains("users") && !format!("{reading:?}").contains("ada@"), "{text}");
    let connections = reading.connections.as_ref().unwrap();
    assert!(connections.idle_in_transaction >= 1 && connections.total >= 2, "{connections:?}");
    assert_eq!((connections.max, connections.reserved), (100, 3));
}

#[test]
fn who_waits_is_shown_with_whom_for() {
    let database = Postgres::start()
        .database_with("CREATE TABLE stock (id int, n int); INSERT INTO stock VALUES (1, 5)");
    let mut holder = writing(&database);
    holder.batch("BEGIN; UPDATE stock SET n = 4 WHERE id = 1").unwrap();
    let mut waiter = writing(&database);
    let waiting = std::thread::spawn(move || waiter.batch("UPDATE stock SET n = 3 WHERE id = 1"));
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let locks = wait_for(PATIENCE, || view().read(&mut session).locks.ok().filter(|locks| !locks.is_empty()));
    let [lock] = &locks[..] else { panic!("{locks:?}") };
    assert_eq!(lock.object, "transactionid");
    assert_eq!(lock.mode, "ShareLock");
    assert_eq!(lock.waiting.statement.as_deref(), Some("update stock set n = ? where id = ?"));
    assert_eq!(lock.blockers[0].state, "idle in transaction");
    assert!(lock.waited.is_some());
    holder.batch("COMMIT").unwrap();
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_table_that_somebody_has_locked_takes_nothing_else_away() {
    let schema = "CREATE TABLE free (id int PRIMARY KEY); CREATE TABLE held (id int PRIMARY KEY);
                  INSERT INTO held SELECT generate_series(1, 1000); ANALYZE held";
    let database = Postgres::start().database_with(schema);
    let mut holder = writing(&database);
    holder.batch("BEGIN; LOCK TABLE held").unwrap();
    let reading = read(&database.url());
    let tables = reading.tables.expect("locks are not waited for");
    let held = tables.iter().find(|table| table.name == "held").expect("it is there");
    assert!(held.size.get() > 0 && held.rows == Some(1_000), "{held:?}");
    let indexes = reading.indexes.expect("locks are not waited for");
    assert!(indexes.iter().any(|index| index.name == "free_pkey"));
}

#[test]
fn replicas_slots_and_the_own_lag_are_told() {
    let primary = Postgres::start_alone("");
    let database = primary.database();
    database.psql("SELECT pg_create_physical_replication_slot('left_behind', true)");
    let replica = primary.replica();
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    let replication = wait_for(PATIENCE, || {
        let replication = view().read(&mut session).replication.expect("the owner may see it");
        Some(replication)
            .filter(|replication| replication.replicas.iter().any(|replica| replica.state == "streaming"))
    });
    let [slot] = &replication.slots[..] else { panic!("{replication:?}") };
    assert_eq!((slot.name.as_str(), slot.active), ("left_behind", false));
    assert!(slot.held_back.is_some() && replication.own_lag.is_none());

    let reading = read(&database.on(&replica).url());
    assert!(reading.is_replica);
    assert!(reading.replication.expect("the owner may see it").own_lag.is_some());
}

#[test]
fn a_session_that_is_lost_says_so_in_every_part() {
    let server = Postgres::start_alone("");
    let database = server.database();
    let mut session = Session::connect(&ConnectOptions::new(database.url())).unwrap();
    server.stop();
    let reading = view().read(&mut session);
    assert!(matches!(reading.tables, Err(NotRead::Unreachable { .. })), "{:?}", reading.tables);
    assert!(matches!(reading.statements, Err(NotRead::Unreachable { .. })), "{:?}", reading.statements);
}
