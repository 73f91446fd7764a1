//! Replays of traces: exact and estimated, with writes, deletes, progress and errors.

use std::{ops::ControlFlow, time::Duration};

use veritas_cache_advisor::{
    Replay, ReplayOptions, sampling_hash,
    trace::{Format, Operation, TraceRequest, read},
    workload::{Pattern, Workload},
};
use veritas_model::Bytes;

fn options(sizes: &[u64]) -> ReplayOptions {
    ReplayOptions {
        sizes: sizes.iter().map(|size| Bytes::new(*size)).collect(),
        exact: true,
        lru: true,
        report_every: 1_000,
        ..ReplayOptions::in_entries()
    }
}

fn requests(count: usize) -> impl Iterator<Item = TraceRequest> {
    let workload = Workload::new(Pattern::Zipf { keys: 2_000, exponent: 0.9 }, 6);
    let requests: Vec<_> = workload.requests().take(count).collect();
    requests.into_iter().enumerate().map(|(number, request)| TraceRequest {
        at: request.at,
        key: sampling_hash(request.key),
        size: 1,
        operation: match number % 10 {
            7 => Operation::Set,
            8 => Operation::Delete,
            _ => Operation::Get,
        },
        time_to_live: None,
    })
}

#[test]
fn few_keys_are_estimated_exactly_writes_and_deletes_too() {
    let report = Replay::new(options(&[20, 100, 700]))
        .run(requests(30_000).map(Ok), |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((report.look_ups, report.writes, report.deletes), (24_000, 3_000, 3_000));
    assert_eq!(report.rate, 1.0);
    for row in &report.sizes {
        assert_eq!(Some(row.estimated), row.exact, "{row:?}");
        assert!(row.exact < row.lru, "a skewed set is better kept by the engine than by LRU: {row:?}");
    }
    assert!(report.advice.is_some() && !report.times.points.is_empty());
}

#[test]
fn progress_is_reported_and_can_stop_it() {
    let mut reports = Vec::new();
    let report = Replay::new(options(&[20]))
        .run(requests(30_000).map(Ok), |progress| {
            reports.push(progress.requests);
            if reports.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((reports, report.requests, report.stopped), (vec![1_000, 2_000, 3_000], 3_000, true));
}

#[test]
fn a_broken_trace_is_an_error_with_its_place() {
    let trace = read(&b"0,a\n1,b\noops\n"[..], Format::Csv);
    let error = Replay::new(options(&[20])).run(trace, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[test]
fn nothing_is_made_of_nothing() {
    let report = Replay::new(options(&[20])).run(std::iter::empty(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.requests, report.span, report.sizes.len()), (0, Duration::ZERO, 0));
    assert_eq!(report.advice, None);
}
