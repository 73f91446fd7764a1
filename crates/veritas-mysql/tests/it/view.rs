//! What a reading shows, what is switched off, and what is found in it.

use std::time::Duration;

use veritas_database::{
    fingerprint::fingerprint,
    server::{Engine, NotRead},
};
use veritas_model::{FindingKind, Timestamp};
use veritas_mysql::{
    findings::{self, FindingOptions},
    guard::check,
    session::{ConnectOptions, Session, SessionError},
    trial::{TrialOptions, run},
};
use veritas_testkit::{MariaDb, wait_for};

use crate::{PATIENCE, SHOP, look, options};

fn strict() -> FindingOptions {
    FindingOptions {
        disuse: Duration::ZERO,
        transaction: Duration::ZERO,
        idle_in_transaction: Duration::ZERO,
        lock_wait: Duration::ZERO,
        ..FindingOptions::default()
    }
}

#[test]
fn a_reading_holds_statements_tables_and_indexes() {
    let database = MariaDb::start_alone(&[]).database();
    database.sql(SHOP);
    for total in [5, 6, 7] {
        database.sql(&format!(
            "SELECT COUNT(*) FROM orders WHERE total + 0 = {total} AND state IN ('open', 'done')"
        ));
    }
    database.sql("SELECT * FROM orders FORCE INDEX (by_state_total) WHERE state = 'secret' AND total = 7");
    database.sql("SELECT COUNT(*) FROM orders WHERE total + user_id = 5");
    let whole = look(&options(&database));
    assert_eq!(whole.switched_off, []);
    let reading = whole.reading;
    assert_eq!((reading.engine, reading.database.as_str()), (Engine::MariaDb, database.name()));
    assert!(reading.version.starts_with("10.") || reading.version.starts_with("11."), "{}", reading.version);
    let statements = reading.statements.unwrap();
    let sought = fingerprint("select count(*) from orders where total + 0 = 1 and state in ('x')");
    let found = statements.iter().find(|statement| statement.fingerprint == sought);
    let found = found
        .unwrap_or_else(|| panic!("{:#?}", statements.iter().map(|it| &it.normalized).collect::<Vec<_>>()));
    assert_eq!((found.seconds.count, found.rows, found.writes), (3, 3, false));
    assert!(found.seconds.sum > 0.0);
    assert_eq!(found.tables, ["orders"]);
    assert!(!format!("{statements:?}").contains("secret"), "a literal was kept");
    assert!(
        statements
            .iter()
            .any(|statement| statement.writes && statement.tables.iter().any(|table| table == "orders"))
    );

    let tables = reading.tables.unwrap();
    let orders = tables.iter().find(|table| table.name == "orders").unwrap();
    assert!(
        orders.rows.unwrap() > 4_000 && orders.inserted == 5_000 && orders.sequential_rows > 0,
        "{orders:?}"
    );
    let indexes = reading.indexes.unwrap();
    let of = |name: &str| indexes.iter().find(|index| index.name == name).unwrap();
    assert_eq!(of("by_state_total").keys, ["state", "total"]);
    assert_eq!(of("by_total").keys, ["total DESC"]);
    assert!(of("by_state_total").scans > Some(0) && of("by_total").scans == Some(0));
    assert!(of("by_user").protected.as_ref().is_some_and(|why| why.contains("foreign key")));
    assert!(of("email").unique && of("by_total").size.get() > 0);
    assert!(reading.settings.unwrap().iter().any(|setting| setting.name == "innodb_buffer_pool_size"));
    assert_eq!(reading.connections.unwrap().max, 50);
    assert!(!reading.is_replica && reading.uptime.is_some());
}

#[test]
fn planted_defects_are_found_and_their_decoys_are_not() {
    let database = MariaDb::start_alone(&[]).database();
    database.sql(SHOP);
    database.sql("SELECT COUNT(*) FROM orders WHERE total + user_id = 5");
    database.sql("SELECT COUNT(*) FROM users WHERE id = 5");
    let whole = look(&options(&database));
    let found = findings::of(&whole, &strict(), Timestamp::default());
    let of = |kind: FindingKind| -> Vec<String> {
        let of_kind = found.iter().filter(|finding| finding.kind == kind);
        of_kind.map(|finding| format!("{:?} {}", finding.cause, finding.recommendation)).collect()
    };
    let duplicates = of(FindingKind::DuplicateIndex);
    assert!(duplicates.len() == 1 && duplicates[0].contains("by_state_again"), "{duplicates:?}");
    assert!(duplicates[0].contains("ALTER INDEX `by_state_again` IGNORED"), "{duplicates:?}");
    let redundant = of(FindingKind::RedundantIndex);
    assert!(redundant.len() == 1 && redundant[0].contains("\"by_state\""), "{redundant:?}");
    let unused = of(FindingKind::UnusedIndex).join("\n");
    assert!(unused.contains("by_total") && unused.contains("by_state_total"), "{unused}");
    assert!(
        !unused.contains("by_user") && !unused.contains("email") && !unused.contains("PRIMARY"),
        "{unused}"
    );
    let scans = of(FindingKind::SequentialScan);
    assert!(scans.len() == 1 && scans[0].contains("rows_read: 5000"), "{scans:?}");
    // A server that is up for a moment only says nothing of disuse.
    let calm = findings::of(&whole, &FindingOptions::default(), Timestamp::default());
    assert!(calm.iter().all(|finding| finding.kind != FindingKind::UnusedIndex));
}

#[test]
fn what_is_off_is_said_with_its_fix() {
    let database = MariaDb::start_alone(&["--performance-schema=OFF"]).database();
    database.sql(SHOP);
    let whole = look(&options(&database));
    assert!(
        whole.switched_off.iter().all(|off| off.fix == "performance_schema = ON"),
        "{:?}",
        whole.switched_off
    );
    assert!(!whole.switched_off.is_empty());
    let Err(NotRead::NotKept { reason }) = whole.reading.statements else { panic!("statements were read") };
    assert!(reason.contains("performance_schema = ON"), "{reason}");
    let indexes = whole.reading.indexes.unwrap();
    assert!(indexes.iter().all(|index| index.scans.is_none()), "what is not counted is not zero");
    assert!(whole.reading.tables.is_ok() && whole.reading.activity.is_ok());

    let uncounted =
        MariaDb::start_alone(&["--performance-schema-instrument=wait/io/table/sql/handler=OFF"]).database();
    uncounted.sql(SHOP);
    let whole = look(&options(&uncounted));
    assert!(whole.reading.indexes.unwrap().iter().all(|index| index.scans.is_none()));
    let fixes: Vec<&str> = whole.switched_off.iter().map(|off| off.fix).collect();
    assert_eq!(fixes, ["performance_schema_instrument = 'wait/io/table/sql/handler=ON'"]);
}

#[test]
fn a_user_without_rights_loses_parts_and_not_the_reading() {
    let database = MariaDb::start().database();
    database.sql(SHOP);
    let user = database.user("poor", &format!("GRANT SELECT ON {}.* TO {{user}}", database.name()));
    let whole = look(&ConnectOptions::new(database.url_as(&user)));
    assert!(whole.reading.tables.is_ok() && whole.reading.indexes.is_ok(), "{:?}", whole.reading.tables);
    let Err(NotRead::Forbidden { grant, .. }) = &whole.reading.statements else {
        panic!("{:?}", whole.reading.statements)
    };
    assert!(!grant.is_empty());
    assert!(matches!(whole.reading.locks, Err(NotRead::Forbidden { .. })), "{:?}", whole.reading.locks);
}

/// What the guide grants: to look, and to try indexes on copies.
const GRANTS: &str = "GRANT SELECT ON DATABASE.* TO {user}; GRANT SELECT ON performance_schema.* TO {user}; \
     GRANT SELECT ON mysql.innodb_index_stats TO {user}; GRANT PROCESS, SLAVE MONITOR ON *.* TO {user}; \
     GRANT ALL ON `veritas\\_scratch\\_%`.* TO {user}; GRANT BINLOG ADMIN ON *.* TO {user}";

#[test]
fn what_the_guide_grants_is_enough() {
    let database = MariaDb::start_alone(&[]).database();
    database.sql(SHOP);
    database.sql("SELECT COUNT(*) FROM orders WHERE total + user_id = 5");
    let user = database.user("guided", &GRANTS.replace("DATABASE", database.name()));
    let options = ConnectOptions::new(database.url_as(&user));
    let reading = look(&options).reading;
    assert!(reading.statements.as_ref().is_ok_and(|statements| !statements.is_empty()), "{reading:?}");
    assert!(reading.activity.is_ok() && reading.locks.is_ok() && reading.replication.is_ok(), "{reading:?}");
    assert!(reading.indexes.unwrap().iter().any(|index| index.size.get() > 0 && index.scans.is_some()));
    let sql = "SELECT id FROM orders WHERE user_id + 0 = 5 AND total = 7";
    let query = check(&mut Session::connect(&options).unwrap(), sql).unwrap();
    let trial = TrialOptions { allowed: true, ..TrialOptions::default() };
    assert!(run(&options, &query, &[], &trial).is_ok());
    let mut session = Session::connect_writing(&options).unwrap();
    assert!(session.run("UPDATE orders SET total = 0").is_err(), "it may not write");
}

#[test]
fn a_server_that_is_not_there_is_a_reading_that_says_so() {
    let whole = look(&ConnectOptions::new("mysql://root:hunter2@127.0.0.1:1/x"));
    let Err(why) = whole.reading.statements else { panic!("it was read") };
    assert!(matches!(why, NotRead::Unreachable { .. }), "{why:?}");
    assert!(!format!("{why:?} {:?}", whole.reading.locks).contains("hunter2"));
    let database = MariaDb::start().database();
    let stranger = look(&ConnectOptions::new(database.url_as("stranger_here")));
    assert!(
        matches!(stranger.reading.tables, Err(NotRead::Unreachable { .. })),
        "{:?}",
        stranger.reading.tables
    );
}

#[test]
fn who_waits_for_whom_is_shown_without_literals() {
    let server = MariaDb::start_alone(&[]);
    let database = server.database();
    database.sql(SHOP);
    let calm = findings::of(&look(&options(&database)), &strict(), Timestamp::default());
    assert!(calm.iter().all(|finding| finding.kind != FindingKind::LockWait));
    let patient =
        ConnectOptions { lock_timeout: PATIENCE, statement_timeout: PATIENCE, ..options(&database) };
    let mut holder = Session::connect_writing(&patient).unwrap();
    holder.run("BEGIN").unwrap();
    holder.run("UPDATE orders SET state = 'secret' WHERE id = 7").unwrap();
    let waiter = std::thread::spawn({
        let patient = patient.clone();
        move || {
            let mut session = Session::connect_writing(&patient).unwrap();
            session.run("UPDATE orders SET state = 'secret too' WHERE id = 7")
        }
    });
    let whole = wait_for(PATIENCE, || {
        // InnoDB shows what it showed before to whoever asks again within a tenth of a second.
        holder.run("DO sleep(0.2)").unwrap();
        let whole = look(&options(&database));
        whole.reading.locks.as_ref().is_ok_and(|locks| !locks.is_empty()).then_some(whole)
    });
    let locks = whole.reading.locks.as_ref().unwrap();
    let [lock] = &locks[..] else { panic!("{locks:#?}") };
    assert_eq!(lock.waiting.fingerprint, Some(fingerprint("UPDATE orders SET state = 'x' WHERE id = 1")));
    assert!(lock.object.contains("orders"), "{lock:?}");
    assert_eq!(lock.blockers[0].state, "idle in transaction");
    assert!(!format!("{:?}", whole.reading).contains("secret"));
    let found = findings::of(&whole, &strict(), Timestamp::default());
    let kinds: Vec<FindingKind> = found.iter().map(|finding| finding.kind).collect();
    for kind in [FindingKind::LockWait, FindingKind::IdleInTransaction, FindingKind::LongTransaction] {
        assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
    }
    holder.run("ROLLBACK").unwrap();
    waiter.join().unwrap().unwrap();
}

#[test]
fn connections_that_run_out_are_found() {
    let server = MariaDb::start_alone(&["--max-connections=10"]);
    let database = server.database();
    let held: Vec<Session> = (0..8).map(|_| Session::connect(&options(&database)).unwrap()).collect();
    let found = findings::of(&look(&options(&database)), &strict(), Timestamp::default());
    assert!(found.iter().any(|finding| finding.kind == FindingKind::Connections), "{found:#?}");
    drop(held);
}

#[test]
fn a_session_reads_only_and_ends_long_statements() {
    let database = MariaDb::start().database();
    database.sql("CREATE TABLE t(a INT PRIMARY KEY)");
    let short = ConnectOptions { statement_timeout: Duration::from_millis(50), ..options(&database) };
    let mut session = Session::connect(&short).unwrap();
    assert_eq!(session.run("INSERT INTO t VALUES (1)"), Err(SessionError::Refused { code: 1792 }));
    assert_eq!(
        session.run("SELECT COUNT(*) FROM seq_1_to_1000000 a JOIN seq_1_to_1000000 b ON a.seq + b.seq = 7"),
        Err(SessionError::TimedOut)
    );
    assert_eq!(session.query("SELECT 1, NULL").unwrap(), [vec![Some("1".to_owned()), None]]);
    let wrong = session.query("SELECT 'a secret' FROM nowhere").unwrap_err();
    assert!(!wrong.to_string().contains("secret"), "{wrong}");
}
