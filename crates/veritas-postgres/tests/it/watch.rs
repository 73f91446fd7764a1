//! Watching a server that runs, stops, hangs, forgets, and is replaced.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use veritas_database::{
    fingerprint::fingerprint,
    server::{LatestReadings, NotRead, ServerReading, StatementWindow},
};
use veritas_model::Condition;
use veritas_postgres::{
    session::{ConnectOptions, Session},
    target::PostgresTarget,
    view::View,
    watch::Watch,
};
use veritas_testkit::{Database, Fault, FaultProxy, Postgres, VirtualClock, wait_for};

/// A bound for what must not hang; never what is measured.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longer than any pause after failures.
const LATER: Duration = Duration::from_mins(2);

struct Scene {
    clock: Arc<VirtualClock>,
    latest: Arc<LatestReadings>,
    watch: Watch,
}

impl Scene {
    /// Watches `url`; each part and each connection may take `time`.
    fn within(url: &str, time: Duration) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let options = ConnectOptions { connect_timeout: time, ..ConnectOptions::new(url) };
        let target = Arc::new(PostgresTarget::new("main", options, clock.clone()));
        let latest = Arc::new(LatestReadings::default());
        let view = View::of(&target).within(time);
        Self { clock, latest: Arc::clone(&latest), watch: Watch::new(target, latest).reading_by(view) }
    }

    fn new(database: &Database) -> Self {
        Self::within(&database.url(), PATIENCE)
    }

    fn tick(&mut self) -> Condition {
        self.clock.advance(Duration::from_secs(10));
        self.watch.tick()
    }

    /// Ticks on a thread of its own, and fails when that does not end.
    fn bounded_tick(mut self) -> (Self, Condition) {
        let (sender, result) = mpsc::channel();
        std::thread::spawn(move || {
            let condition = self.tick();
            sender.send((self, condition)).ok();
        });
        result.recv_timeout(PATIENCE).expect("a tick ends")
    }

    fn reading(&self) -> Arc<ServerReading> {
        self.latest.get("main").expect("a reading was published").reading
    }

    fn windows(&self, sql: &str) -> Vec<StatementWindow> {
        self.latest.histories(fingerprint(sql)).pop().map(|(_, (_, windows))| windows).unwrap_or_default()
    }
}

#[track_caller]
fn degraded(condition: &Condition) -> &str {
    let Condition::Degraded(reason) = condition else { panic!("it is ready") };
    reason
}

/// A server of its own: resets and stops touch all of its databases.
fn counted() -> Database {
    let database = Postgres::start_alone("").database();
    database.extension("pg_stat_statements").psql("CREATE TABLE items (id int)");
    database
}

const LOOK: &str = "SELECT id FROM items";

#[test]
fn windows_hold_what_was_called_between_two_readings() {
    let database = counted();
    let mut scene = Scene::new(&database);
    database.psql(LOOK);
    assert_eq!(scene.tick(), Condition::Ready);
    assert_eq!(scene.windows(LOOK), []);
    for _ in 0..3 {
        database.psql(LOOK);
    }
    assert_eq!(scene.tick(), Condition::Ready);
    assert_eq!(scene.tick(), Condition::Ready);
    let windows = scene.windows(LOOK);
    let [window] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((window.work.count, window.seconds, window.rows), (3, 10.0, 0));
    assert!(window.work.sum > 0.0);
    assert_eq!(window.at, scene.latest.get("main").unwrap().before.unwrap().read_at);
    assert_eq!((scene.watch.counters().sessions, scene.watch.counters().readings), (1, 3));
}

#[test]
fn a_reset_drops_the_window_and_nothing_else() {
    let database = counted();
    let mut scene = Scene::new(&database);
    database.psql(LOOK);
    scene.tick();
    database.psql("SELECT pg_stat_statements_reset()");
    for _ in 0..5 {
        database.psql(LOOK);
    }
    assert_eq!(scene.tick(), Condition::Ready);
    assert_eq!((scene.windows(LOOK), scene.watch.counters().resets), (vec![], 1));
    database.psql(LOOK);
    scene.tick();
    assert_eq!(scene.windows(LOOK)[0].work.count, 1);
}

#[test]
fn a_server_that_stops_is_said_to_be_gone_and_left_alone_for_a_while() {
    let database = counted();
    let mut scene = Scene::new(&database);
    database.psql(LOOK);
    assert_eq!(scene.tick(), Condition::Ready);
    let version = scene.reading().version.clone();
    database.server().stop();
    let gone = scene.tick();
    assert!(degraded(&gone).contains("failed to reach the server"), "{gone:?}");
    let reading = scene.reading();
    assert!(matches!(reading.tables, Err(NotRead::Unreachable { .. })), "{:?}", reading.tables);
    assert_eq!((reading.version.as_str(), reading.database.as_str()), (version.as_str(), database.name()));
    // Within the pause nobody is asked: the clock stands still.
    assert_eq!(scene.watch.tick(), gone);
    assert_eq!(scene.watch.counters().failures, 1);

    database.server().restart();
    for _ in 0..3 {
        database.psql(LOOK);
    }
    scene.clock.advance(LATER);
    assert_eq!(scene.tick(), Condition::Ready);
    // The restarted server counts on, but what it did in between is not known.
    assert_eq!((scene.windows(LOOK), scene.watch.counters().resets), (vec![], 1));
    database.psql(LOOK);
    scene.tick();
    assert_eq!(scene.windows(LOOK)[0].work.count, 1);
}

#[test]
fn a_session_that_died_between_two_ticks_is_replaced_at_once() {
    let database = counted();
    let mut scene = Scene::new(&database);
    scene.tick();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'veritas'";
    assert_eq!(database.psql(end), "t\n");
    assert_eq!(scene.tick(), Condition::Ready);
    assert_eq!((scene.watch.counters().sessions, scene.watch.counters().failures), (2, 0));
}

#[test]
fn a_server_that_hangs_is_given_up_and_found_again() {
    let database = counted();
    let scene = Scene::within(&database.url(), Duration::from_millis(200));
    // A busy machine may need more than one try to be read in so little time.
    let mut scene = Some(scene);
    let ready = |scene: &mut Option<Scene>| {
        let (after, condition) = scene.take().expect("one at a time").bounded_tick();
        after.clock.advance(LATER);
        *scene = Some(after);
        condition
    };
    wait_for(PATIENCE, || ready(&mut scene) == Condition::Ready);
    let frozen = database.server().freeze();
    let hangs = ready(&mut scene);
    assert_eq!(degraded(&hangs), "failed to get an answer in time");
    assert_eq!(scene.as_ref().unwrap().reading().locks, Err(NotRead::TimedOut));
    // And again, without a session.
    let hangs = ready(&mut scene);
    assert_eq!(degraded(&hangs), "failed to get an answer in time");
    drop(frozen);
    wait_for(PATIENCE, || ready(&mut scene) == Condition::Ready);
}

#[test]
fn bad_networks_are_given_up_and_come_back() {
    let database = counted();
    let proxy = FaultProxy::start(database.server());
    let mut scene = Scene::within(&database.url_through(&proxy), Duration::from_millis(500));
    for fault in [Fault::BlackHole, Fault::Stall, Fault::HalfOpen] {
        proxy.set(Fault::Pass);
        wait_for(PATIENCE, || {
            scene.clock.advance(LATER);
            scene.tick() == Condition::Ready
        });
        proxy.set(fault);
        let (after, condition) = scene.bounded_tick();
        assert!(!degraded(&condition).is_empty(), "{fault:?}");
        scene = after;
    }
    proxy.set(Fault::Refuse);
    proxy.cut();
    scene.clock.advance(LATER);
    assert!(degraded(&scene.tick()).contains("failed to reach the server"));
}

#[test]
fn after_a_failover_windows_start_anew() {
    let database = counted();
    let replica = database.server().replica();
    let copy = database.on(&replica);
    wait_for(PATIENCE, || copy.psql("SELECT to_regclass('items') IS NOT NULL") == "t\n");
    // Both servers in one URL, as libpq takes them: the first that answers is used.
    let folder = |server: &Postgres| server.socket_dir().to_string_lossy().replace('/', "%2F");
    let hosts = format!("{},{}", folder(database.server()), folder(&replica));
    let url = format!("postgresql://postgres@{hosts}/{}", database.name());
    let mut scene = Scene::within(&url, PATIENCE);
    database.psql(LOOK);
    assert_eq!(scene.tick(), Condition::Ready);

    database.server().stop();
    copy.psql("SELECT pg_promote()");
    for _ in 0..20 {
        copy.psql(LOOK);
    }
    assert_eq!(scene.tick(), Condition::Ready);
    assert!(!scene.reading().is_replica);
    assert_eq!((scene.windows(LOOK), scene.watch.counters().resets), (vec![], 1));
    copy.psql(LOOK);
    scene.tick();
    assert_eq!(scene.windows(LOOK)[0].work.count, 1);
}

#[test]
fn a_catalogue_that_is_locked_is_named_and_the_rest_is_there() {
    let database = counted();
    let holder =
        ConnectOptions { idle_in_transaction_timeout: Duration::ZERO, ..ConnectOptions::new(database.url()) };
    let mut holder = Session::connect_writing(&holder).expect("the server is there");
    holder.batch("BEGIN; LOCK TABLE pg_catalog.pg_constraint IN ACCESS EXCLUSIVE MODE").expect("it is free");
    let mut scene = Scene::new(&database);
    // Describing indexes needs it, and measuring a table may.
    let late = scene.tick();
    assert!(degraded(&late).starts_with("no answer in time on") && degraded(&late).contains("indexes"));
    let reading = scene.reading();
    assert_eq!(reading.indexes, Err(NotRead::TimedOut));
    assert!(reading.statements.is_ok() && reading.locks.is_ok() && reading.settings.is_ok());
    holder.batch("ROLLBACK").expect("the session is there");
    assert_eq!(scene.tick(), Condition::Ready);
}

#[test]
fn a_right_or_an_extension_that_is_missing_degrades_nothing() {
    let database = Postgres::start().database();
    let mut scene = Scene::within(&database.role("bare", ""), PATIENCE);
    assert_eq!(scene.tick(), Condition::Ready);
    assert!(matches!(scene.reading().statements, Err(NotRead::NoExtension { .. })));
}

#[test]
fn a_log_in_that_is_refused_is_told() {
    let database = counted();
    let mut scene = Scene::within(&database.url_as("stranger"), PATIENCE);
    let refused = scene.tick();
    assert!(degraded(&refused).contains("28000"), "{refused:?}");
}
