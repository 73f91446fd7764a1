//! Labelled functions: what they run counts under their label, and comes from their line.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use veritas_database::{Execution, Recorder, RecorderOptions};
use veritas_macros::query;
use veritas_testkit::VirtualClock;

/// Stands for a source of statements that does not tell where they came from.
fn run(recorder: &Recorder, sql: &str) {
    recorder.record(&Execution::new(sql, Duration::from_millis(1)));
}

fn recorder() -> Recorder {
    Recorder::new(RecorderOptions::default(), Arc::new(VirtualClock::new()))
}

const NAMES_LINE: u32 = line!() + 4;

/// The names of users.
#[query("user_names", crate = veritas_database)]
fn names<'a, T: AsRef<str> + ?Sized>(recorder: &Recorder, table: &'a T) -> Result<&'a str, String> {
    run(recorder, &format!("select name from {}", table.as_ref()));
    if table.as_ref().is_empty() {
        return Err("no table".to_owned());
    }
    Ok(table.as_ref())
}

#[query(crate = veritas_database)]
fn r#match(recorder: &Recorder) {
    run(recorder, "select 1 from users");
    assert!(names(recorder, "orders").is_ok());
    run(recorder, "select 2 from users");
}

struct Store {
    recorder: Recorder,
}

impl Store {
    #[query(name = "report", crate = veritas_database)]
    async fn report(&mut self) -> u8 {
        run(&self.recorder, "select a from reports");
        let mut polls = 0;
        std::future::poll_fn(|_| {
            polls += 1;
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        run(&self.recorder, "select b from reports");
        7
    }
}

fn calls(recorder: &Recorder) -> Vec<(String, u64)> {
    let mut calls = recorder.snapshot().calls_by_name();
    calls.sort();
    calls
}

fn of(name: &str, calls: u64) -> (String, u64) {
    (name.to_owned(), calls)
}

#[test]
fn what_a_function_runs_has_its_label_and_its_line() {
    let recorder = recorder();
    assert_eq!(names(&recorder, "users"), Ok("users"));
    assert!(names(&recorder, "").is_err(), "an early return ends the label");
    assert_eq!(calls(&recorder), [of("user_names", 2)]);
    let snapshot = recorder.snapshot();
    let place = &snapshot.statements[0].callers[0].caller;
    assert!(place.file.ends_with("query.rs"), "{place:?}");
    assert_eq!(place.line, NAMES_LINE);
    run(&recorder, "select 1 from users");
    assert_eq!(calls(&recorder).len(), 2, "outside of the function there is no label");
}

#[test]
fn an_inner_label_wins() {
    let recorder = recorder();
    r#match(&recorder);
    assert_eq!(calls(&recorder), [of("match", 2), of("user_names", 1)]);
}

#[test]
fn a_label_is_in_the_thread_only_while_its_future_is_polled() {
    let mut store = Store { recorder: recorder() };
    let other = recorder();
    {
        let mut report = pin!(store.report());
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(report.as_mut().poll(&mut context).is_pending());
            run(&other, "select 3 from others");
        }
        assert_eq!(report.as_mut().poll(&mut context), Poll::Ready(7));
    }
    assert_eq!(calls(&store.recorder), [of("report", 2)]);
    assert!(calls(&other).iter().all(|(name, _)| name != "report"));
}

#[test]
fn a_panic_ends_a_label() {
    #[query("panics", crate = veritas_database)]
    fn panics() {
        panic!("on purpose");
    }
    assert!(std::panic::catch_unwind(panics).is_err());
    let recorder = recorder();
    run(&recorder, "select 1 from users");
    assert!(calls(&recorder).iter().all(|(name, _)| name != "panics"));
}
