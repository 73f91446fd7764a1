//! Proofs: what is measured, what is not believed, and what is not even tried.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_database::{Value, sqlite::SqliteOptions};
use veritas_model::{
    Actuator, ActuatorError, Alpha, Bytes, Clock, MeasuredGain, Monotonic, NotProven, SystemClock, Timestamp,
};
use veritas_testkit::VirtualClock;

use crate::sqlite_shop::Shop;

const BY_USER: &str = "SELECT id, total FROM orders WHERE user_id = ?";

/// A clock that jumps ahead by anything up to 100 µs at every look.
#[derive(Debug, Default)]
struct NoisyClock(AtomicU64);

impl Clock for NoisyClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1.7e9)
    }

    fn monotonic(&self) -> Monotonic {
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        let jump = veritas_model::stable_hash(&looks.to_le_bytes()) % 100_000;
        Monotonic::from_origin(Duration::from_micros(100 * looks) + Duration::from_nanos(jump))
    }
}

fn measured(clock: Arc<dyn Clock>) -> MeasuredGain {
    let shop = Shop::small_at(clock);
    shop.run_numbers(BY_USER, 1..=16);
    shop.actuator().measure(&shop.only_proposal()).expect("it can be measured")
}

#[test]
fn a_noisy_clock_does_not_move_the_verdict() {
    let quiet = measured(Arc::new(VirtualClock::new()));
    let again = measured(Arc::new(VirtualClock::new()));
    assert_eq!((quiet.before, quiet.after, quiet.pairs), (again.before, again.after, again.pairs));
    assert_eq!(quiet.gain_interval, again.gain_interval);
    let noisy = measured(Arc::new(NoisyClock::default()));
    assert!(noisy.pairs >= 30, "{noisy:#?}");
    assert!((quiet.gain - noisy.gain).abs() < 1e-4, "{quiet:#?}\n{noisy:#?}");
    assert_eq!(noisy.metric, quiet.metric);
    let proposal_is_proven = |gain: &MeasuredGain| gain.gain_interval.low > 0.9 && gain.p_value < 0.01;
    assert!(proposal_is_proven(&quiet) && proposal_is_proven(&noisy));
}

#[test]
fn a_statement_that_answers_differently_is_not_proven() {
    let shop = Shop::small();
    shop.run_numbers("SELECT id, random() FROM orders WHERE user_id = ?", (1..=20).map(|user| user * 7));
    let proposal = shop.only_proposal();
    let gain = shop.actuator().measure(&proposal).expect("it can be measured");
    assert!(gain.gain > 0.5 && !gain.results_equal, "{gain:#?}");
    assert_eq!(proposal.prove(gain, Alpha::ONE_PERCENT), Err(NotProven::ResultsDiffer));
}

#[test]
fn an_index_on_what_is_nearly_always_so_is_not_proven() {
    let shop = Shop::small();
    shop.run("SELECT * FROM orders WHERE state = ?", &vec![vec![Value::from("done")]; 3]);
    let proposal = shop.only_proposal();
    let gain = shop.actuator().measure(&proposal).expect("it can be measured");
    let refused = proposal.prove(gain.clone(), Alpha::ONE_PERCENT);
    assert!(refused.is_err(), "{gain:#?}");
}

#[test]
fn without_kept_values_columns_are_sampled_and_it_is_said() {
    let shop = Shop::small_with(SqliteOptions::default(), false);
    shop.run_numbers(BY_USER, 1..=5);
    let gain = shop.actuator().measure(&shop.only_proposal()).expect("it can be measured");
    assert!(gain.method.contains("sampled from the columns"), "{}", gain.method);
    assert!(gain.gain > 0.9 && gain.results_equal, "{gain:#?}");
}

#[test]
fn a_write_is_measured_and_rolled_back_and_never_runs_on_the_live_file() {
    let shop = Shop::small();
    let count = "SELECT count(*) FROM orders";
    let rows = |shop: &Shop| shop.connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
    shop.run_numbers("DELETE FROM orders WHERE user_id = ?", -9..=-1);
    shop.run_numbers("UPDATE orders SET made = 0 WHERE user_id = ?", 1..=3);
    let before = (rows(&shop), shop.trace());
    let proposal = shop.only_proposal();
    let gain = shop.actuator().measure(&proposal).expect("it can be measured");
    assert_eq!((rows(&shop), shop.trace()), before);
    assert!(gain.results_equal && gain.gain > 0.5, "{gain:#?}");
    assert!(gain.write_slowdown.is_some_and(|slowdown| slowdown < 0.0), "these writes search too: {gain:#?}");
}

#[test]
fn an_insert_with_its_own_key_is_measured_with_a_new_one() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=5);
    let insert = "INSERT INTO orders(id, user_id, state, total, made) VALUES (?, 1, 'open', 1, 2)";
    shop.run_numbers(insert, 10_001..=10_003);
    let gain = shop.actuator().measure(&shop.only_proposal()).expect("it can be measured");
    assert!(gain.write_slowdown.is_some_and(|slowdown| slowdown > 0.0), "{gain:#?}");
}

#[test]
fn an_application_that_goes_on_writing_is_not_in_the_way() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=5);
    let proposal = shop.only_proposal();
    let path = shop.target.path().to_owned();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (wrote, written) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // Nobody else writes, so a lock in the way would be ours.
            connection.execute("INSERT INTO tags(name) VALUES ('x')", []).unwrap();
            wrote.send(()).ok();
        }
    });
    written.recv().unwrap();
    drop(written);
    let gain = shop.actuator().measure(&proposal);
    end.send(()).unwrap();
    writer.join().unwrap();
    assert!(gain.expect("it can be measured").results_equal);
}

#[test]
fn a_file_that_is_locked_without_wal_is_busy() {
    let shop = Shop::small();
    shop.connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    shop.run_numbers(BY_USER, 1..=5);
    let proposal = shop.only_proposal();
    shop.connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(shop.advise().failure.is_some());
    let refused = shop.actuator().measure(&proposal).expect_err("the file is locked");
    assert!(matches!(refused, ActuatorError::Busy { .. }), "{refused}");
    assert_eq!(shop.copies(), 0);
}

#[test]
fn guards_stop_a_proof_before_it_costs() {
    let limits: [(SqliteOptions, &str); 3] = [
        (SqliteOptions { largest_copy: Bytes::new(1_000), ..SqliteOptions::default() }, "at most"),
        (SqliteOptions { free_space_factor: 1e12, ..SqliteOptions::default() }, "free"),
        (SqliteOptions { longest_build: Duration::ZERO, ..SqliteOptions::default() }, "build"),
    ];
    for (options, expected) in limits {
        let shop = Shop::small_with(options.clone(), true);
        // Time has to pass for the build to be too long.
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let path = shop.target.path().to_owned();
        let target = veritas_database::sqlite::SqliteTarget::open_with("main", path, options, clock).unwrap();
        shop.run_numbers(BY_USER, 1..=5);
        let proposal = shop.only_proposal();
        let actuator = veritas_database::sqlite::IndexActuator::new(
            [Arc::new(target)],
            Arc::clone(&shop.recorder),
            shop.directory.path(),
        )
        .unwrap();
        let refused = actuator.measure(&proposal).expect_err("a guard stops it");
        assert!(
            matches!(&refused, ActuatorError::Guard { reason } if reason.contains(expected)),
            "{refused}"
        );
        assert_eq!(shop.copies(), 0);
    }
}

#[test]
fn a_statement_not_seen_since_the_start_has_to_come_again() {
    let shop = Shop::small();
    shop.run_numbers(BY_USER, 1..=5);
    let proposal = shop.only_proposal();
    let restarted = Shop::small();
    let refused = restarted.actuator().measure(&proposal).expect_err("nothing was recorded");
    assert!(matches!(refused, ActuatorError::Busy { .. }), "{refused}");
}

#[test]
fn a_file_without_wal_is_advised_and_proven_too() {
    let shop = Shop::small();
    shop.connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    shop.run_numbers(BY_USER, 1..=5);
    let advice = shop.advise();
    let rows = advice.findings[0].evidence.iter().find(|figure| figure.name == "rows_read_per_call").unwrap();
    assert_eq!((rows.value, rows.provenance), (3_000.0, veritas_model::Provenance::Estimated));
    let gain = shop.actuator().measure(&advice.proposals[0]).expect("it can be measured");
    assert!(gain.gain > 0.9 && gain.results_equal);
}
