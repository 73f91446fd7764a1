//! A `MariaDB` as a target of the engine: seen, advised on, and never an error of the application.

use std::time::Duration;

use veritas::{
    Engine, MySqlOptions,
    model::{Condition, FindingKind},
    mysql::session::ConnectOptions,
};
use veritas_testkit::{MariaDb, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_mariadb_is_seen_and_what_would_help_is_measured_on_a_copy() {
    let server = MariaDb::start_alone(&[]);
    let database = server.database();
    database
        .sql("CREATE TABLE orders(id INT PRIMARY KEY AUTO_INCREMENT, user_id INT NOT NULL, note VARCHAR(9))");
    database.sql("INSERT INTO orders(user_id, note) SELECT 987654000 + seq % 500, 'n' FROM seq_1_to_5000");
    database.sql("SELECT note FROM orders WHERE user_id = 987654077");
    let mut options = MySqlOptions::new(ConnectOptions::new(database.url()));
    options.interval = Duration::from_millis(200);
    options.trial.allowed = true;
    let engine = Engine::builder()
        .analysis_interval(Duration::from_millis(200))
        .mysql("shop", options)
        .start()
        .unwrap();
    let findings = wait_for(PATIENCE, || {
        let findings = engine.sources().control.findings().unwrap();
        findings.iter().any(|finding| finding.kind == FindingKind::MissingIndex).then_some(findings)
    });
    let missing = findings.iter().find(|finding| finding.kind == FindingKind::MissingIndex).unwrap();
    assert!(missing.recommendation.contains("measured on a copy"), "{missing:?}");
    assert!(!format!("{findings:?}").contains("987654077"), "a literal is kept: {findings:?}");
    let condition = |engine: &Engine| {
        let components = engine.health().components();
        components.into_iter().find(|(name, _)| name == "target:shop").map(|(_, condition)| condition)
    };
    assert_eq!(condition(&engine), Some(Condition::Ready));
    assert!(engine.sources().database_servers.get("shop").is_some_and(|known| known.reading.tables.is_ok()));

    drop((database, server));
    let lost = wait_for(PATIENCE, || condition(&engine).filter(|condition| *condition != Condition::Ready));
    assert!(matches!(lost, Condition::Degraded(why) if !why.is_empty()));
    // The application goes on.
    engine.database().statement("SELECT 1").finish(1, None);
    assert_eq!(engine.database().snapshot().total, 1);
}
