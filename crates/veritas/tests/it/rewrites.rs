//! Rewrites and batches on a real `PostgreSQL`: measured on a copy, said with their evidence.

use std::time::Duration;

use veritas::{
    Engine, PostgresOptions,
    database::{Value, scope},
    model::{Cause, FindingKind},
    postgres::{scratch::ScratchPlace, session::ConnectOptions},
};
use veritas_testkit::{Postgres, wait_for};

/// Hangs are cut off here; nothing is measured by it.
const PATIENCE: Duration = Duration::from_mins(4);

#[test]
fn what_is_written_better_and_what_is_asked_at_once_is_said_with_its_proof() {
    let database = Postgres::start().database();
    database.psql(
        "CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, placed timestamp NOT NULL, note text);
         INSERT INTO orders SELECT n, n % 2000, timestamp '2024-01-01' + n * interval '1 hour', 'n'
             FROM generate_series(1, 20000) n;
         CREATE INDEX ON orders (placed); ANALYZE",
    );
    let mut options = PostgresOptions::new(ConnectOptions::new(database.url()));
    options.scratch = ScratchPlace::SameServer;
    options.interval = Duration::from_millis(500);
    let engine = Engine::builder()
        .analysis_interval(Duration::from_millis(200))
        .postgres("shop", options)
        .start()
        .unwrap();
    let recorder = engine.database();
    let by_rule = || {
        let findings = engine.sources().control.findings().unwrap();
        findings.into_iter().find(|finding| finding.kind == FindingKind::NPlusOne)
    };
    for request in 0..4_i64 {
        let in_request = scope::enter("GET /orders");
        for customer in 0..8 {
            let values = [Value::Integer(request * 100 + customer)];
            recorder
                .statement("SELECT note, placed FROM orders WHERE customer = $1")
                .parameters(&values)
                .finish(10, None);
        }
        drop(in_request);
        let values = [Value::Text(format!("2024-03-0{}", request + 1))];
        recorder
            .statement("SELECT id FROM orders WHERE date(placed) = $1")
            .parameters(&values)
            .finish(24, None);
    }
    let first = wait_for(PATIENCE, by_rule);
    assert!(first.recommendation.contains("customer = ANY("), "{first:?}");
    let measured = wait_for(PATIENCE, || {
        by_rule().filter(|finding| finding.evidence.iter().any(|seen| seen.name == "databases_fuzzed"))
    });
    assert!(measured.recommendation.contains("one batch"), "{measured:?}");
    assert!(
        measured.evidence.iter().any(|seen| seen.name == "calls"),
        "what the recorder saw stays: {measured:?}"
    );
    let rewrite = wait_for(PATIENCE, || {
        let findings = engine.sources().control.findings().unwrap();
        findings.into_iter().find(|finding| finding.kind == FindingKind::Rewrite)
    });
    let Cause::Rewritable { rewritten, checked, .. } = &rewrite.cause else { panic!("{rewrite:?}") };
    assert!(rewritten.contains("placed >=") && checked.contains("random databases"), "{rewrite:?}");
    assert!(!format!("{rewrite:?}").contains("2024-03"), "a value is kept");
}
