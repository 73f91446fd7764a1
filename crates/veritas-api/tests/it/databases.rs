//! `/db/…` beyond the published contract: statements, indexes, locks, servers.

use std::{collections::BTreeMap, time::Duration};

use veritas_api::auth::Role;
use veritas_database::{
    fingerprint,
    server::{
        ActivityReading, Engine, IndexReading, LockReading, NotRead, PlanReading, ServerConnections,
        ServerReading, ServerStatement, SessionReading, StatementWindow,
    },
};
use veritas_model::{
    Bytes, Cause, Clock as _, Finding, FindingKind, Fingerprint, Impact, Moments, Subject, Timestamp,
};

use crate::{client::get, world::World};

const SHARED: &str = "SELECT * FROM content WHERE user_id = 7";
const FOREIGN: &str = "SELECT count(*) FROM orders WHERE state = 'open'";

fn of(sql: &str) -> (Fingerprint, String) {
    let statement = fingerprint::statement(sql);
    (statement.fingerprint, statement.text.to_string())
}

fn statement(sql: &str, calls: u64, seconds: f64) -> ServerStatement {
    let (fingerprint, normalized) = of(sql);
    let mut moments = Moments::default();
    for _ in 0..calls {
        moments.add(seconds);
    }
    ServerStatement {
        fingerprint,
        text: normalized.clone(),
        normalized,
        server_ids: vec![7],
        tables: vec!["content".into()],
        writes: false,
        seconds: moments,
        rows: 10,
        buffers_hit: 100,
        buffers_read: 5,
        temporary_written: 0,
        wal_bytes: None,
        planning_seconds: None,
    }
}

fn session(pid: i64) -> SessionReading {
    let (fingerprint, normalized) = of(FOREIGN);
    SessionReading {
        pid,
        user: Some("app".into()),
        application: None,
        state: "active".into(),
        transaction: Some(Duration::from_secs(90)),
        in_state: Some(Duration::from_secs(3)),
        wait: Some("Lock: transactionid".into()),
        statement: Some(normalized),
        fingerprint: Some(fingerprint),
    }
}

fn index(name: &str, size: u64) -> IndexReading {
    IndexReading {
        schema: "public".into(),
        table: "content".into(),
        name: name.into(),
        keys: vec!["user_id".into()],
        include: Vec::new(),
        predicate: None,
        method: "btree".into(),
        definition: format!("CREATE INDEX {name} ON public.content USING btree (user_id)"),
        size: Bytes::new(size),
        expected_size: None,
        scans: Some(0),
        scanned_at: None,
        unique: false,
        constraint: None,
        protected: None,
        valid: true,
    }
}

fn reading(read_at: Timestamp) -> ServerReading {
    ServerReading {
        name: "main".into(),
        engine: Engine::PostgreSql,
        version: "15.18".into(),
        database: "app".into(),
        read_at,
        took: Duration::from_millis(12),
        uptime: Some(Duration::from_hours(5)),
        is_replica: false,
        statements: Ok(vec![statement(SHARED, 100, 0.5), statement(FOREIGN, 3, 40.0)]),
        statements_reset_at: None,
        statements_evicted: Some(0),
        activity: Ok(ActivityReading {
            states: vec![("active".into(), 2)],
            waits: vec![("Lock: transactionid".into(), 1)],
            sessions: vec![session(41)],
        }),
        locks: Ok(vec![LockReading {
            waiting: session(42),
            blockers: vec![session(41)],
            object: "transactionid".into(),
            mode: "ShareLock".into(),
            waited: None,
        }]),
        tables: Err(NotRead::TimedOut),
        indexes: Ok(vec![index("small", 8192), index("large", 81920)]),
        settings: Ok(Vec::new()),
        replication: Err(NotRead::Forbidden {
            what: "pg_stat_replication".into(),
            grant: "GRANT pg_monitor TO app".into(),
        }),
        connections: Ok(ServerConnections {
            active: 2,
            idle: 6,
            idle_in_transaction: 0,
            total: 8,
            max: 40,
            reserved: 3,
        }),
        extensions: vec![("hypopg".into(), "1.3.1".into())],
        transaction_id_age: Some(1000),
    }
}

/// A busy world in which a server was read.
fn world() -> World {
    let world = World::busy();
    world.sources.database_servers.publish(reading(world.clock.now()));
    world
}

#[tokio::test]
async fn a_statement_shows_what_the_process_counted_beside_what_the_server_counted() {
    let world = world();
    let (router, viewer) = (world.router(), world.token(Role::Viewer));
    let list = get(&router, "/db/queries", &viewer).await.json();
    assert_eq!(list["total"], 2, "{list:#}");
    // 120 s on the server come before 50 s.
    let (first, second) = (&list["queries"][0], &list["queries"][1]);
    assert_eq!(first["fingerprint"], of(FOREIGN).0.to_string());
    assert!(first["in_process"].is_null(), "{first:#}");
    assert_eq!(first["servers"]["main"]["mean_seconds"], 40.0);
    assert_eq!(second["in_process"]["calls"], 200);
    assert_eq!(second["servers"]["main"]["calls"], 100);
    let labels = second["labels"].as_array().unwrap();
    assert_eq!(labels.len(), 3, "{labels:?}");
    let by_calls = get(&router, "/db/queries?order=calls&limit=1", &viewer).await.json();
    assert_eq!(by_calls["queries"][0]["fingerprint"], of(SHARED).0.to_string());
    assert_eq!((by_calls["queries"].as_array().unwrap().len(), &by_calls["total"]), (1, &2.into()));
}

#[tokio::test]
async fn one_statement_comes_with_its_plans_and_its_history() {
    let world = world();
    let fingerprint = of(FOREIGN).0;
    let plan = PlanReading {
        shape: 0xfeed,
        text: "Seq Scan on orders".into(),
        cost: 812.5,
        generic: true,
        first_seen_at: world.clock.now(),
        last_seen_at: world.clock.now(),
        mean_seconds: None,
    };
    let mut work = Moments::default();
    work.add(2.0);
    let window = StatementWindow { at: world.clock.now(), seconds: 10.0, work, rows: 1, buffers: 812 };
    world
        .sources
        .database_servers
        .publish_histories("main", BTreeMap::from([(fingerprint, (vec![plan], vec![window]))]));
    let (router, viewer) = (world.router(), world.token(Role::Viewer));
    let one = get(&router, &format!("/db/queries/{fingerprint}"), &viewer).await.json();
    assert_eq!(one["plans"]["main"][0]["shape"], "000000000000feed");
    assert_eq!(one["history"]["main"][0]["mean_seconds"], 2.0);
    for unknown in ["0000000000000000", "x", "%27"] {
        let answer = get(&router, &format!("/db/queries/{unknown}"), &viewer).await;
        assert_eq!(answer.problem(404), "query_unknown");
    }
}

#[tokio::test]
async fn an_index_shows_what_was_found_of_it() {
    let world = world();
    let subject = Subject::Server { name: "main".into(), part: Some("small".into()) };
    let finding = Finding {
        id: Finding::identity(FindingKind::UnusedIndex, &subject),
        kind: FindingKind::UnusedIndex,
        subject,
        cause: Cause::Index {
            table: "content".into(),
            index: "small".into(),
            detail: "never scanned".into(),
            bytes: Some(8192),
        },
        recommendation: "drop it".into(),
        impact: Impact::Low,
        evidence: Vec::new(),
        callers: Vec::new(),
        found_at: world.clock.now(),
        seen_at: world.clock.now(),
    };
    world.sources.control.put_finding(&finding).unwrap();
    let (router, viewer) = (world.router(), world.token(Role::Viewer));
    let list = get(&router, "/db/indexes", &viewer).await.json();
    let names: Vec<_> = list["indexes"].as_array().unwrap().iter().map(|index| &index["name"]).collect();
    assert_eq!(names, ["large", "small"]);
    assert_eq!(list["indexes"][0]["finding_ids"], serde_json::json!([]));
    assert_eq!(list["indexes"][1]["finding_ids"], serde_json::json!([finding.id.to_string()]));
}

#[tokio::test]
async fn what_a_server_did_not_tell_is_null_and_says_why() {
    let world = world();
    let (router, viewer) = (world.router(), world.token(Role::Viewer));
    let list = get(&router, "/db/servers", &viewer).await.json();
    let server = &list["servers"][0];
    assert!(server["replication"].is_null() && server["tables"].is_null(), "{server:#}");
    assert!(server["not_read"]["replication"].as_str().unwrap().contains("GRANT pg_monitor"));
    assert_eq!(server["connections"]["utilization"], 20.0);

    let locks = get(&router, "/db/locks", &viewer).await.json();
    let wait = &locks["servers"]["main"]["waits"][0];
    assert_eq!((&wait["waiting"]["pid"], &wait["blockers"][0]["pid"]), (&42.into(), &41.into()));
    assert!(!locks.to_string().contains("open'"), "a literal is served");
}

#[tokio::test]
async fn without_a_pool_the_servers_tell_of_the_connections() {
    let world = World::idle();
    world.sources.database_servers.publish(reading(world.clock.now()));
    let (router, viewer) = (world.router(), world.token(Role::Viewer));
    let connections = get(&router, "/db/connections", &viewer).await.json();
    assert_eq!(connections["active_connections"], 2);
    assert_eq!(connections["idle_connections"], 6);
    assert_eq!(connections["max_connections"], 40);
    assert_eq!(connections["connection_utilization"], 5.0);
    assert_eq!(connections["provenance"], "measured");
}
