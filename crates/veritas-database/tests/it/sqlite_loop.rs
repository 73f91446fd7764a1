//! The whole way of an index: found, proposed, proven, created, watched, taken back.

use std::{sync::Arc, time::Duration};

use veritas_database::sqlite::{IndexActuator, SqliteOptions, SqliteTarget};

use veritas_model::{
    Actuator, ActuatorError, Alpha, Cause, ChangeKind, FindingKind, Presence, Proven, SystemClock, WorkMetric,
};
use veritas_testkit::VirtualClock;

use crate::sqlite_shop::{ORDERS, Shop};

const BY_USER: &str = "SELECT id, total FROM orders WHERE user_id = ?";

fn mean_steps(shop: &Shop, tables: &[String]) -> veritas_model::Moments {
    let work = shop.recorder.work(tables);
    work.iter().fold(veritas_model::Moments::default(), |sum, totals| sum.and(&totals.steps))
}

#[test]
fn a_missing_index_is_found_proven_created_watched_and_taken_back() {
    let shop = Shop::large(Arc::new(SystemClock::new()));
    shop.run_numbers(BY_USER, 1..=20);
    shop.run_numbers("INSERT INTO orders(user_id, state, total, made) VALUES (?, 'open', 1, 2)", 1..=5);

    // Found, with the figures.
    let advice = shop.advise();
    assert_eq!(advice.findings.len(), 1, "{advice:#?}");
    let finding = &advice.findings[0];
    assert_eq!(finding.kind, FindingKind::MissingIndex);
    let Cause::SequentialScan { table, rows_read, rows_kept, plan } = &finding.cause else {
        panic!("{finding:#?}")
    };
    assert_eq!((table.as_str(), plan.as_str()), ("orders", "SCAN orders"));
    assert!((ORDERS - 1..=ORDERS + 5).contains(rows_read), "{rows_read}");
    assert!((100..=101).contains(rows_kept), "{rows_kept}");
    assert!(finding.callers[0].file.ends_with("sqlite_loop.rs"), "{:?}", finding.callers);

    // Proven on copies.
    let proposal = advice.proposals[0].clone();
    assert_eq!(proposal.finding.as_ref(), Some(&finding.id));
    let actuator = shop.actuator();
    let gain = actuator.measure(&proposal).expect("it can be measured");
    assert_eq!(shop.copies(), 0, "the copies are gone");
    assert!(shop.our_indexes().is_empty(), "measuring leaves the live file alone");
    assert_eq!(gain.metric, WorkMetric::VmSteps);
    assert!(gain.results_equal && gain.pairs >= 30, "{gain:#?}");
    assert!(gain.gain > 0.99 && gain.gain_interval.low > 0.99 && gain.p_value < 1e-4, "{gain:#?}");
    assert!(gain.seconds_after < gain.seconds_before, "{gain:#?}");
    let (before, after) = (gain.bytes_read_before.unwrap(), gain.bytes_read_after.unwrap());
    assert!(before > 1e6 && after < before / 5.0, "{before} {after}");
    let slowdown = gain.write_slowdown.expect("the insert was measured");
    assert!(slowdown > 0.0 && slowdown < 2.0, "{slowdown}");
    assert!(gain.method.contains("of real calls"), "{}", gain.method);
    println!("{gain:#?}");

    // Created: SQLite searches.
    let plan = proposal.plan.clone();
    let proven: Proven = proposal.prove(gain, Alpha::ONE_PERCENT).expect("the gain is real");
    let before = mean_steps(&shop, &plan.scope);
    assert_eq!(actuator.presence(ChangeKind::IndexCreate, &plan), Ok(Presence::Absent));
    for _ in 0..2 {
        actuator.apply(&proven).expect("it can be applied, and again");
        assert_eq!(actuator.presence(ChangeKind::IndexCreate, &plan), Ok(Presence::Present));
        assert_eq!(shop.our_indexes(), [plan.object.as_str()]);
    }
    assert!(shop.plan(BY_USER).starts_with("SEARCH orders USING INDEX veritas_orders_user_id_"));
    assert!(shop.advise().proposals.is_empty(), "nothing is left to propose");

    // Watched: the same load costs less.
    shop.run_numbers(BY_USER, 1..=20);
    assert_eq!(actuator.work(&plan).len(), 2);
    let window = mean_steps(&shop, &plan.scope).since(&before);
    assert_eq!(window.count, 20);
    assert!(window.mean() < before.mean().map(|mean| mean / 50.0), "{window:?} {before:?}");

    // Taken back.
    for _ in 0..2 {
        actuator.revert(ChangeKind::IndexCreate, &plan).expect("it can be taken back, and again");
        assert_eq!(actuator.presence(ChangeKind::IndexCreate, &plan), Ok(Presence::Absent));
    }
    assert_eq!(shop.plan(BY_USER), "SCAN orders");
}

fn proven(shop: &Shop) -> Proven {
    let proposal = shop.only_proposal();
    let gain = shop.actuator().measure(&proposal).expect("it can be measured");
    proposal.prove(gain, Alpha::ONE_PERCENT).expect("the gain is real")
}

#[test]
fn a_lock_that_someone_holds_is_busy_and_leaves_nothing() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=20);
    let proven = proven(&shop);
    let actuator = shop.actuator();
    shop.connection
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM tags")
        .expect("the application takes the lock");
    let refused = actuator.apply(&proven).expect_err("the lock is held");
    assert!(matches!(refused, ActuatorError::Busy { .. }), "{refused}");
    shop.connection.execute_batch("ROLLBACK").expect("the application lets go");
    assert!(shop.our_indexes().is_empty());
    assert_eq!(actuator.apply(&proven), Ok(()));
    shop.connection.execute_batch("BEGIN IMMEDIATE").expect("the application takes the lock");
    let plan = &proven.proposal().plan;
    let refused = actuator.revert(ChangeKind::IndexCreate, plan).expect_err("the lock is held");
    assert!(matches!(refused, ActuatorError::Busy { .. }), "{refused}");
    assert_eq!(actuator.presence(ChangeKind::IndexCreate, plan), Ok(Presence::Present));
}

#[test]
fn a_build_that_takes_too_long_is_interrupted_and_leaves_nothing() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=20);
    let proven = proven(&shop);
    let options = SqliteOptions { longest_build: Duration::ZERO, ..SqliteOptions::default() };
    let clock = Arc::new(SystemClock::new());
    let target =
        SqliteTarget::open_with("main", shop.target.path(), options, clock).expect("it is a database");
    let actuator = IndexActuator::new([Arc::new(target)], Arc::clone(&shop.recorder), shop.directory.path())
        .expect("the directory can be written");
    let refused = actuator.apply(&proven).expect_err("no time is allowed");
    assert!(matches!(refused, ActuatorError::Guard { .. }), "{refused}");
    assert!(shop.our_indexes().is_empty());
    let checked: String =
        shop.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(checked, "ok");
}

#[test]
fn only_plans_of_ours_are_carried_out() {
    let shop = Shop::small();
    shop.connection
        .execute_batch("CREATE INDEX users_email ON users(email)")
        .expect("the application's own index");
    shop.run_numbers(BY_USER, 1..=3);
    let actuator = shop.actuator();
    let good = shop.only_proposal();
    let mut foreign = good.plan.clone();
    foreign.inverse = "DROP INDEX IF EXISTS \"users_email\"".to_owned();
    let refused = actuator.revert(ChangeKind::IndexCreate, &foreign).expect_err("it is not ours");
    assert!(matches!(refused, ActuatorError::PlanRefused { .. }), "{refused}");
    assert!(shop.plan("SELECT * FROM users WHERE email = ?").contains("users_email"));

    let refused = actuator.revert(ChangeKind::IndexDrop, &good.plan).expect_err("dropping is not offered");
    assert!(matches!(refused, ActuatorError::PlanRefused { .. }), "{refused}");

    let mut elsewhere = good.clone();
    elsewhere.plan.target = "other".to_owned();
    let unknown = actuator.measure(&elsewhere).expect_err("there is no such target");
    assert_eq!(unknown, ActuatorError::UnknownTarget { target: "other".into() });

    let mut spoiled = good;
    spoiled.plan.forward.push_str("; DROP TABLE users");
    let refused = actuator.measure(&spoiled).expect_err("it is not ours");
    assert!(matches!(refused, ActuatorError::PlanRefused { .. }), "{refused}");
}

#[test]
fn an_object_of_the_same_name_is_not_taken_for_ours() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=20);
    let proven = proven(&shop);
    let name = &proven.proposal().plan.object;
    shop.connection.execute_batch(&format!("CREATE INDEX \"{name}\" ON tags(name)")).expect("a taken name");
    let refused = shop.actuator().apply(&proven).expect_err("the name is taken");
    assert!(matches!(refused, ActuatorError::PlanRefused { .. }), "{refused}");
}

#[test]
fn any_name_finds_its_way() {
    let shop = Shop::large(Arc::new(VirtualClock::new()));
    let (table, column) = ("Straße \"7\" d'été; --", "größe % 'x' \"y\" 日本");
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (quoted_table, quoted_column) = (quote(table), quote(column));
    shop.connection
        .execute_batch(&format!(
            "CREATE TABLE {quoted_table}(id INTEGER PRIMARY KEY, {quoted_column} INT);
             INSERT INTO {quoted_table}({quoted_column}) SELECT id % 500 FROM orders LIMIT 5000"
        ))
        .expect("SQLite takes any name");
    let sql = format!("SELECT id FROM {quoted_table} WHERE {quoted_column} = ?");
    shop.run_numbers(&sql, 1..=20);
    let proven = proven(&shop);
    assert_eq!(proven.proposal().plan.scope, [table]);
    assert_eq!(shop.actuator().apply(&proven), Ok(()));
    assert!(shop.plan(&sql).starts_with("SEARCH"), "{}", shop.plan(&sql));
    assert_eq!(shop.actuator().work(&proven.proposal().plan)[0].steps.count, 20);
    assert_eq!(shop.actuator().revert(ChangeKind::IndexCreate, &proven.proposal().plan), Ok(()));
    assert!(shop.our_indexes().is_empty());
}
