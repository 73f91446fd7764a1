//! Scans become missing indexes by what a copy shows, or by a rule that says it is one.

use std::{collections::BTreeSet, sync::Arc};

use veritas_database::{
    Recorder, RecorderOptions, StatementSnapshot, Value, fingerprint::fingerprint, server::LatestReadings,
};
use veritas_model::{Clock, Finding, FindingKind, Timestamp};
use veritas_mysql::{
    advice::{AdvisorOptions, MySqlAdvisor},
    findings::{self, FindingOptions},
    guard::check,
    session::Session,
    target::MySqlTarget,
    trial::{self, TrialOptions},
};
use veritas_testkit::{MariaDatabase, MariaDb, VirtualClock};

use crate::{look, options};

const SHOP: &str = "
CREATE TABLE orders(id INT PRIMARY KEY AUTO_INCREMENT, user_id INT NOT NULL, note VARCHAR(20) NOT NULL);
INSERT INTO orders(user_id, note) SELECT seq % 500, CONCAT('n', seq) FROM seq_1_to_5000;
ANALYZE TABLE orders;";

struct Scene {
    database: MariaDatabase,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
}

impl Scene {
    fn new() -> Self {
        let database = MariaDb::start_alone(&[]).database();
        database.sql(SHOP);
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let recorder = Recorder::new(RecorderOptions::default(), Arc::clone(&clock));
        Self { database, clock, recorder }
    }

    fn advisor(&self, allowed: bool) -> MySqlAdvisor {
        let latest = Arc::new(LatestReadings::default());
        let target = MySqlTarget::new("shop", options(&self.database), Arc::clone(&self.clock), latest);
        let trial = TrialOptions { allowed, ..TrialOptions::default() };
        MySqlAdvisor::new(Arc::new(target), AdvisorOptions { trial })
    }

    fn findings(&self, advisor: &mut MySqlAdvisor) -> Vec<Finding> {
        let whole = look(&options(&self.database));
        let mut found = findings::of(&whole, &FindingOptions::default(), Timestamp::default());
        let snapshot: StatementSnapshot = self.recorder.snapshot();
        advisor.advise(&mut found, &whole, &snapshot, 2, Timestamp::default());
        found.retain(|finding| {
            matches!(finding.kind, FindingKind::SequentialScan | FindingKind::MissingIndex)
        });
        found
    }
}

fn evidence(finding: &Finding, name: &str) -> f64 {
    let seen = finding.evidence.iter().find(|seen| seen.name == name);
    seen.unwrap_or_else(|| panic!("no {name}: {finding:?}")).value
}

#[test]
fn a_scan_becomes_the_index_that_a_copy_says_helps() {
    let scene = Scene::new();
    scene.database.sql("SELECT note FROM orders WHERE user_id = 77");
    let mut advisor = scene.advisor(true);
    let found = scene.findings(&mut advisor);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.kind, FindingKind::MissingIndex);
    let said = &finding.recommendation;
    assert!(
        said.contains("(`user_id`) ALGORITHM=INPLACE LOCK=NONE") && said.contains("DROP INDEX"),
        "{said}"
    );
    assert!(said.contains("values sampled from its columns"), "{said}");
    assert!((evidence(finding, "rows_read_before") - 5_001.0).abs() <= 2.0, "{finding:?}");
    assert!(evidence(finding, "rows_read_after") <= 12.0, "{finding:?}");
    assert!(!format!("{finding:?}").contains("77"), "a literal is shown");
    // What was found is remembered: no copy is made again, and what is said stays.
    let made =
        "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_CREATE_DB'";
    let copies = scene.database.sql(made);
    assert_eq!(scene.findings(&mut advisor), found);
    assert_eq!(scene.database.sql(made), copies);
    // What is printed is what was tried, and with it the finding is gone from the copy's view.
    let create = said.split(';').next().unwrap();
    scene.database.sql(create);
    let after = scene.findings(&mut advisor);
    assert!(after.iter().all(|finding| finding.kind == FindingKind::SequentialScan), "{after:#?}");
}

#[test]
fn the_values_of_real_calls_are_used_and_never_shown() {
    let scene = Scene::new();
    let sql = "SELECT note FROM orders WHERE user_id = ?";
    scene.database.sql("SELECT note FROM orders WHERE user_id = 77");
    for user in [417, 418] {
        let parameters = [Value::Integer(user)];
        scene.recorder.query("orders_of_user", || {
            scene.recorder.statement(sql).parameters(&parameters).finish(10, None);
        });
    }
    let found = scene.findings(&mut scene.advisor(true));
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.subject.name(), "orders_of_user");
    assert!(finding.recommendation.contains("2 calls with the values of real calls"), "{finding:?}");
    assert!(!format!("{finding:?}").contains("417"));
}

#[test]
fn where_copies_are_not_allowed_a_rule_speaks_and_says_so() {
    let scene = Scene::new();
    scene.database.sql("SELECT note FROM orders WHERE user_id = 77");
    let before = scene.database.sql("SHOW DATABASES");
    let found = scene.findings(&mut scene.advisor(false));
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.kind, FindingKind::SequentialScan);
    let said = &finding.recommendation;
    assert!(
        said.contains("CREATE INDEX") && said.contains("not measured") && said.contains("not allowed"),
        "{said}"
    );
    assert_eq!(scene.database.sql("SHOW DATABASES"), before);
}

#[test]
fn a_batch_is_run_beside_the_single_statements_that_it_stands_for() {
    let scene = Scene::new();
    let sql = "SELECT note FROM orders WHERE user_id = ?";
    for user in 0..6 {
        scene.recorder.statement(sql).parameters(&[Value::Integer(410 + user)]).finish(10, None);
    }
    let repeated = BTreeSet::from([fingerprint(sql)]);
    let whole = look(&options(&scene.database));
    let mut advisor = scene.advisor(true);
    let snapshot = scene.recorder.snapshot();
    let mut batches = |trials| advisor.batches(&repeated, &whole, &snapshot, trials, Timestamp::default());
    assert_eq!(batches(0), [], "nothing is tried where nothing may be");
    let found = batches(1);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.kind, FindingKind::NPlusOne);
    let said = &finding.recommendation;
    assert!(said.contains("SELECT note, user_id FROM orders WHERE user_id IN (?, …)"), "{said}");
    assert_eq!((evidence(finding, "statements_batched"), evidence(finding, "rows_compared")), (6.0, 60.0));
    // Nothing serves the key: each single statement reads the table, and so does the batch, once.
    assert!(evidence(finding, "rows_read_before") >= 30_000.0, "{finding:?}");
    assert!(evidence(finding, "rows_read_after") <= 5_100.0, "{finding:?}");
    assert!(!format!("{finding:?}").contains("410"), "a key is shown: {finding:?}");
    assert_eq!(batches(0), found, "it is remembered");
    assert!(scene.advisor(false).batches(&repeated, &whole, &snapshot, 1, Timestamp::default()).is_empty());
}

#[test]
fn a_batch_that_returns_other_rows_is_found_out() {
    let scene = Scene::new();
    let options = options(&scene.database);
    let mut session = Session::connect(&options).unwrap();
    let mut checked = |sql: &str| check(&mut session, sql).unwrap();
    let single = checked("SELECT note FROM orders WHERE user_id = ?");
    let right = checked("SELECT note, user_id FROM orders WHERE user_id IN (?, ?)");
    let wrong = checked("SELECT note, user_id FROM orders WHERE user_id BETWEEN ? AND ?");
    let trial = TrialOptions { allowed: true, ..TrialOptions::default() };
    let keys = [veritas_mysql::Value::Int(17), veritas_mysql::Value::Int(19)];
    let equal = |batch| trial::batch(&options, &single, batch, &keys, &trial).unwrap().is_equal();
    assert!(equal(&right));
    assert!(!equal(&wrong));
}
