//! Whatever the application sends: no panic, no proposal for what is not one
//! statement, and nothing ever written to the live file.

use std::time::Duration;

use proptest::{prelude::*, test_runner::Config};
use veritas_database::{Execution, sqlite::IndexAdvisor};

use crate::sqlite_shop::Shop;

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "SELECT", "*", "FROM", "orders", "users", "WHERE", "user_id", "=", "?", "made", ">", "5", "AND", "OR",
            "ORDER BY", "LIMIT", "10", "JOIN", "ON", "INSERT INTO", "VALUES", "(", ")", "UPDATE", "SET", "DELETE",
            ",", ";", "--", "/*", "*/", "'x'", "\"", "'", "DROP TABLE", "DROP INDEX", "PRAGMA", "ATTACH", "BEGIN",
            "COMMIT", "WITH", "AS", "UNION", "GROUP BY", "state", "o", "o.user_id", "NULL", "IN", "BETWEEN",
            "COLLATE NOCASE", "EXPLAIN", "CREATE INDEX", "user_version", "load_extension('x')", "RETURNING",
            "REPLACE INTO", "DESC", "?1", ":name", "\u{0}", "é", "VACUUM", "open_orders", "rowid",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ]
}

fn sql() -> impl Strategy<Value = String> {
    let words = || prop::collection::vec(word(), 0..14).prop_map(|words| words.join(" "));
    prop_oneof![
        words(),
        words().prop_map(|tail| format!("SELECT * FROM orders WHERE user_id = ? {tail}")),
        words().prop_map(|tail| format!("UPDATE orders SET made = 1 WHERE user_id = 5 {tail}")),
        words().prop_map(|tail| format!("DELETE FROM orders WHERE made = ? {tail}")),
        words().prop_map(|tail| format!("SELECT * FROM orders WHERE user_id = 1; {tail}")),
    ]
}

#[test]
fn nothing_that_is_sent_breaks_or_writes() {
    let shop = Shop::small();
    let before = shop.trace();
    let actuator = shop.actuator();
    let proposed = std::cell::Cell::new(0);
    let measured = std::cell::Cell::new(0);
    proptest!(Config::with_cases(600), |(sql in sql(), parameters in prop::collection::vec(any::<i64>(), 0..3))| {
        // A recorder of its own, so that each case is looked at.
        let clock = std::sync::Arc::new(veritas_testkit::VirtualClock::new());
        let recorder = veritas_database::Recorder::new(veritas_database::RecorderOptions::default(), clock);
        let parameters: Vec<_> = parameters.into_iter().map(Into::into).collect();
        for _ in 0..2 {
            let elapsed = Duration::from_millis(5);
            recorder.record(&Execution { parameters: &parameters, ..Execution::new(&sql, elapsed) });
        }
        let snapshot = recorder.snapshot();
        let advice = IndexAdvisor::new(shop.target.clone()).advise(&snapshot, snapshot.taken_at);
        prop_assert!(advice.failure.is_none());
        prop_assert_eq!(advice.findings.len().max(advice.proposals.len()), advice.findings.len());
        if !advice.proposals.is_empty() {
            proposed.set(proposed.get() + 1);
            // SQLite itself agrees that it is one statement that reads or changes rows.
            prop_assert!(shop.connection.prepare(&sql).is_ok(), "{}", sql);
            if measured.get() < 12 {
                shop.recorder.record(&Execution { parameters: &parameters, ..Execution::new(&sql, Duration::ZERO) });
                if veritas_model::Actuator::measure(&actuator, &advice.proposals[0]).is_ok() {
                    measured.set(measured.get() + 1);
                }
            }
        }
    });
    assert!(proposed.get() > 0, "the cases reach the interesting part");
    assert!(shop.trace() == before, "the live file is as it was");
    assert!(shop.our_indexes().is_empty());
    assert_eq!(shop.copies(), 0);
    println!("{} of 600 were proposed for, {} measured", proposed.get(), measured.get());
}
