//! The doctor names planted faults with their fixes, and says what it could not ask.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use veritas_database::server::{Diagnosis, Severity};
use veritas_model::Clock;
use veritas_mysql::{
    doctor::{self, checks},
    findings::FindingOptions,
    session::{ConnectOptions, Session},
};
use veritas_testkit::{MariaDb, VirtualClock};

use crate::{SHOP, options};

/// A table for each fault of the catalogue, beside decoys without it.
const ODD: &str = "
CREATE TABLE loose(a INT);
CREATE TABLE old_engine(a INT PRIMARY KEY) ENGINE = MyISAM;
CREATE TABLE counted(id TINYINT PRIMARY KEY AUTO_INCREMENT, a INT);
INSERT INTO counted(id) VALUES (122);
CREATE TABLE narrow(id INT PRIMARY KEY, name VARCHAR(10) CHARACTER SET utf8mb3);
CREATE INDEX hidden ON counted(a);
ALTER TABLE counted ALTER INDEX hidden IGNORED;";

fn examine(options: &ConnectOptions, limits: &FindingOptions) -> Diagnosis {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    doctor::examine(options, limits, &clock)
}

fn strict() -> FindingOptions {
    FindingOptions { disuse: Duration::ZERO, slow: Duration::from_micros(1), ..FindingOptions::default() }
}

#[test]
fn planted_faults_are_named_with_their_fixes() {
    let database = MariaDb::start_alone(&["--sql-mode=", "--query-cache-type=1"]).database();
    database.sql(SHOP);
    database.sql(ODD);
    database.sql("SELECT COUNT(*) FROM orders WHERE total + user_id = 5");
    database.sql("SELECT COUNT(*) FROM users WHERE id = 5");
    let (tables, before) = (database.sql("SHOW TABLES"), database.sql("CHECKSUM TABLE orders, users"));
    let diagnosis = examine(&options(&database), &strict());
    assert!(diagnosis.server.as_ref().is_some_and(|server| server.starts_with("MariaDB 1")), "{diagnosis:?}");
    let check = |code: &str, severity: Severity, evidence: &str, fix: &str| {
        let fault = diagnosis.fault(code).unwrap_or_else(|| panic!("no {code}: {diagnosis:#?}"));
        assert_eq!(fault.severity, severity, "{fault:?}");
        assert!(fault.evidence.join("\n").contains(evidence), "{fault:?}");
        assert!(fault.fix.contains(fix), "{fault:?}");
    };
    check("duplicate_index", Severity::Warning, "by_state_again", "ALTER INDEX `by_state_again` IGNORED");
    check("redundant_index", Severity::Note, "by_state_total begins with it", "DROP INDEX `by_state`");
    check("unused_index", Severity::Note, "by_total", "DROP INDEX `by_total`");
    check("ignored_index", Severity::Note, "hidden on counted", "DROP INDEX `hidden`");
    check("full_scans", Severity::Warning, "total + user_id = ?", "index");
    check("slow_statements", Severity::Warning, "s on average: ", "EXPLAIN");
    check("no_primary_key", Severity::Warning, "loose", "PRIMARY KEY");
    check("not_transactional", Severity::Warning, "old_engine: MyISAM", "ENGINE = InnoDB");
    check("auto_increment", Severity::Critical, "counted.id tinyint", "BIGINT");
    check("three_byte_text", Severity::Note, "narrow.name", "utf8mb4");
    check("torn_pages", Severity::Critical, "", "innodb_doublewrite = ON");
    check("commits_not_flushed", Severity::Warning, "", "innodb_flush_log_at_trx_commit = 1");
    check("values_cut_silently", Severity::Warning, "", "STRICT_TRANS_TABLES");
    check("query_cache", Severity::Note, "", "query_cache_type = OFF");
    check("no_statement_limit", Severity::Note, "", "max_statement_time");
    let shown = format!("{diagnosis:?}");
    assert!(!shown.contains("= 5"), "a literal is shown: {shown}");
    let evidence = &diagnosis.fault("no_primary_key").unwrap().evidence;
    assert_eq!(evidence.len(), 1, "tables with a key are none without: {evidence:?}");
    assert!(diagnosis.passed.iter().any(|check| check.code == "lock_wait"), "{:?}", diagnosis.passed);
    // Every check ended in one way, and nothing was changed.
    let mut seen: BTreeSet<&str> = diagnosis.faults.iter().map(|fault| fault.code).collect();
    seen.extend(diagnosis.passed.iter().map(|check| check.code));
    seen.extend(diagnosis.not_checked.iter().map(|(check, _)| check.code));
    assert_eq!(seen, checks().map(|check| check.code).collect());
    assert_eq!((database.sql("SHOW TABLES"), database.sql("CHECKSUM TABLE orders, users")), (tables, before));
}

#[test]
fn sessions_in_each_other_s_way_are_named() {
    let database = MariaDb::start_alone(&["--max-connections=10"]).database();
    database.sql(SHOP);
    let mut holder = Session::connect_writing(&options(&database)).unwrap();
    holder.run("BEGIN").unwrap();
    holder.run("UPDATE orders SET state = 'secret' WHERE id = 7").unwrap();
    let limits = FindingOptions {
        transaction: Duration::ZERO,
        idle_in_transaction: Duration::ZERO,
        used_share: 0.2,
        ..FindingOptions::default()
    };
    let diagnosis = examine(&options(&database), &limits);
    assert!(diagnosis.fault("idle_in_transaction").is_some_and(|fault| fault.fix.contains("KILL")));
    assert!(diagnosis.fault("connections").is_some_and(|fault| fault.severity == Severity::Critical));
    assert!(!format!("{diagnosis:?}").contains("secret"));
    let why = diagnosis.not_checked.iter().find(|(check, _)| check.code == "unused_index");
    assert!(why.is_some_and(|(_, why)| why.contains("days only")), "{:?}", diagnosis.not_checked);
}

#[test]
fn what_the_server_does_not_count_is_said_with_the_setting() {
    let database = MariaDb::start_alone(&["--performance-schema=OFF"]).database();
    database.sql(SHOP);
    let diagnosis = examine(&options(&database), &strict());
    let fault = diagnosis.fault("not_counted").unwrap_or_else(|| panic!("{diagnosis:#?}"));
    assert!(fault.fix.contains("performance_schema = ON"), "{fault:?}");
    let not_checked: Vec<&str> = diagnosis.not_checked.iter().map(|(check, _)| check.code).collect();
    for code in ["slow_statements", "full_scans", "unused_index"] {
        assert!(not_checked.contains(&code), "{not_checked:?}");
    }
}

#[test]
fn a_server_that_lets_nobody_in_is_one_critical_fault() {
    let nobody = examine(&ConnectOptions::new("mariadb://me@127.0.0.1:1/shop"), &strict());
    assert_eq!((nobody.faults.len(), nobody.faults[0].severity), (1, Severity::Critical));
    assert_eq!(nobody.not_checked.len(), checks().count());
    let database = MariaDb::start().database();
    let stranger = examine(&ConnectOptions::new(database.url_as("stranger_here")), &strict());
    assert_eq!(stranger.faults[0].code, "login_refused", "{stranger:?}");
    assert!(stranger.faults[0].fix.contains("CREATE USER"));
    let odd = examine(&ConnectOptions::new("mysql:/hm"), &strict());
    assert_eq!(odd.faults[0].code, "bad_url");
}
