//! What is planted in a catalogue, in settings, and in sessions is found, and its decoys are not.

use std::time::Duration;

use veritas_model::Bytes;
use veritas_postgres::{
    doctor::{self, Diagnosis, Limits, Storage},
    session::{ConnectOptions, Session},
};
use veritas_testkit::{Database, Postgres, wait_for};

use crate::doctor::{as_role, check_found, clock, codes};

/// Hangs are cut off here; nothing is measured by it.
const PATIENCE: Duration = Duration::from_mins(1);

fn examine(database: &Database, limits: &Limits) -> Diagnosis {
    doctor::examine(&ConnectOptions::new(database.url()), limits, &clock())
}

/// Limits under which the small things of a test count.
fn strict() -> Limits {
    Limits {
        objects: 50,
        rows: 100,
        wasted: Bytes::new(0),
        disuse: Duration::ZERO,
        transaction: Duration::ZERO,
        idle_in_transaction: Duration::ZERO,
        lock_wait: Duration::ZERO,
        prepared: Duration::ZERO,
        held_back: Bytes::new(1),
        temporary: Bytes::new(1),
        page_requests: 1,
        transactions: 1,
        occurrences: 5,
        ..Limits::default()
    }
}

#[test]
fn planted_settings_are_found() {
    let server = Postgres::start_alone(
        "shared_preload_libraries = ''
         password_encryption = 'md5'
         effective_cache_size = '8MB'
         work_mem = '1GB'
         default_statistics_target = 10
         enable_mergejoin = off
         synchronous_standby_names = 'elsewhere'
         archive_mode = on
         archive_command = 'false'",
    );
    let database = server.database();
    for statement in [
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "ALTER SYSTEM SET max_connections = 50",
        "SELECT pg_reload_conf()",
        "CREATE TABLE t(a int)",
        "SELECT pg_switch_wal()",
    ] {
        database.psql(statement);
    }
    wait_for(PATIENCE, || database.psql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t\n");
    wait_for(PATIENCE, || {
        database.psql("SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'") == "t\n"
    });
    let limits =
        Limits { machine_memory: Some(Bytes::new(8 << 30)), storage: Some(Storage::Flash), ..strict() };
    let found = examine(&database, &limits);
    check_found(&found, "superuser", "role postgres", "veritas db grants");
    check_found(&found, "md5_passwords", "", "scram-sha-256");
    check_found(&found, "public_schema", "", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    check_found(&found, "fsync_off", "", "ALTER SYSTEM SET fsync = on");
    check_found(&found, "full_page_writes_off", "", "ALTER SYSTEM SET full_page_writes = on");
    check_found(&found, "archiver_failing", "failures", "archive_command");
    check_found(&found, "synchronous_replica_missing", "elsewhere", "synchronous_standby_names");
    check_found(&found, "statements_not_loaded", "", "shared_preload_libraries");
    check_found(&found, "statements_not_created", database.name(), "CREATE EXTENSION");
    check_found(&found, "io_not_timed", "", "track_io_timing");
    check_found(&found, "shared_buffers", "32 MiB of 8192 MiB", "'2048MB'");
    check_found(&found, "effective_cache_size", "8 MiB", "effective_cache_size");
    check_found(&found, "memory_promised", "102400 MiB of 8192 MiB", "work_mem");
    check_found(&found, "random_page_cost", "= 4", "1.1");
    check_found(&found, "statistics_target", "= 10", "100");
    check_found(&found, "planner_method_off", "enable_mergejoin", "RESET enable_mergejoin");
    check_found(&found, "settings_wait", "max_connections", "restart");
    check_found(&found, "no_statement_timeout", "role postgres", "SET statement_timeout = '30s'");
    check_found(&found, "no_idle_timeout", "role postgres", "idle_in_transaction_session_timeout");
    check_found(&found, "autovacuum_off", "autovacuum = off", "autovacuum = on");
    assert!(found.faults.is_sorted_by_key(|fault| std::cmp::Reverse(fault.severity)), "{:?}", codes(&found));
}

#[test]
fn statements_that_are_not_counted_or_forgotten_are_found() {
    let server = Postgres::start_alone(
        "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.max = 100\nshared_buffers = '16MB'",
    );
    let database = server
        .database_with("CREATE SCHEMA \"odd one\"; CREATE EXTENSION pg_stat_statements SCHEMA \"odd one\"");
    // Statements of as many columns as there are numbers: each is a kind of its own.
    let statements = (1..240).map(|columns| format!("SELECT 1{};", ", 1".repeat(columns)));
    database.psql(&statements.collect::<String>());
    let found = examine(&database, &Limits { occurrences: 1, ..strict() });
    check_found(&found, "statements_evicted", "evictions", "pg_stat_statements.max");
    assert_eq!((found.fault("statements_not_loaded"), found.fault("statements_not_created")), (None, None));
    assert_eq!(found.fault("statements_not_tracked"), None);
    database.psql("ALTER SYSTEM SET pg_stat_statements.track = 'none'");
    database.psql("SELECT pg_reload_conf()");
    wait_for(PATIENCE, || database.psql("SHOW pg_stat_statements.track") == "none\n");
    check_found(&examine(&database, &strict()), "statements_not_tracked", "", "track = 'top'");
    let other = server.database();
    check_found(&examine(&other, &strict()), "statements_not_created", other.name(), "CREATE EXTENSION");
}

/// Every defect of a catalogue, and beside each something like it that is none.
const CATALOGUE: &str = r#"
CREATE TABLE parents(id int PRIMARY KEY, name text);
INSERT INTO parents SELECT i, 'p' || i FROM generate_series(1, 500) i;
CREATE TABLE children(id int PRIMARY KEY, parent_id int REFERENCES parents, other_id int REFERENCES parents);
CREATE INDEX children_by_other ON children(other_id, id);
INSERT INTO children SELECT i, 1 + i % 500, 1 + i % 500 FROM generate_series(1, 2000) i;
CREATE TABLE "no Key"(a int);
CREATE TABLE partitioned(a int PRIMARY KEY) PARTITION BY RANGE (a);
CREATE TABLE partition_1 PARTITION OF partitioned FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE forgetful(id int PRIMARY KEY);
CREATE TABLE unclean(id int PRIMARY KEY) WITH (autovacuum_enabled = off);
ALTER TABLE children ADD CONSTRAINT unchecked CHECK (id > 0) NOT VALID;
CREATE TABLE numbered(id serial PRIMARY KEY, other int);
SELECT setval('numbered_id_seq', 2000000000);
CREATE SEQUENCE wide; CREATE TABLE narrow(id smallint PRIMARY KEY DEFAULT nextval('wide'));
SELECT setval('wide', 32000);
CREATE SEQUENCE round MAXVALUE 10 CYCLE; SELECT setval('round', 10);
CREATE TABLE indexed(id int PRIMARY KEY, a int, b int, c text, d int);
INSERT INTO indexed SELECT i, i % 100, i, 'c' || i, i FROM generate_series(1, 2000) i;
CREATE INDEX twice_1 ON indexed(b);
CREATE INDEX twice_2 ON indexed(b);
CREATE UNIQUE INDEX unique_d ON indexed(d);
CREATE INDEX beside_unique_d ON indexed(d);
CREATE INDEX beginning ON indexed(a);
CREATE INDEX whole ON indexed(a, c);
CREATE INDEX partial_a ON indexed(a) WHERE b > 5;
CREATE INDEX descending_a ON indexed(a DESC NULLS LAST);
CREATE INDEX carrying_a ON indexed(a) INCLUDE (d);
CREATE INDEX hashed_b ON indexed USING hash (b);
CREATE INDEX pattern_c ON indexed(c text_pattern_ops);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pattern_c'::regclass;
ANALYZE;
CREATE TABLE unknown_rows(id int PRIMARY KEY); INSERT INTO unknown_rows SELECT generate_series(1, 500);
CREATE TABLE changed(id int PRIMARY KEY, a int); INSERT INTO changed SELECT i, i FROM generate_series(1, 1000) i;
ANALYZE changed; UPDATE changed SET a = a + 1;
CREATE TABLE hollow(id int PRIMARY KEY, a text);
INSERT INTO hollow SELECT i, repeat('x', 200) FROM generate_series(1, 6000) i;
DELETE FROM hollow WHERE id < 5900; VACUUM ANALYZE hollow;
CREATE TABLE packed(id int PRIMARY KEY, a text);
INSERT INTO packed SELECT i, repeat('x', i % 300) FROM generate_series(1, 6000) i; ANALYZE packed;
CREATE COLLATION moved (provider = icu, locale = 'de');
CREATE TABLE sorted(id text COLLATE moved PRIMARY KEY);
UPDATE pg_collation SET collversion = '1' WHERE collname = 'moved';
CREATE EXTENSION hstore VERSION '1.7';
"#;

#[test]
fn planted_objects_are_found_and_their_decoys_are_not() {
    let database = Postgres::start().database();
    // psql runs a text of several statements as one transaction, in which VACUUM is refused.
    for statement in CATALOGUE.split_inclusive(";\n") {
        for part in statement.split_inclusive("; ") {
            database.psql(part);
        }
    }
    let found = examine(&database, &strict());
    check_found(&found, "no_primary_key", "public.\"no Key\"", "ALTER TABLE public.\"no Key\" ADD COLUMN");
    check_found(
        &found,
        "foreign_key_without_index",
        "children_parent_id_fkey",
        "ON public.children (parent_id)",
    );
    check_found(&found, "unlogged_table", "forgetful", "SET LOGGED");
    check_found(&found, "autovacuum_off_table", "unclean", "RESET (autovacuum_enabled)");
    check_found(&found, "constraint_not_valid", "unchecked", "VALIDATE CONSTRAINT unchecked");
    check_found(&found, "sequence_near_end", "numbered_id_seq: 2000000000 of 2147483647", "numbered_id_seq");
    check_found(&found, "integer_key_near_end", "narrow.id: 32000 of 32767", "ALTER COLUMN id TYPE bigint");
    check_found(&found, "integer_key_near_end", "numbered.id", "public.numbered");
    check_found(
        &found,
        "duplicate_index",
        "twice_2 is the same as twice_1",
        "DROP INDEX CONCURRENTLY public.twice_2",
    );
    check_found(
        &found,
        "duplicate_index",
        "beside_unique_d is the same as unique_d",
        "public.beside_unique_d",
    );
    check_found(&found, "redundant_index", "beginning is the beginning of whole", "public.beginning");
    check_found(&found, "unused_index", "public.whole", "DROP INDEX CONCURRENTLY");
    check_found(&found, "invalid_index", "pattern_c", "REINDEX INDEX CONCURRENTLY public.pattern_c");
    check_found(&found, "never_analyzed", "unknown_rows: 500 rows", "ANALYZE public.unknown_rows");
    check_found(&found, "stale_statistics", "changed: 1000 rows changed of 1000", "ANALYZE public.changed");
    check_found(&found, "dead_rows", "public.changed: 1000 dead rows", "VACUUM (ANALYZE) public.changed");
    check_found(&found, "table_bloat", "public.hollow", "VACUUM (FULL) public.hollow");
    check_found(&found, "index_bloat", "public.hollow_pkey", "REINDEX INDEX CONCURRENTLY");
    check_found(&found, "collation_version", "moved: made with 1", "REFRESH VERSION");
    check_found(&found, "extension_outdated", "hstore: 1.7", "ALTER EXTENSION hstore UPDATE");

    let decoys = [
        ("no_primary_key", &["partition", "parents"][..]),
        ("foreign_key_without_index", &["other_id"]),
        ("unlogged_table", &["parents"]),
        ("sequence_near_end", &["round", "wide"]),
        (
            "duplicate_index",
            &["twice_1 is", "unique_d is the same as beside", "hashed", "partial", "descending"],
        ),
        (
            "redundant_index",
            &["whole is", "partial_a", "descending_a", "carrying_a", "hashed", "unique", "pkey"],
        ),
        ("unused_index", &["pkey", "public.unique_d", "children_by_other", "pattern_c"]),
        ("invalid_index", &["twice"]),
        ("never_analyzed", &["parents", "changed"]),
        ("stale_statistics", &["parents", "unknown"]),
        ("dead_rows", &["parents", "packed"]),
        ("table_bloat", &["packed", "parents", "indexed"]),
        ("index_bloat", &["packed", "parents", "indexed", "whole"]),
    ];
    for (code, names) in decoys {
        let evidence = found.fault(code).map(|fault| fault.evidence.join("\n")).unwrap_or_default();
        let evidence = evidence.replace("beside_unique_d is the same as unique_d", "");
        for name in names {
            assert!(!evidence.contains(name), "{code} names {name}: {evidence}");
        }
    }
}

#[test]
fn ages_of_transaction_ids_are_measured_against_the_limit() {
    let database = Postgres::start().database();
    let found = examine(&database, &Limits { transaction_id_age: 0, ..strict() });
    check_found(&found, "wraparound", database.name(), "VACUUM (FREEZE");
    check_found(&found, "multixact_wraparound", database.name(), "VACUUM (FREEZE");
    assert_eq!(examine(&database, &strict()).fault("wraparound"), None);
}

#[test]
fn planted_sessions_are_found() {
    let server = Postgres::start_alone("max_prepared_transactions = 2\ndeadlock_timeout = '1h'");
    let database = server.database_with("CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    assert_eq!(
        codes(&examine(&database, &strict()))
            .intersection(
                &["long_transaction", "idle_in_transaction", "lock_wait", "prepared_transaction"].into()
            )
            .count(),
        0
    );
    let unlimited = ConnectOptions {
        statement_timeout: Duration::ZERO,
        lock_timeout: Duration::ZERO,
        idle_in_transaction_timeout: Duration::ZERO,
        ..ConnectOptions::new(database.url())
    };
    let mut holder = Session::connect_writing(&unlimited).unwrap();
    holder.batch("BEGIN; DELETE FROM t WHERE id = 1").unwrap();
    let waiter = std::thread::spawn({
        let unlimited = unlimited.clone();
        move || {
            let mut session = Session::connect_writing(&unlimited).unwrap();
            session.within(PATIENCE).batch("DELETE FROM t WHERE id = 1")
        }
    });
    wait_for(PATIENCE, || {
        database.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1\n"
    });
    database.psql("BEGIN; DELETE FROM t WHERE id = 2; PREPARE TRANSACTION 'it''s forgotten'");
    let found = examine(&database, &strict());
    check_found(&found, "idle_in_transaction", "role postgres", "pg_terminate_backend");
    check_found(&found, "lock_wait", "waits for pid", "pg_terminate_backend");
    check_found(&found, "long_transaction", "role postgres, active", "pg_terminate_backend");
    check_found(&found, "prepared_transaction", "'it''s forgotten'", "ROLLBACK PREPARED 'it''s forgotten'");
    drop(holder);
    waiter.join().unwrap().unwrap();
}

#[test]
fn what_the_server_counted_is_judged() {
    let server = Postgres::start_alone(
        "deadlock_timeout = '10ms'\nshared_buffers = '1MB'\nmax_wal_size = '2MB'\nmin_wal_size = '2MB'",
    );
    let database = server.database();
    // Filled before it has a key: each look-up of a key would count as a page that was found.
    database.psql("CREATE TABLE t AS SELECT i AS id, i AS a FROM generate_series(1, 60000) i");
    database.psql("ALTER TABLE t ADD PRIMARY KEY (id)");
    let mut session = Session::connect_writing(&ConnectOptions::new(database.url())).unwrap();
    session.batch("SET work_mem = '64kB'").unwrap();
    for _ in 0..6 {
        session.batch("CHECKPOINT").unwrap();
        session.simple("SELECT count(*) FROM (SELECT a FROM t ORDER BY a + 1 OFFSET 0) s").unwrap();
        session.batch("BEGIN; SELECT 1; ROLLBACK").unwrap();
    }
    session.batch(&"SELECT count(a) FROM t;".repeat(60)).unwrap();
    for _ in 0..5 {
        deadlock(&database);
    }
    drop(session);
    // A session tells the counters of the server when it ends, which is after we have seen it end.
    let deadlocks =
        "SELECT deadlocks >= 5 AND temp_files > 0 FROM pg_stat_database WHERE datname = current_database()";
    wait_for(PATIENCE, || database.psql(deadlocks) == "t\n");
    wait_for(PATIENCE, || database.psql("SELECT seq_scan >= 60 FROM pg_stat_user_tables") == "t\n");
    let found = examine(&database, &strict());
    check_found(&found, "temporary_files", "temporary files", "work_mem");
    check_found(&found, "deadlocks", "deadlocks", "one order");
    check_found(&found, "rollbacks", " % of ", "log");
    check_found(&found, "checkpoints_requested", "requested", "max_wal_size");
    check_found(&found, "sequential_scans", "public.t", "veritas db advise");
    check_found(&found, "cache_misses", "pages found", "shared_buffers");
}

/// Makes two transactions wait for each other; the server ends one of them.
fn deadlock(database: &Database) {
    let options = ConnectOptions {
        lock_timeout: Duration::ZERO,
        statement_timeout: Duration::ZERO,
        ..ConnectOptions::new(database.url())
    };
    let open = |id: i32| {
        let mut session = Session::connect_writing(&options).expect("it connects");
        let update = format!("BEGIN; UPDATE t SET a = 0 WHERE id = {id}");
        session.within(PATIENCE).batch(&update).expect("nobody holds the row");
        session
    };
    let (mut one, mut two) = (open(1), open(2));
    let other = std::thread::spawn(move || one.batch("UPDATE t SET a = 0 WHERE id = 2; ROLLBACK"));
    let ours = two.batch("UPDATE t SET a = 0 WHERE id = 1; ROLLBACK");
    drop(two);
    let theirs = other.join().expect("no panic");
    assert!(ours.is_err() || theirs.is_err());
}

#[test]
fn slots_that_hold_the_log_back_are_found() {
    let server = Postgres::start_alone("");
    let database = server.database();
    database.psql("SELECT pg_create_physical_replication_slot('forgotten', true)");
    database.psql("CREATE TABLE t AS SELECT generate_series(1, 1000)");
    let found = examine(&database, &strict());
    check_found(
        &found,
        "slot_inactive",
        "slot forgotten holds back",
        "pg_drop_replication_slot('forgotten')",
    );
    check_found(&found, "slot_unbounded", "forgotten", "max_slot_wal_keep_size");
    database.psql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    database.psql("SELECT pg_reload_conf()");
    wait_for(PATIENCE, || database.psql("SHOW max_slot_wal_keep_size") == "1MB\n");
    for _ in 0..4 {
        database.psql("CREATE TABLE u AS SELECT generate_series(1, 1000); DROP TABLE u");
        database.psql("SELECT pg_switch_wal()");
        database.psql("CHECKPOINT");
    }
    let found = examine(&database, &strict());
    check_found(&found, "slot_lost", "forgotten", "pg_drop_replication_slot('forgotten')");
    assert_eq!(found.fault("slot_unbounded"), None);
}

#[test]
fn replicas_that_lag_or_are_alone_are_found() {
    let primary = Postgres::start_alone("");
    let database = primary.database_with("CREATE TABLE t(a int)");
    let replica = primary.replica();
    let copy = database.on(&replica);
    wait_for(PATIENCE, || copy.psql("SELECT count(*) FROM pg_stat_wal_receiver") == "1\n");
    let found = examine(&copy, &Limits::default());
    assert_eq!((found.fault("replica_lag"), found.fault("replica_disconnected")), (None, None));
    assert!(found.server.is_some_and(|server| server.ends_with("replica")));

    copy.psql("SELECT pg_wal_replay_pause()");
    wait_for(PATIENCE, || copy.psql("SELECT pg_get_wal_replay_pause_state()") == "paused\n");
    database.psql("INSERT INTO t SELECT generate_series(1, 100)");
    wait_for(PATIENCE, || copy.psql("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") == "t\n");
    check_found(&examine(&database, &strict()), "replica_lag", "bytes behind", "network");
    let limits = Limits { replica_lag: Duration::ZERO, ..strict() };
    check_found(&examine(&copy, &limits), "replica_lag", "s behind", "network");

    primary.stop();
    wait_for(PATIENCE, || copy.psql("SELECT count(*) FROM pg_stat_wal_receiver") == "0\n");
    check_found(&examine(&copy, &strict()), "replica_disconnected", "", "primary_conninfo");
}

#[test]
fn a_role_with_limits_of_its_own_is_not_blamed() {
    let database = Postgres::start().database();
    database.psql("DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN; ALTER ROLE limited SET statement_timeout = '5s'");
    let found = doctor::examine(&as_role(&database, "limited"), &strict(), &clock());
    assert_eq!(found.fault("no_statement_timeout"), None);
    assert!(found.fault("no_idle_timeout").is_some());
}
