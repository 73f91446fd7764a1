//! Proves that recording costs little: at most 150 ns a statement with its label and caller, 50 ns
//! for a fingerprint that was seen and 3 µs for one that was not; and that nothing is lost or grows
//! however many statements, callers, requests and threads there are.
//!
//! `cargo xtask prove recorder`, on a machine that does nothing else; a minute.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

#[path = "../benches/recorder/measure.rs"]
mod measure;

use std::{hint::black_box, sync::Arc, time::Duration};

use measure::{SQL, measure, print};
use veritas_database::{CallSite, Execution, Recorder, RecorderOptions, fingerprint, scope};
use veritas_model::SystemClock;

const THREADS: u64 = 4;
const CALLS: u64 = 500_000;

fn main() {
    let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
    let caller = Some(CallSite { file: "src/orders.rs", line: 42 });
    let label = Some("orders_of_user");
    let execution = Execution { caller, label, ..Execution::new(SQL, Duration::from_micros(300)) };
    let counted = measure(2_000, || recorder.record(black_box(&execution)));
    print("record, with label and caller", counted);
    let cached = measure(2_000, || {
        black_box(fingerprint::fingerprint(black_box(SQL)));
    });
    print("fingerprint, cached", cached);
    let first = measure(200, || drop(black_box(fingerprint::NormalizedStatement::of(black_box(SQL)))));
    print("fingerprint, first sight", first);

    let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let recorder = &recorder;
            threads.spawn(move || {
                for call in 0..CALLS / 100 {
                    let _request = scope::enter(format!("/route/{}", call % 1_000));
                    for statement in 0..100 {
                        let sql = format!("select a from t{} where b = {call}", statement * call % 9_973);
                        let line = u32::try_from(call).unwrap_or(0);
                        let caller = Some(CallSite { file: "src/app.rs", line });
                        let elapsed = Duration::from_millis(thread * 500);
                        recorder.record(&Execution { caller, ..Execution::new(&sql, elapsed) });
                    }
                }
            });
        }
    });
    let snapshot = recorder.snapshot();
    let requests: u64 = snapshot.requests.iter().map(|known| known.requests).sum();
    println!(
        "{} calls of {} statements, {} beyond the limit; {requests} requests of {} names, {} beyond the limit; slow log {}",
        snapshot.total,
        snapshot.statements.len(),
        snapshot.dropped,
        snapshot.requests.len(),
        snapshot.dropped_requests,
        recorder.slow_log().len(),
    );
    assert_eq!(snapshot.total, THREADS * CALLS, "calls were lost");
    assert_eq!(requests + snapshot.dropped_requests, THREADS * CALLS / 100, "requests were lost");
    assert!(snapshot.statements.len() <= 5_001 && snapshot.requests.len() <= 256);
    assert!(recorder.slow_log().len() <= 256);
    assert!(
        snapshot.statements.iter().all(|known| known.callers.len() <= 16 && known.repetitions.len() <= 16)
    );
    assert!(counted[0] <= 150.0, "recording takes longer than 150 ns");
    assert!(cached[0] <= 50.0, "a cached fingerprint takes longer than 50 ns");
    assert!(first[0] <= 3_000.0, "a first fingerprint takes longer than 3 µs");
}
