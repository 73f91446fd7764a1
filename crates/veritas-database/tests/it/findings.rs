//! Findings: what is found, on which evidence, and what is left alone.

use std::time::Duration;

use tokio::sync::oneshot;
use veritas_database::{Execution, Recorder, RecorderOptions, Value, scope};
use veritas_model::{Cause, Finding, FindingKind, Impact, Timestamp};

use crate::recorder_with;

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn run(recorder: &Recorder, sql: &str, parameters: &[Value]) {
    recorder.record(&Execution {
        parameters,
        rows_returned: 1,
        ..Execution::new(sql, Duration::from_millis(1))
    });
}

fn kinds(recorder: &Recorder) -> Vec<FindingKind> {
    recorder.findings(NOW).iter().map(|finding| finding.kind).collect()
}

fn figure(finding: &Finding, name: &str) -> f64 {
    finding.evidence.iter().find(|figure| figure.name == name).expect("the figure is there").value
}

/// Runs `requests` requests, each of which runs `request`, and returns what is found.
#[track_caller]
fn check(requests: usize, expected: &[FindingKind], request: impl Fn(&Recorder)) {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for _ in 0..requests {
        let _scope = scope::enter("/posts");
        request(&recorder);
    }
    assert_eq!(kinds(&recorder), expected);
}

const BY_KEY: &str = "select name from authors where id = ?";

#[test]
fn one_look_up_per_row_in_three_requests_is_an_n_plus_one() {
    let n_plus_one = |recorder: &Recorder| {
        run(recorder, "select * from posts limit 10", &[]);
        (0..5_i64).for_each(|key| run(recorder, BY_KEY, &[key.into()]));
    };
    check(3, &[FindingKind::NPlusOne], n_plus_one);
    check(2, &[], n_plus_one);
    // The driver does not tell the parameters.
    check(3, &[FindingKind::NPlusOne], |recorder| (0..5).for_each(|_| run(recorder, BY_KEY, &[])));
    // Literals in the text.
    check(3, &[FindingKind::NPlusOne], |recorder| {
        (0..5).for_each(|key| run(recorder, &format!("select name from authors where id = {key}"), &[]));
    });
}

#[test]
fn what_only_looks_like_an_n_plus_one_is_left_alone() {
    // One look-up per request, many requests.
    check(1_000, &[], |recorder| run(recorder, BY_KEY, &[1_i64.into()]));
    // Four are not five.
    check(100, &[], |recorder| (0..4_i64).for_each(|key| run(recorder, BY_KEY, &[key.into()])));
    // Batches.
    check(100, &[], |recorder| {
        (0..9).for_each(|key| {
            run(recorder, &format!("select name from authors where id in ({key}, {})", key + 1), &[]);
        });
    });
    check(100, &[], |recorder| {
        (0..9_i64)
            .for_each(|key| run(recorder, "select name from authors where id = any($1)", &[key.into()]));
    });
    // Pages of one list; writes.
    check(100, &[], |recorder| {
        (0..9_i64)
            .for_each(|key| run(recorder, "select name from authors where id > ? limit 10", &[key.into()]));
    });
    check(100, &[], |recorder| {
        (0..9_i64).for_each(|key| run(recorder, "update authors set seen = 1 where id = ?", &[key.into()]));
    });
}

#[test]
fn statements_outside_of_requests_are_nobodys_repetition() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    (0..100_i64).for_each(|key| run(&recorder, BY_KEY, &[key.into()]));
    assert_eq!(kinds(&recorder), []);
}

#[test]
fn an_n_plus_one_shows_its_evidence() {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    for request in 0..4_i64 {
        let _scope = scope::enter("/posts");
        for key in 0..10 + request {
            let key = [key.into()];
            let call = recorder.statement(BY_KEY).label("author_name").parameters(&key);
            clock.advance(Duration::from_millis(1));
            call.finish(1, None);
        }
    }
    recorder.record(&Execution::new("select 1", Duration::from_millis(954)));
    let findings = recorder.findings(NOW);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    let cause = Cause::RepeatedStatement { request: "/posts".into(), calls_per_request: 11.5 };
    assert_eq!((finding.subject.name(), &finding.cause), ("author_name", &cause));
    assert_eq!(figure(finding, "requests"), 4.0);
    assert_eq!(figure(finding, "repeating_requests"), 4.0);
    assert_eq!(figure(finding, "most_calls_per_request"), 13.0);
    assert!((figure(finding, "seconds_in_repeating_requests") - 0.046).abs() < 1e-9);
    assert!((figure(finding, "share_of_database_time") - 0.046).abs() < 1e-9);
    assert_eq!(figure(finding, "calls"), 46.0);
    assert_eq!(finding.impact, Impact::Low);
    assert!(finding.recommendation.contains("= ANY($1)"));
    assert!(finding.callers[0].file.ends_with("findings.rs"));
    assert_eq!((finding.found_at, finding.seen_at), (NOW, NOW));

    let later = NOW.plus(Duration::from_mins(1));
    let again = recorder.findings(later);
    assert_eq!((&again[0].id, again[0].found_at, again[0].seen_at), (&finding.id, NOW, later));
}

#[test]
fn a_scope_follows_its_future_between_threads_and_ends_when_it_is_dropped() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let recorder = std::sync::Arc::new(recorder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let request = |recorder: std::sync::Arc<Recorder>, calls: i64, sent: oneshot::Sender<()>| {
        scope::in_future("/feed", async move {
            for key in 0..calls {
                run(&recorder, BY_KEY, &[key.into()]);
                tokio::task::yield_now().await;
            }
            if sent.send(()).is_ok() {
                std::future::pending::<()>().await;
            }
        })
    };
    runtime.block_on(async {
        let nobody = || oneshot::channel().0;
        let interleaved: Vec<_> =
            (0..50).map(|_| tokio::spawn(request(recorder.clone(), 4, nobody()))).collect();
        for task in interleaved {
            task.await.unwrap();
        }
    });
    assert_eq!(kinds(&recorder), [], "fifty interleaved requests are not one");
    runtime.block_on(async {
        for _ in 0..3 {
            let (sent, all_sent) = oneshot::channel();
            let task = tokio::spawn(request(recorder.clone(), 5, sent));
            all_sent.await.unwrap();
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled(), "it never ends by itself");
        }
    });
    assert_eq!(kinds(&recorder), [FindingKind::NPlusOne]);
}

#[test]
fn guards_dropped_out_of_order_leave_nothing_behind() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for _ in 0..3 {
        let outer = scope::enter("/outer");
        let inner = scope::enter("/inner");
        drop(outer);
        drop(inner);
        (0..9_i64).for_each(|key| run(&recorder, BY_KEY, &[key.into()]));
    }
    assert_eq!(kinds(&recorder), []);
}

#[track_caller]
fn check_unbounded(sql: &str, calls: u64, rows: u64, expected: &[FindingKind]) {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for _ in 0..calls {
        let execution = Execution { rows_returned: rows, ..Execution::new(sql, Duration::from_millis(9)) };
        recorder.record(&execution);
    }
    assert_eq!(kinds(&recorder), expected);
}

#[test]
fn a_thousand_rows_without_a_limit_are_unbounded() {
    check_unbounded("select * from events where kind = 'x'", 5, 1_000, &[FindingKind::UnboundedResult]);
    check_unbounded("select * from events", 4, 1_000, &[]);
    check_unbounded("select * from events", 5, 999, &[]);
    check_unbounded("select * from events limit 5000", 50, 1_000, &[]);
    check_unbounded("select kind, count(*) from events group by kind", 50, 1_000, &[]);
    check_unbounded("insert into a select * from b returning id", 50, 1_000, &[]);
}

#[test]
fn a_slow_statement_is_found_when_nothing_explains_it() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    recorder.record(&Execution::new("select pg_sleep(2)", Duration::from_secs(2)));
    for _ in 0..5 {
        let execution =
            Execution { rows_returned: 5_000, ..Execution::new("select * from a", Duration::from_secs(3)) };
        recorder.record(&execution);
    }
    assert_eq!(kinds(&recorder), [FindingKind::UnboundedResult, FindingKind::SlowStatement]);
    let findings = recorder.findings(NOW);
    assert_eq!(findings[1].cause, Cause::AboveThreshold);
    assert_eq!(findings[1].impact, Impact::Medium);
    assert_eq!(figure(&findings[1], "slow_calls"), 1.0);
}
