//! What one request does: redundant statements, rows written one by one, chatty requests, loops
//! of every making; and what only looks like that.

use std::{sync::Arc, time::Duration};

use tokio::task::yield_now;
use veritas_database::{CallSite, Execution, Recorder, RecorderOptions, Value, scope};
use veritas_model::{Cause, Finding, FindingKind, Subject, Timestamp};
use veritas_testkit::VirtualClock;

use crate::recorder_with;

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const BY_KEY: &str = "select name from authors where id = ?";

fn run(recorder: &Recorder, sql: &str, parameters: &[Value]) {
    run_from(recorder, sql, parameters, 7);
}

fn run_from(recorder: &Recorder, sql: &str, parameters: &[Value], line: u32) {
    recorder.record(&Execution {
        parameters,
        rows_returned: 1,
        caller: Some(CallSite { file: "src/page.rs", line }),
        ..Execution::new(sql, Duration::from_millis(1))
    });
}

/// Runs ten requests and returns what is found.
fn found(request: impl Fn(&Recorder, &VirtualClock)) -> Vec<Finding> {
    let (recorder, clock) = recorder_with(RecorderOptions::default());
    for _ in 0..10 {
        let _scope = scope::enter("/page");
        request(&recorder, &clock);
    }
    recorder.findings(NOW)
}

#[track_caller]
fn check(expected: &[FindingKind], request: impl Fn(&Recorder, &VirtualClock)) {
    let mut kinds: Vec<_> = found(request).iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, expected);
}

#[test]
fn asking_the_same_again_is_redundant() {
    check(&[FindingKind::RedundantStatement], |recorder, _| {
        run(recorder, BY_KEY, &[1_i64.into()]);
        run(recorder, "select * from posts limit 10", &[]);
        run(recorder, BY_KEY, &[1_i64.into()]);
    });
    // Literals in the text, and a transaction around.
    check(&[FindingKind::RedundantStatement], |recorder, _| {
        for _ in 0..3 {
            run(recorder, "begin", &[]);
            run(recorder, "select name from authors where id = 7", &[]);
            run(recorder, "commit", &[]);
        }
    });
    let findings = found(|recorder, _| {
        run_from(recorder, BY_KEY, &[1_i64.into()], 10);
        (0..3).for_each(|_| run_from(recorder, BY_KEY, &[1_i64.into()], 20));
    });
    let cause = Cause::RepeatedStatement { request: "/page".into(), calls_per_request: 4.0 };
    assert_eq!((findings.len(), &findings[0].cause), (1, &cause));
    assert_eq!(findings[0].callers.iter().map(|caller| caller.line).collect::<Vec<_>>(), [20, 10]);
}

#[test]
fn what_may_be_answered_otherwise_is_not_redundant() {
    let nothing = |request: &dyn Fn(&Recorder, &VirtualClock)| check(&[], request);
    // Another key; each key once.
    nothing(&|recorder, _| (0..4_i64).for_each(|key| run(recorder, BY_KEY, &[key.into()])));
    // A write of its own in between.
    nothing(&|recorder, _| {
        for _ in 0..4 {
            run(recorder, BY_KEY, &[1_i64.into()]);
            run(recorder, "update authors set name = ? where id = ?", &["x".into(), 1_i64.into()]);
        }
    });
    nothing(&|recorder, _| {
        for _ in 0..4 {
            run(recorder, BY_KEY, &[1_i64.into()]);
            run(recorder, "call refresh()", &[]);
        }
    });
    // Keys that are not known.
    nothing(&|recorder, _| (0..4).for_each(|_| run(recorder, BY_KEY, &[])));
    // A function that does something, a lock, no table at all.
    for sql in [
        "select nextval('ids')",
        "select now()",
        "select 1",
        "select id from jobs where state = 'new' limit 1 for update skip locked",
        "select my_function(id) from authors where id = 7",
    ] {
        nothing(&|recorder, _| (0..4).for_each(|_| run(recorder, sql, &[])));
    }
    // It waits for something to change.
    nothing(&|recorder, clock| {
        for _ in 0..9 {
            run(recorder, "select state from jobs where id = ?", &[7_i64.into()]);
            clock.advance(Duration::from_millis(100));
        }
    });
    // An attempt that failed, and the next.
    nothing(&|recorder, _| {
        let parameters = [7_i64.into()];
        for attempt in 0..9 {
            let error = attempt < 8;
            recorder.record(&Execution {
                error,
                parameters: &parameters,
                ..Execution::new(BY_KEY, Duration::from_millis(1))
            });
        }
    });
    // In two requests, or in none.
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for request in 0..100 {
        let _scope = (request % 2 == 0).then(|| scope::enter("/page"));
        run(&recorder, BY_KEY, &[1_i64.into()]);
    }
    assert_eq!(recorder.findings(NOW), []);
}

#[test]
fn parallel_requests_are_not_one_request() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let recorder = Arc::new(recorder);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..40_i64)
            .map(|request| {
                let recorder = Arc::clone(&recorder);
                tokio::spawn(scope::in_future("/page", async move {
                    run(&recorder, BY_KEY, &[1_i64.into()]);
                    yield_now().await;
                    run(&recorder, BY_KEY, &[request.into(), 2_i64.into()]);
                    yield_now().await;
                    run(&recorder, "insert into visits values (?)", &[request.into()]);
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(recorder.findings(NOW), []);
}

#[test]
fn rows_written_one_by_one_are_a_chatty_loop() {
    for (sql, advice) in [
        ("insert into lines (id, text) values (?, 'x')", "`INSERT` with many rows"),
        ("update lines set text = 'x' where id = ?", "`UPDATE … FROM"),
        ("delete from lines where id = ?", "`DELETE … WHERE key IN"),
    ] {
        let findings = found(|recorder, _| {
            run(recorder, "begin", &[]);
            for row in 0..12_i64 {
                run(
                    recorder,
                    "select text from templates where id = ? and kind > ?",
                    &[1_i64.into(), 2_i64.into()],
                );
                run_from(recorder, sql, &[row.into()], 33);
            }
            run(recorder, "commit", &[]);
        });
        assert_eq!(findings[0].kind, FindingKind::ChattyLoop, "{findings:?}");
        assert_eq!(findings[0].callers[0].line, 33);
        assert!(findings[0].recommendation.contains(advice), "{}", findings[0].recommendation);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}

#[test]
fn writes_that_belong_apart_are_left_alone() {
    let insert = "insert into lines (id, text) values (?, 'x')";
    // Nine rows are not ten.
    check(&[], |recorder, _| (0..9_i64).for_each(|row| run(recorder, insert, &[row.into()])));
    // Each in a transaction of its own: a job that must not lose all for one.
    check(&[], |recorder, _| {
        for row in 0..50_i64 {
            run(recorder, "begin", &[]);
            run(recorder, insert, &[row.into()]);
            run(recorder, "commit", &[]);
        }
    });
    // One row that is written again and again, as a counter is.
    check(&[], |recorder, _| {
        (0..50).for_each(|_| run(recorder, "update jobs set seen = now() where id = ?", &[7_i64.into()]));
    });
    // Attempts.
    check(&[], |recorder, _| {
        for row in 0..50_i64 {
            let parameters = [row.into()];
            recorder.record(&Execution {
                error: true,
                parameters: &parameters,
                ..Execution::new(insert, Duration::from_millis(1))
            });
        }
    });
    // Batches, each of other rows.
    check(&[], |recorder, _| {
        (0..9_i64)
            .for_each(|row| run(recorder, "insert into lines values (?), (?)", &[row.into(), row.into()]));
    });
}

#[test]
fn very_many_different_statements_make_a_request_chatty() {
    let findings = found(|recorder, _| {
        (0..60)
            .for_each(|table| run_from(recorder, &format!("select a from t{table} where b > ?"), &[], table));
    });
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::ChattyLoop);
    assert_eq!(findings[0].subject, Subject::Function { name: "/page".into() });
    assert_eq!((findings[0].callers[0].file.as_str(), findings[0].callers[0].line), ("src/page.rs", 49));
    // A batch of different statements; few requests; statements that take their time.
    check(&[], |recorder, _| {
        (0..49).for_each(|table| run(recorder, &format!("select a from t{table} where b > ?"), &[]));
    });
    check(&[], |recorder, _| {
        for table in 0..60 {
            let sql = format!("select a from t{table} where b > ?");
            recorder.record(&Execution::new(&sql, Duration::from_millis(20)));
        }
    });
}

#[test]
fn pages_are_no_n_plus_one() {
    for sql in [
        "select * from posts where author_id = ? order by id limit 10 offset ?",
        "select * from posts where author_id = ? and id > ? order by id limit 10",
        "select * from posts where (author_id, id) > (?, ?) order by author_id, id limit 10",
    ] {
        check(&[], |recorder, _| {
            (0..9_i64).for_each(|page| run(recorder, sql, &[7_i64.into(), page.into()]));
        });
    }
}

/// A loop that no ORM and no framework knows of: a serializer asks for each of its parts.
fn serialize(recorder: &Recorder, author: i64) -> String {
    let parameters = [author.into()];
    let call = recorder.statement(BY_KEY).parameters(&parameters);
    call.finish(1, None);
    format!("{{\"author\": {author}}}")
}
const SERIALIZER: u32 = line!() - 4;

#[test]
fn loops_of_every_making_are_found_with_their_line() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    // The same function serves requests that do nothing wrong, from elsewhere.
    for _ in 0..1_000 {
        let _scope = scope::enter("/author");
        run_from(&recorder, BY_KEY, &[1_i64.into()], 99);
    }
    for _ in 0..3 {
        let _scope = scope::enter("/serialized");
        let _json: Vec<_> = (0..6).map(|author| serialize(&recorder, author)).collect();
    }
    let findings = recorder.findings(NOW);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let first = &findings[0].callers[0];
    assert!(first.file.ends_with("requests.rs") && first.line == SERIALIZER, "{first:?}");

    // Awaited one by one, and all at once.
    let (recorder, _) = recorder_with(RecorderOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let look_up = async |author: i64| {
        yield_now().await;
        run_from(&recorder, "select a from awaited where id = ?", &[author.into()], 41);
        yield_now().await;
        run_from(&recorder, "select a from joined where id = ?", &[author.into()], 42);
    };
    for _ in 0..3 {
        runtime.block_on(scope::in_future("/feed", async {
            for author in 0..5 {
                look_up(author).await;
            }
        }));
        runtime.block_on(scope::in_future("/wall", async {
            tokio::join!(look_up(1), look_up(2), look_up(3), look_up(4), look_up(5));
        }));
    }
    let findings = recorder.findings(NOW);
    let lines: Vec<_> = findings.iter().map(|finding| finding.callers[0].line).collect();
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::NPlusOne), "{findings:?}");
    assert_eq!(lines.len(), 2);
    assert!(lines.contains(&41) && lines.contains(&42));
}

#[test]
fn snapshots_tell_in_whose_name_statements_ran() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for (name, times) in [("/page", 3), ("nightly job", 1)] {
        for _ in 0..times {
            let _scope = scope::enter(name);
            run(&recorder, BY_KEY, &[1_i64.into()]);
            run(&recorder, "select 1 from posts", &[]);
        }
    }
    run(&recorder, BY_KEY, &[1_i64.into()]);
    let snapshot = recorder.snapshot();
    let of: Vec<_> = snapshot
        .requests
        .iter()
        .map(|known| (known.name.as_str(), known.requests, known.statements))
        .collect();
    assert_eq!(of, [("/page", 3, 6), ("nightly job", 1, 2)]);
    let by_key = snapshot.statements.iter().find(|known| &*known.normalized == BY_KEY).unwrap();
    let of: Vec<_> =
        by_key.repetitions.iter().map(|known| (known.request.as_str(), known.total_calls)).collect();
    assert_eq!(of, [("/page", 3), ("nightly job", 1)]);
}

#[test]
fn one_request_is_bounded_whatever_it_does() {
    let (recorder, _) = recorder_with(RecorderOptions::default());
    for _ in 0..3 {
        let _scope = scope::enter("/endless");
        for call in 0..3_000_i64 {
            run(&recorder, &format!("select a from t{} where b = ?", call % 400), &[call.into()]);
        }
        // What is beyond the bounds is not recognized; what was within them still is.
        run(&recorder, "select a from t0 where b = ?", &[0_i64.into()]);
    }
    let snapshot = recorder.snapshot();
    assert_eq!((snapshot.requests[0].statements, snapshot.requests[0].most_statements), (9_003, 3_001));
    let redundant: u64 =
        snapshot.statements.iter().flat_map(|known| &known.repetitions).map(|of| of.redundant_calls).sum();
    assert_eq!(redundant, 3);
}
