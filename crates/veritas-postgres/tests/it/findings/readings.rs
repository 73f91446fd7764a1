//! Findings of readings: each defect is planted into a healthy server, and so is what looks like one.

use std::time::Duration;

use veritas_database::server::{
    ActivityReading, Engine, IndexReading, LockReading, ReplicaReading, ReplicationReading,
    ServerConnections, ServerReading, SessionReading, SettingReading, SlotReading, TableReading,
};
use veritas_model::{Bytes, FindingKind, Timestamp};
use veritas_postgres::findings::{Thresholds, of_reading};

const MIB: u64 = 1024 * 1024;

fn session(state: &str, transaction: u64, in_state: u64) -> SessionReading {
    SessionReading {
        pid: 7,
        user: Some("app".to_owned()),
        application: Some("shop".to_owned()),
        state: state.to_owned(),
        transaction: Some(Duration::from_secs(transaction)),
        in_state: Some(Duration::from_secs(in_state)),
        wait: None,
        statement: Some("select ?".to_owned()),
        fingerprint: None,
    }
}

fn lock(waited: Option<Duration>) -> LockReading {
    LockReading {
        waiting: session("active", 5, 5),
        blockers: vec![session("idle in transaction", 20, 10)],
        object: "relation public.orders".to_owned(),
        mode: "AccessExclusiveLock".to_owned(),
        waited,
    }
}

fn table() -> TableReading {
    TableReading {
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        size: Bytes::new(100 * MIB),
        index_size: Bytes::new(50 * MIB),
        rows: Some(100_000),
        dead_rows: Some(500),
        sequential_scans: 10,
        sequential_rows: 1_000,
        index_scans: Some(1_000),
        inserted: 1_000,
        updated: 1_000,
        hot_updated: 500,
        deleted: 100,
        changed_since_analyze: Some(100),
        analyzed_at: Some(Timestamp::default()),
        vacuumed_at: Some(Timestamp::default()),
        transaction_id_age: Some(1_000_000),
    }
}

fn index(name: &str, keys: &[&str]) -> IndexReading {
    IndexReading {
        schema: "public".to_owned(),
        table: "orders".to_owned(),
        name: name.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        include: Vec::new(),
        predicate: None,
        method: "btree".to_owned(),
        definition: format!("CREATE INDEX {name} ON public.orders USING btree ({})", keys.join(", ")),
        size: Bytes::new(20 * MIB),
        expected_size: Some(Bytes::new(15 * MIB)),
        scans: Some(1_000),
        scanned_at: None,
        unique: false,
        constraint: None,
        protected: None,
        valid: true,
    }
}

fn setting(name: &str, value: &str, unit: Option<&str>) -> SettingReading {
    SettingReading {
        name: name.to_owned(),
        value: value.to_owned(),
        unit: unit.map(str::to_owned),
        source: "configuration file".to_owned(),
    }
}

fn primary() -> IndexReading {
    IndexReading {
        unique: true,
        constraint: Some("orders_pkey".to_owned()),
        protected: Some("is the primary key".to_owned()),
        ..index("orders_pkey", &["id"])
    }
}

fn healthy() -> ServerReading {
    ServerReading {
        name: "shop".to_owned(),
        engine: Engine::PostgreSql,
        version: "15.18".to_owned(),
        database: "shop".to_owned(),
        read_at: Timestamp::default(),
        took: Duration::from_millis(20),
        uptime: Some(Duration::from_hours(30 * 24)),
        is_replica: false,
        statements: Ok(Vec::new()),
        statements_reset_at: None,
        statements_evicted: None,
        activity: Ok(ActivityReading {
            sessions: vec![session("active", 2, 1)],
            ..ActivityReading::default()
        }),
        locks: Ok(Vec::new()),
        tables: Ok(vec![table()]),
        indexes: Ok(vec![primary(), index("orders_customer", &["customer_id"])]),
        settings: Ok(vec![
            setting("fsync", "on", None),
            setting("autovacuum", "on", None),
            setting("shared_buffers", "524288", Some("8kB")),
        ]),
        replication: Ok(ReplicationReading::default()),
        connections: Ok(ServerConnections {
            active: 5,
            idle: 20,
            idle_in_transaction: 1,
            total: 26,
            max: 100,
            reserved: 3,
        }),
        extensions: Vec::new(),
        transaction_id_age: Some(50_000_000),
    }
}

/// Changes a healthy reading, and expects exactly these kinds.
#[track_caller]
fn check(name: &str, change: impl FnOnce(&mut ServerReading), expected: &[FindingKind]) {
    let mut reading = healthy();
    change(&mut reading);
    let found = of_reading(&reading, None, &Thresholds::default());
    let found: Vec<FindingKind> = found.iter().map(|finding| finding.kind).collect();
    assert_eq!(found, expected, "{name}");
}

fn indexes(reading: &mut ServerReading, more: Vec<IndexReading>) {
    reading.indexes.as_mut().unwrap().extend(more);
}

fn with_table(reading: &mut ServerReading, change: impl FnOnce(&mut TableReading)) {
    change(&mut reading.tables.as_mut().unwrap()[0]);
}

#[test]
fn a_healthy_server_has_no_findings() {
    check("healthy", |_| {}, &[]);
    check(
        "nothing could be read",
        |reading| {
            let none = || veritas_database::server::NotRead::TimedOut;
            reading.activity = Err(none());
            reading.locks = Err(none());
            reading.tables = Err(none());
            reading.indexes = Err(none());
            reading.settings = Err(none());
            reading.replication = Err(none());
            reading.connections = Err(none());
        },
        &[],
    );
}

#[test]
fn sessions_that_wait_sleep_or_stay_are_found() {
    use FindingKind::{Connections, IdleInTransaction, LockWait, LongTransaction};
    let activity =
        |reading: &mut ServerReading, session| reading.activity.as_mut().unwrap().sessions.push(session);
    check("waits", |reading| reading.locks = Ok(vec![lock(Some(Duration::from_secs(5)))]), &[LockWait]);
    check(
        "idle",
        |reading| activity(reading, session("idle in transaction", 300, 200)),
        &[IdleInTransaction],
    );
    check(
        "idle after an error",
        |reading| activity(reading, session("idle in transaction (aborted)", 300, 200)),
        &[IdleInTransaction],
    );
    check("long", |reading| activity(reading, session("active", 4_000, 10)), &[LongTransaction]);
    check(
        "long, of many statements",
        |reading| activity(reading, session("idle in transaction", 4_000, 1)),
        &[LongTransaction],
    );
    // Who waits for a lock in a long transaction is told of the lock.
    check(
        "waits for long",
        |reading| {
            let waits = lock(Some(Duration::from_secs(4_000)));
            activity(reading, SessionReading { pid: waits.waiting.pid, ..session("active", 4_000, 4_000) });
            reading.locks = Ok(vec![waits]);
        },
        &[LockWait],
    );
    let taken =
        |total| move |reading: &mut ServerReading| reading.connections.as_mut().unwrap().total = total;
    check("full", taken(95), &[Connections]);
    // Decoys.
    check("waits shortly", |reading| reading.locks = Ok(vec![lock(Some(Duration::from_millis(100)))]), &[]);
    check("waits, unknown for how long", |reading| reading.locks = Ok(vec![lock(None)]), &[]);
    check("thinks", |reading| activity(reading, session("idle in transaction", 5, 3)), &[]);
    check("idle outside of a transaction", |reading| activity(reading, session("idle", 0, 90_000)), &[]);
    check("a report", |reading| activity(reading, session("active", 300, 300)), &[]);
    check("many connections", taken(70), &[]);
}

#[test]
fn indexes_that_do_not_serve_are_found() {
    use FindingKind::{DuplicateIndex, IndexBloat, InvalidIndex, RedundantIndex, UnusedIndex};
    let one = |index: IndexReading| move |reading: &mut ServerReading| indexes(reading, vec![index]);
    let unused = || IndexReading { scans: Some(0), ..index("unused", &["status"]) };
    check("unused", one(unused()), &[UnusedIndex]);
    check("invalid", one(IndexReading { valid: false, ..index("invalid", &["status"]) }), &[InvalidIndex]);
    check(
        "invalid, like another",
        one(IndexReading { valid: false, ..index("invalid", &["customer_id"]) }),
        &[InvalidIndex],
    );
    check("duplicate", one(index("orders_customer_1", &["customer_id"])), &[DuplicateIndex]);
    check("duplicate of the key", one(index("orders_id", &["id"])), &[DuplicateIndex]);
    check(
        "duplicate of a foreign key's",
        one(IndexReading {
            protected: Some("supports the foreign key orders_customer_fk".to_owned()),
            ..index("orders_customer_1", &["customer_id"])
        }),
        &[DuplicateIndex],
    );
    check("prefix", one(index("orders_customer_placed", &["customer_id", "placed"])), &[RedundantIndex]);
    check("prefix of the other", one(index("a", &["customer_id", "placed", "status"])), &[RedundantIndex]);
    check(
        "carried by the other",
        one(IndexReading { include: vec!["total".to_owned()], ..index("covering", &["customer_id"]) }),
        &[RedundantIndex],
    );
    check(
        "bloated",
        one(IndexReading { size: Bytes::new(60 * MIB), ..index("bloated", &["status"]) }),
        &[IndexBloat],
    );
}

#[test]
fn indexes_that_differ_from_a_defect_by_one_thing_are_left_alone() {
    let one = |index: IndexReading| move |reading: &mut ServerReading| indexes(reading, vec![index]);
    let unused = || IndexReading { scans: Some(0), ..index("unused", &["status"]) };
    check("unique, unused", one(IndexReading { unique: true, ..unused() }), &[]);
    check("of a constraint, unused", one(IndexReading { constraint: Some("c".to_owned()), ..unused() }), &[]);
    check(
        "of a foreign key, unused",
        one(IndexReading { protected: Some("supports the foreign key f".to_owned()), ..unused() }),
        &[],
    );
    check("small, unused", one(IndexReading { size: Bytes::new(8192), ..unused() }), &[]);
    check("used once", one(IndexReading { scans: Some(1), ..unused() }), &[]);
    check("use unknown", one(IndexReading { scans: None, ..unused() }), &[]);
    check(
        "unused for a day",
        |reading| {
            reading.uptime = Some(Duration::from_hours(24));
            indexes(reading, vec![unused()]);
        },
        &[],
    );
    check(
        "unused here, with a replica",
        |reading| {
            reading.replication.as_mut().unwrap().replicas.push(replica(0, 0));
            indexes(reading, vec![unused()]);
        },
        &[],
    );
    check(
        "unused on a replica",
        |reading| {
            reading.is_replica = true;
            indexes(reading, vec![unused()]);
        },
        &[],
    );
    check("another order", one(index("descending", &["customer_id DESC"])), &[]);
    check("another class", one(index("patterns", &["customer_id text_pattern_ops"])), &[]);
    check("another collation", one(index("collated", &["customer_id COLLATE \"C\""])), &[]);
    check(
        "another method",
        one(IndexReading { method: "hash".to_owned(), ..index("hashed", &["customer_id"]) }),
        &[],
    );
    check(
        "partial",
        one(IndexReading {
            predicate: Some("(status = 'open')".to_owned()),
            ..index("partial", &["customer_id"])
        }),
        &[],
    );
    check("not the first key", one(index("second", &["placed", "customer_id"])), &[]);
    check(
        "unique prefix",
        |reading| {
            reading.indexes = Ok(vec![
                IndexReading { unique: true, ..index("u", &["code"]) },
                index("wide", &["code", "placed"]),
            ]);
        },
        &[],
    );
    check(
        "both guarantee something",
        |reading| {
            let unique = |name: &str| IndexReading {
                unique: true,
                constraint: Some(name.to_owned()),
                protected: Some("enforces that values are unique".to_owned()),
                ..index(name, &["code"])
            };
            reading.indexes = Ok(vec![unique("one"), unique("other")]);
        },
        &[],
    );
    check(
        "far wider",
        one(IndexReading {
            size: Bytes::new(500 * MIB),
            expected_size: None,
            ..index("wide", &["customer_id", "note"])
        }),
        &[],
    );
    check(
        "of another table",
        one(IndexReading { table: "others".to_owned(), ..index("others", &["customer_id"]) }),
        &[],
    );
}

#[test]
fn an_index_that_is_a_little_larger_is_left_alone() {
    let one = |index: IndexReading| move |reading: &mut ServerReading| indexes(reading, vec![index]);
    check(
        "a little bloated",
        one(IndexReading { size: Bytes::new(25 * MIB), ..index("b", &["status"]) }),
        &[],
    );
    check(
        "small, bloated",
        one(IndexReading {
            size: Bytes::new(MIB),
            expected_size: Some(Bytes::new(8192)),
            ..index("small", &["status"])
        }),
        &[],
    );
}

#[test]
fn tables_out_of_order_are_found() {
    use FindingKind::{StaleStatistics, TableBloat, Wraparound};
    let table =
        |change: fn(&mut TableReading)| move |reading: &mut ServerReading| with_table(reading, change);
    check("changed", table(|table| table.changed_since_analyze = Some(60_000)), &[StaleStatistics]);
    check(
        "never analysed",
        table(|table| {
            table.rows = None;
            table.analyzed_at = None;
        }),
        &[StaleStatistics],
    );
    check("dead rows", table(|table| table.dead_rows = Some(80_000)), &[TableBloat]);
    check("old", |reading| reading.transaction_id_age = Some(1_500_000_000), &[Wraparound]);
    check("changed a little", table(|table| table.changed_since_analyze = Some(5_000)), &[]);
    check(
        "small, all changed",
        table(|table| {
            table.rows = Some(100);
            table.changed_since_analyze = Some(500);
        }),
        &[],
    );
    check(
        "new and empty",
        table(|table| {
            table.rows = None;
            table.analyzed_at = None;
            table.size = Bytes::new(8192);
            table.changed_since_analyze = None;
        }),
        &[],
    );
    check("some dead rows", table(|table| table.dead_rows = Some(15_000)), &[]);
    check(
        "small, all dead",
        table(|table| {
            table.rows = Some(0);
            table.dead_rows = Some(2_000);
        }),
        &[],
    );
    check("of an age", |reading| reading.transaction_id_age = Some(250_000_000), &[]);
    check(
        "a replica has no say",
        |reading| {
            reading.is_replica = true;
            with_table(reading, |table| table.dead_rows = Some(80_000));
        },
        &[],
    );
}

fn replica(lag: u64, behind: u64) -> ReplicaReading {
    ReplicaReading {
        name: "standby".to_owned(),
        state: "streaming".to_owned(),
        behind: Some(Bytes::new(behind)),
        lag: Some(Duration::from_secs(lag)),
    }
}

fn slot(active: bool, held: u64) -> SlotReading {
    SlotReading { name: "slot".to_owned(), active, held_back: Some(Bytes::new(held)) }
}

#[test]
fn settings_that_are_surely_wrong_and_replicas_that_lag_are_found() {
    use FindingKind::{Replication, ServerSetting};
    let set = |name: &'static str, value: &'static str| {
        move |reading: &mut ServerReading| {
            let settings = reading.settings.as_mut().unwrap();
            settings.retain(|setting| setting.name != name);
            settings.push(setting(name, value, (name == "shared_buffers").then_some("8kB")));
        }
    };
    for (name, value) in [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
        ("track_counts", "off"),
        ("enable_seqscan", "off"),
        ("enable_nestloop", "off"),
        ("zero_damaged_pages", "on"),
    ] {
        check(name, set(name, value), &[ServerSetting]);
    }
    let large =
        |reading: &mut ServerReading| with_table(reading, |table| table.size = Bytes::new(20 * 1024 * MIB));
    check(
        "small buffers, much data",
        |reading| {
            set("shared_buffers", "16384")(reading);
            large(reading);
        },
        &[ServerSetting],
    );
    let replicas = |lag, behind| {
        move |reading: &mut ServerReading| {
            reading.replication.as_mut().unwrap().replicas.push(replica(lag, behind));
        }
    };
    let slots = |active, held| {
        move |reading: &mut ServerReading| {
            reading.replication.as_mut().unwrap().slots.push(slot(active, held));
        }
    };
    check("lags", replicas(300, MIB), &[Replication]);
    check("abandoned slot", slots(false, 5 * 1024 * MIB), &[Replication]);
    check(
        "lags itself",
        |reading| {
            reading.is_replica = true;
            reading.replication.as_mut().unwrap().own_lag = Some(Duration::from_mins(15));
        },
        &[Replication],
    );
    // Decoys.
    check("a choice", set("synchronous_commit", "off"), &[]);
    check("another choice", set("jit", "off"), &[]);
    check("small buffers, little data", set("shared_buffers", "16384"), &[]);
    check("much data, large buffers", large, &[]);
    check("keeps up", replicas(1, MIB), &[]);
    check("late since nothing is written", replicas(300, 0), &[]);
    check("a slot that is read", slots(true, 5 * 1024 * MIB), &[]);
    check("a slot that holds back little", slots(false, MIB), &[]);
    check(
        "a replica a little late",
        |reading| {
            reading.is_replica = true;
            reading.replication.as_mut().unwrap().own_lag = Some(Duration::from_secs(20));
        },
        &[],
    );
}
