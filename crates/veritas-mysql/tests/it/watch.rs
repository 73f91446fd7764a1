//! The watch publishes readings and windows, and says how the server is.

use std::{net::TcpListener, sync::Arc, time::Duration};

use veritas_database::{
    fingerprint::fingerprint,
    server::{LatestReadings, NotRead},
};
use veritas_model::{Clock, Condition};
use veritas_mysql::{session::ConnectOptions, target::MySqlTarget, watch::Watch};
use veritas_testkit::{MariaDb, VirtualClock};

use crate::{SHOP, options};

fn watched(options: ConnectOptions) -> (Watch, Arc<LatestReadings>, Arc<VirtualClock>) {
    let (latest, clock) = (Arc::new(LatestReadings::default()), Arc::new(VirtualClock::new()));
    let shared: Arc<dyn Clock> = clock.clone();
    let target = MySqlTarget::new("shop", options, shared, Arc::clone(&latest));
    (Watch::new(Arc::new(target)), latest, clock)
}

#[test]
fn what_runs_between_two_readings_is_a_window() {
    let database = MariaDb::start_alone(&[]).database();
    database.sql(SHOP);
    database.sql("SELECT id FROM orders WHERE state = 'open'");
    let (mut watch, latest, clock) = watched(options(&database));
    assert_eq!(watch.tick(), Condition::Ready);
    for _ in 0..3 {
        database.sql("SELECT id FROM orders WHERE state = 'open'");
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(watch.tick(), Condition::Ready);
    let of = fingerprint("select id from orders where state = 'x'");
    let histories = latest.histories(of);
    let [(server, (_, windows))] = &histories[..] else { panic!("{histories:?}") };
    let [window] = &windows[..] else { panic!("{windows:?}") };
    assert_eq!((server.as_str(), window.work.count, window.rows), ("shop", 3, 300));
    assert!((window.seconds - 10.0).abs() < 1e-9 && window.work.sum > 0.0, "{window:?}");
    assert!(latest.get("shop").unwrap().before.is_some());
}

#[test]
fn a_server_that_goes_away_is_said_and_keeps_its_name() {
    let server = MariaDb::start_alone(&[]);
    let database = server.database();
    database.sql(SHOP);
    let (mut watch, latest, _clock) = watched(options(&database));
    assert_eq!(watch.tick(), Condition::Ready);
    let version = latest.get("shop").unwrap().reading.version.clone();
    drop((database, server));
    let Condition::Degraded(why) = watch.tick() else { panic!("it is gone") };
    assert!(!why.is_empty());
    let reading = latest.get("shop").unwrap().reading;
    assert_eq!(reading.version, version);
    assert!(matches!(reading.statements, Err(NotRead::Unreachable { .. })), "{:?}", reading.statements);
}

#[test]
fn a_server_that_never_answers_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = ConnectOptions {
        statement_timeout: Duration::from_millis(10),
        connect_timeout: Duration::from_secs(1),
        ..ConnectOptions::new(format!("mysql://me:hunter2@{address}/shop?prefer_socket=false"))
    };
    let (mut watch, latest, _clock) = watched(options);
    // The socket's own limit ends it; nobody accepts.
    let Condition::Degraded(why) = watch.tick() else { panic!("nobody answered") };
    let reading = latest.get("shop").unwrap().reading;
    assert!(reading.statements.is_err() && !format!("{why} {reading:?}").contains("hunter2"), "{why}");
}
