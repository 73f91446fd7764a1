//! Sets of indexes for whole workloads: never over the budget, never worse than `.expert`.

use std::{fs, sync::Arc, time::Duration};

use rusqlite::Connection;
use veritas_database::sqlite::{
    SqliteTarget, WorkloadAdvisor, WorkloadOptions, WorkloadStatement, planner_statistics,
};
use veritas_model::{Bytes, SystemClock};
use veritas_testkit::data_dir;

use crate::sqlite_expert::{cost, creates, expert, fill, ours};

#[test]
fn a_set_for_the_workload_beats_the_advice_for_each_statement() {
    let folder = data_dir();
    let path = folder.path().join("shop.sqlite");
    fill(&path, 3_000);
    let before = fs::read(&path).unwrap();
    let theirs = cost(&path, &expert(&path));
    let none = cost(&path, &[]);
    for budget in [theirs.1, theirs.1 / 2] {
        let advice = ours(&path, budget);
        let (steps, bytes) = cost(&path, &creates(&advice));
        assert!(bytes <= budget && advice.bytes.get() <= budget, "{bytes} of {budget}: {advice:#?}");
        assert_eq!(advice.skipped, []);
        assert!(!advice.ended_early);
        assert_eq!(
            (advice.steps_before, advice.steps_after),
            (none.0, steps),
            "what it says is what it brings"
        );
        if budget == theirs.1 {
            assert!(steps <= theirs.0, "ours {steps}, theirs {}: {advice:#?}", theirs.0);
        }
        assert!(advice.chosen.iter().all(|index| index.saved_steps > 0), "{advice:#?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before, "the live file was not written");
}

fn advisor(folder: &std::path::Path, path: &std::path::Path) -> (WorkloadAdvisor, Arc<SqliteTarget>) {
    let target = SqliteTarget::open("main", path, Arc::new(SystemClock::new())).expect("it is a database");
    let target = Arc::new(target);
    (WorkloadAdvisor::new(Arc::clone(&target), folder).expect("the folder can be written"), target)
}

fn statement(sql: &str, calls: u64) -> WorkloadStatement {
    WorkloadStatement { name: sql.to_owned(), sql: sql.to_owned(), vectors: vec![Vec::new()], calls }
}

#[test]
fn what_writes_pay_for_an_index_counts() {
    let folder = data_dir();
    let path = folder.path().join("log.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE log(id INTEGER PRIMARY KEY, kind INT, at INT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
             INSERT INTO log SELECT i, i % 50, i FROM n",
        )
        .unwrap();
    let (advisor, target) = advisor(folder.path(), &path);
    let options = WorkloadOptions::default();
    let read = statement("SELECT count(*) FROM log WHERE kind = 3", 10);
    let write = |calls| statement("INSERT INTO log(kind, at) SELECT kind, at FROM log WHERE id < 20", calls);
    let few_writes = advisor.advise(&[read.clone(), write(1)], &options).unwrap();
    assert_eq!(few_writes.chosen.len(), 1, "{few_writes:#?}");
    let many_writes = advisor.advise(&[read, write(100_000)], &options).unwrap();
    assert_eq!(many_writes.chosen, [], "{many_writes:#?}");
    assert_eq!(connection.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0)), Ok(500));
    assert_eq!(planner_statistics(&target).unwrap(), []);
}

#[test]
fn what_cannot_run_is_left_out_and_said() {
    let folder = data_dir();
    let path = folder.path().join("small.sqlite");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(a, b)").unwrap();
    let (advisor, _) = advisor(folder.path(), &path);
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n";
    let wrong =
        ["DROP TABLE t", "SELECT * FROM nowhere", "PRAGMA user_version = 3", "SELECT 1; SELECT 2", endless];
    let statements: Vec<WorkloadStatement> = wrong.iter().map(|sql| statement(sql, 1)).collect();
    let options =
        WorkloadOptions { longest_statement: Duration::from_millis(20), ..WorkloadOptions::default() };
    let advice = advisor.advise(&statements, &options).unwrap();
    assert_eq!(
        (advice.skipped.len(), advice.statements.len(), advice.chosen.len()),
        (5, 0, 0),
        "{advice:#?}"
    );
    let nothing = WorkloadOptions { budget: Bytes::new(0), ..WorkloadOptions::default() };
    assert_eq!(advisor.advise(&[statement("SELECT * FROM t WHERE a = 1", 9)], &nothing).unwrap().chosen, []);
}
