//! Indexes tried on copies: what helps is found, what does not is not, and nothing stays behind.

use mysql::Value;
use veritas_model::Bytes;
use veritas_mysql::{
    guard::check,
    session::{ConnectOptions, Session},
    trial::{TrialError, TrialOptions, Tried, run},
};
use veritas_testkit::{MariaDatabase, MariaDb};

use crate::options;

const EVENTS: &str = "
CREATE TABLE events(id INT PRIMARY KEY AUTO_INCREMENT, kind INT NOT NULL, at INT NOT NULL, who VARCHAR(20), note TEXT);
CREATE TABLE people(id INT PRIMARY KEY, name VARCHAR(20));
INSERT INTO events(kind, at, who, note) SELECT seq % 40, seq * 7919 % 5000, CONCAT('w', seq % 100), 'n' FROM seq_1_to_5000;
INSERT INTO people SELECT seq, CONCAT('w', seq) FROM seq_1_to_100;";

fn allowed() -> TrialOptions {
    TrialOptions { allowed: true, ..TrialOptions::default() }
}

fn tried(options: &ConnectOptions, sql: &str, values: &[Value]) -> Result<Vec<Tried>, TrialError> {
    let mut session = Session::connect(options).expect("it connects");
    let query = check(&mut session, sql).expect("it only reads");
    run(options, &query, values, &allowed())
}

/// Objects outside of the test's own database.
fn schemas(database: &MariaDatabase) -> String {
    database.sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
}

#[test]
fn an_index_that_saves_rows_is_found_on_a_copy() {
    let database = MariaDb::start_alone(&[]).database();
    database.sql(EVENTS);
    let (before, checksum) = (schemas(&database), database.sql("CHECKSUM TABLE events, people"));
    let options = options(&database);
    let best = tried(
        &options,
        "SELECT id, who FROM events WHERE kind = ? AND at > ? ",
        &[Value::Int(3), Value::Int(4_900)],
    )
    .unwrap();
    let first = &best[0];
    assert_eq!(first.candidate.columns, ["kind", "at"]);
    assert!(first.is_equal() && first.before.rows_read >= 5_000 && first.after.rows_read <= 10, "{first:?}");
    assert!(first.saved() > 0.99 && first.bytes > Some(Bytes::new(0)), "{first:?}");
    let again = tried(
        &options,
        "SELECT id, who FROM events WHERE kind = ? AND at > ? ",
        &[Value::Int(3), Value::Int(4_900)],
    )
    .unwrap();
    assert_eq!(again[0].after, first.after, "rows read are the same every time");
    assert_eq!(again[0].before, first.before);

    let joined = tried(
        &options,
        "SELECT e.id FROM people p JOIN events e ON e.who = p.name WHERE p.id = ?",
        &[Value::Int(7)],
    )
    .unwrap();
    assert_eq!(
        (joined[0].candidate.table.as_str(), &joined[0].candidate.columns[..]),
        ("events", &["who".to_owned()][..])
    );
    let sorted = tried(&options, "SELECT id, at FROM events ORDER BY at DESC LIMIT 5", &[]).unwrap();
    assert_eq!(sorted[0].candidate.columns, ["at"]);

    assert_eq!(schemas(&database), before);
    assert_eq!(database.sql("CHECKSUM TABLE events, people"), checksum);
    // What is printed is what was tried.
    database.sql(&first.create);
    assert_eq!(
        tried(
            &options,
            "SELECT id, who FROM events WHERE kind = ? AND at > ?",
            &[Value::Int(3), Value::Int(4_900)]
        )
        .unwrap(),
        []
    );
    database.sql(&first.drop);
}

#[test]
fn what_no_index_helps_is_left_alone() {
    let database = MariaDb::start().database();
    database.sql(EVENTS);
    let options = options(&database);
    assert_eq!(
        tried(&options, "SELECT COUNT(*) FROM events WHERE note = 'n' AND kind > -1", &[]).unwrap(),
        []
    );
    assert_eq!(tried(&options, "SELECT COUNT(*) FROM events", &[]), Err(TrialError::NoCandidate));
    assert_eq!(tried(&options, "SELECT who FROM events WHERE id = 5", &[]).unwrap(), []);
}

#[test]
fn rows_that_somebody_changes_are_copied_without_a_lock_on_them() {
    let database = MariaDb::start_alone(&["--log-bin", "--binlog-format=ROW"]).database();
    database.sql(EVENTS);
    let options = options(&database);
    let mut writer = Session::connect_writing(&options).unwrap();
    writer.run("BEGIN").unwrap();
    writer.run("UPDATE events SET kind = 77 WHERE id = 5").unwrap();
    let best = tried(&options, "SELECT id FROM events WHERE kind = ?", &[Value::Int(3)]).unwrap();
    assert_eq!(best[0].candidate.columns, ["kind"], "{best:?}");
    writer.run("COMMIT").unwrap();
    let written = database.sql("SHOW BINLOG EVENTS");
    assert!(
        written.contains("events") && !written.contains("veritas_scratch"),
        "a copy went to the replicas"
    );
}

#[test]
fn copies_are_made_only_where_allowed_and_only_so_large() {
    let database = MariaDb::start().database();
    database.sql(EVENTS);
    database.sql("ANALYZE TABLE events");
    let options = options(&database);
    let mut session = Session::connect(&options).unwrap();
    let query = check(&mut session, "SELECT id FROM events WHERE kind = 3").unwrap();
    assert_eq!(run(&options, &query, &[], &TrialOptions::default()), Err(TrialError::NotAllowed));
    let small = TrialOptions { largest_copy: Bytes::new(1_000), ..allowed() };
    assert!(matches!(run(&options, &query, &[], &small), Err(TrialError::TooLarge { .. })));
    let user = database.user("reader", &format!("GRANT SELECT ON {}.* TO {{user}}", database.name()));
    let denied =
        tried(&ConnectOptions::new(database.url_as(&user)), "SELECT id FROM events WHERE kind = 3", &[]);
    assert!(
        matches!(denied, Err(TrialError::Server { step: "make a schema for the copies", .. })),
        "{denied:?}"
    );
}

#[test]
fn what_a_killed_trial_left_is_swept_and_what_lives_is_not() {
    let server = MariaDb::start_alone(&[]);
    let database = server.database();
    database.sql(EVENTS);
    database.sql("CREATE DATABASE veritas_scratch_4000000000; CREATE DATABASE veritas_scratch_77; CREATE DATABASE veritas_scratch_mine");
    let mut living = Session::connect_writing(&options(&database)).unwrap();
    living.query("SELECT GET_LOCK('veritas_scratch_77', 0)").unwrap();
    tried(&options(&database), "SELECT id FROM events WHERE kind = 3", &[]).unwrap();
    let left = schemas(&database);
    assert!(!left.contains("veritas_scratch_4000000000"), "{left}");
    assert!(left.contains("veritas_scratch_77\n") && left.contains("veritas_scratch_mine\n"), "{left}");
}
