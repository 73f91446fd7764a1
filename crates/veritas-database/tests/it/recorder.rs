//! The recorder: what is counted, under which name, and within which bounds.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use veritas_database::{
    CallSite, Execution, Recorder, RecorderOptions, StatementKind, StatementSnapshot, StatementStatistics,
    Value, scope,
};
use veritas_testkit::VirtualClock;

use crate::recorder_with;

fn only(snapshot: &StatementSnapshot) -> &StatementStatistics {
    assert_eq!(snapshot.statements.len(), 1, "{:?}", snapshot.calls_by_name());
    &snapshot.statements[0]
}

#[test]
fn a_call_is_counted_with_its_time_rows_steps_and_caller() {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    for milliseconds in [10, 30] {
        let call = recorder.statement("SELECT * FROM users WHERE id = 7");
        clock.advance(Duration::from_millis(milliseconds));
        call.finish(2, Some(100 * milliseconds));
    }
    let snapshot = recorder.snapshot();
    let users = only(&snapshot);
    assert_eq!(users.name, users.fingerprint.to_string());
    assert_eq!(&*users.normalized, "select * from users where id = ?");
    assert_eq!((users.kind, &*users.tables), (StatementKind::Select, &["users".to_owned()][..]));
    assert_eq!((users.calls, users.errors, users.slow), (2, 0, 0));
    assert_eq!((users.rows_returned, users.rows_affected), (4, 0));
    assert_eq!(users.total_seconds, 0.04);
    assert_eq!(users.vm_steps.mean(), Some(2000.0));
    assert_eq!(users.vm_steps.variance(), Some(2_000_000.0));
    assert_eq!(users.histogram.count(), 2);
    assert_eq!(users.histogram.max(), Some(30_000_000));
    assert_eq!(users.callers.len(), 1);
    assert!(users.callers[0].caller.file.ends_with("recorder.rs"));
    assert_eq!(users.callers[0].calls, 2);
    assert!(snapshot.registered);
}

#[test]
fn nothing_connected_is_not_zero_calls() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    assert!(!recorder.snapshot().registered);
    recorder.register_source();
    assert!(recorder.snapshot().registered);
    assert!(recorder.snapshot().statements.is_empty());
}

#[test]
fn what_is_logged_holds_no_literals() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let parameters = ["secret".into()];
    let sql = "SELECT * FROM users WHERE name = ? AND mail = 'secret'";
    let call = recorder.statement(sql).parameters(&parameters);
    let running = format!("{call:?}");
    call.finish(1, None);
    let execution = Execution { parameters: &parameters, ..Execution::new(sql, Duration::from_secs(2)) };
    recorder.record(&execution);
    let snapshot = recorder.snapshot();
    assert_eq!(only(&snapshot).sample_parameters, [parameters.to_vec()], "they are held, for proofs");
    let logged = format!("{running} {execution:?} {snapshot:?} {recorder:?} {:?}", recorder.slow_log());
    assert!(logged.contains("users") && !logged.contains("secret"), "{logged}");
}

#[test]
fn a_failed_call_is_a_call_and_an_error() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    recorder.statement("delete from t").finish(3, None);
    recorder.statement("delete from t").fail();
    drop(recorder.statement("delete from t"));
    let snapshot = recorder.snapshot();
    let delete = only(&snapshot);
    assert_eq!((delete.calls, delete.errors, delete.rows_affected), (3, 2, 3));
}

#[test]
fn a_call_is_slow_only_beyond_the_threshold() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    recorder.record(&Execution::new("select 'secret'", Duration::from_secs(1)));
    assert!(recorder.slow_log().is_empty());
    let caller = Some(CallSite { file: "app.rs", line: 7 });
    let elapsed = Duration::from_nanos(1_000_000_001);
    recorder.record(&Execution { caller, rows_returned: 5, ..Execution::new("select 'secret'", elapsed) });
    let log = recorder.slow_log();
    assert_eq!(log.len(), 1);
    assert_eq!((&*log[0].normalized, log[0].rows, log[0].elapsed), ("select ?", 5, elapsed));
    assert_eq!(log[0].caller.as_ref().map(|caller| caller.line), Some(7));
    assert_eq!(only(&recorder.snapshot()).slow, 1);
}

#[test]
fn a_slow_call_tells_its_request_and_no_literal() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let parameters = [Value::from("s3cret")];
    let sql = "update users set name = $1 where mail = 's3cret' and key in ('s3cret', x'53') -- s3cret";
    {
        let _request = scope::enter("/report");
        let error = true;
        let elapsed = Duration::from_secs(2);
        recorder.record(&Execution { parameters: &parameters, error, ..Execution::new(sql, elapsed) });
    }
    let log = recorder.slow_log();
    assert_eq!((log[0].request.as_deref(), log[0].failed), (Some("/report"), true));
    assert_eq!(&*log[0].normalized, "update users set name = ? where mail = ? and key in (?)");
    assert!(!format!("{log:?}").contains("s3cret"));
}

#[test]
fn the_slow_log_forgets_the_oldest() {
    let slow_log = NonZeroUsize::new(3).unwrap();
    let (recorder, _) = recorder_with(RecorderOptions { slow_log, ..RecorderOptions::default() });
    for seconds in 2..=6 {
        recorder.record(&Execution::new("select 1", Duration::from_secs(seconds)));
    }
    let seconds: Vec<_> = recorder.slow_log().iter().map(|call| call.elapsed.as_secs()).collect();
    assert_eq!(seconds, [4, 5, 6]);
}

#[test]
fn a_statement_inside_a_label_counts_once_under_the_label() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    recorder.query("checkout", || {
        recorder.statement("select 1 from carts").finish(1, None);
        recorder.query("stock", || recorder.statement("select 2 from stock").finish(1, None));
        recorder.statement("select 1 from carts").label("explicit").finish(1, None);
    });
    recorder.statement("select 1 from carts").finish(1, None);
    let snapshot = recorder.snapshot();
    let unlabelled = veritas_database::fingerprint::fingerprint("select 1 from carts").to_string();
    let mut calls = snapshot.calls_by_name();
    calls.sort();
    let mut expected = [("checkout", 1), ("explicit", 1), ("stock", 1), (unlabelled.as_str(), 1)]
        .map(|(name, calls)| (name.to_owned(), calls));
    expected.sort();
    assert_eq!(calls, expected);
    assert_eq!(snapshot.total, 4);
    assert!(
        snapshot.statements.iter().all(|statement| statement.label.is_some() || statement.name == unlabelled)
    );
}

#[test]
fn a_label_without_a_statement_counts_itself() {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    recorder.query("report", || clock.advance(Duration::from_millis(5)));
    let failed: Result<(), &str> = recorder.try_query("report", || Err("no"));
    assert!(failed.is_err());
    recorder.query("outer", || recorder.query("report", || ()));
    let snapshot = recorder.snapshot();
    let report = only(&snapshot);
    assert_eq!((report.name.as_str(), report.calls, report.errors), ("report", 3, 1));
    assert_eq!(report.total_seconds, 0.005);
}

#[test]
fn an_async_label_follows_its_future() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let run = async {
        recorder
            .query_async("profile", async {
                recorder.statement("select 1").finish(1, None);
                tokio::task::yield_now().await;
                recorder.statement("select 1").finish(1, None);
            })
            .await;
    };
    let other = async {
        recorder.statement("select 1").finish(1, None);
        tokio::task::yield_now().await;
        recorder.statement("select 1").finish(1, None);
    };
    block_on(async { tokio::join!(run, other) });
    drop(recorder.query_async("cancelled", std::future::pending::<()>()));
    let calls = recorder.snapshot().calls_by_name();
    let of = |name: &str| calls.iter().find(|(known, _)| known == name).map(|(_, calls)| *calls);
    assert_eq!(of("profile"), Some(2));
    assert_eq!(of("cancelled"), Some(1));
    assert_eq!(calls.iter().map(|(_, calls)| calls).sum::<u64>(), 5);
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts").block_on(future)
}

#[test]
fn statements_beyond_the_limit_are_counted_together() {
    let max_statements = NonZeroUsize::new(10).unwrap();
    let (recorder, _) = recorder_with(RecorderOptions { max_statements, ..RecorderOptions::default() });
    for table in 0..25 {
        recorder.record(&Execution::new(&format!("select a from t{table}"), Duration::from_secs(2)));
        recorder.record(&Execution::new("select a from t0", Duration::from_millis(1)));
    }
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.statements.len(), 11);
    assert_eq!((snapshot.total, snapshot.dropped), (50, 15));
    let calls = snapshot.calls_by_name();
    assert!(calls.contains(&("other".to_owned(), 15)), "{calls:?}");
    assert_eq!(calls.iter().map(|(_, calls)| calls).sum::<u64>(), snapshot.total);
}

#[test]
fn frequent_callers_stay_and_rare_ones_go() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for line in 0..1000 {
        for line in [line + 100, 1, 2, 2] {
            let caller = Some(CallSite { file: "app.rs", line });
            recorder.record(&Execution { caller, ..Execution::new("select 1", Duration::from_millis(1)) });
        }
    }
    let snapshot = recorder.snapshot();
    let callers = &only(&snapshot).callers;
    assert!(callers.len() <= 16);
    assert_eq!((callers[0].caller.line, callers[0].calls), (2, 2000));
    assert_eq!((callers[1].caller.line, callers[1].calls), (1, 1000));
}

#[test]
fn parameters_are_kept_within_bounds_and_only_when_wanted() {
    let run = |keep_parameters| {
        let (recorder, _) = recorder_with(RecorderOptions { keep_parameters, ..RecorderOptions::default() });
        for key in 0..100_i64 {
            let parameters = [Value::from(key / 2), Value::from("x")];
            recorder
                .statement("select 1 from t where a = ? and b = ?")
                .parameters(&parameters)
                .finish(1, None);
        }
        let huge = [Value::Text("x".repeat(1 << 20))];
        recorder.statement("select 1 from t where a = ? and b = ?").parameters(&huge).finish(1, None);
        let snapshot = recorder.snapshot();
        only(&snapshot).sample_parameters.clone()
    };
    let kept = run(true);
    assert_eq!(kept.len(), 16);
    assert_eq!(kept[15], [Value::Integer(15), Value::from("x")]);
    assert!(run(false).is_empty());
}

#[test]
fn work_is_summed_over_the_statements_that_touch_a_table() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for (sql, steps) in [
        ("select 1 from users where id = 1", 10),
        ("select 1 from users where id = 2", 30),
        ("insert into Users values (1)", 5),
        ("select 1 from orders", 7),
    ] {
        let execution = Execution { vm_steps: Some(steps), ..Execution::new(sql, Duration::from_millis(2)) };
        recorder.record(&execution);
    }
    let mut work = recorder.work(&["USERS".to_owned()]);
    work.sort_by_key(|totals| totals.steps.count);
    let steps: Vec<_> = work.iter().map(|totals| (totals.steps.count, totals.steps.sum)).collect();
    assert_eq!(steps, [(1, 5.0), (2, 40.0)]);
    assert_eq!(work[1].seconds.sum, 0.004);
}

#[test]
fn threads_lose_nothing() {
    let clock: Arc<VirtualClock> = Arc::new(VirtualClock::new());
    let recorder = Recorder::new(RecorderOptions::default(), clock);
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let recorder = &recorder;
            threads.spawn(move || {
                for call in 0..5_000_u64 {
                    let sql = format!("select a from t{} where id = {call}", call % 7);
                    let caller = Some(CallSite { file: "app.rs", line: thread });
                    let rows_returned = 1;
                    let elapsed = Duration::from_micros(10);
                    recorder.record(&Execution { caller, rows_returned, ..Execution::new(&sql, elapsed) });
                }
            });
        }
        for _ in 0..50 {
            let snapshot = recorder.snapshot();
            assert!(
                snapshot.statements.iter().all(|statement| statement.histogram.count() == statement.calls)
            );
        }
    });
    let snapshot = recorder.snapshot();
    assert_eq!((snapshot.total, snapshot.statements.len()), (20_000, 7));
    assert_eq!(snapshot.statements.iter().map(|statement| statement.rows_returned).sum::<u64>(), 20_000);
    let from_callers: u64 =
        snapshot.statements.iter().flat_map(|known| &known.callers).map(|place| place.calls).sum();
    assert_eq!(from_callers, 20_000);
}
