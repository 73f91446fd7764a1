//! What recording a statement costs, and what normalizing one costs beside a
//! parser's tokenizer. `cargo bench -p veritas-database --bench recorder`.

use std::{hint::black_box, sync::Arc, time::Duration};

use sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer};
use veritas_database::{CallSite, Execution, Recorder, RecorderOptions, Value, fingerprint, scope};
use veritas_model::{Clock, SystemClock};

/// 150 bytes: the length of the measurements that this is compared with.
const SQL: &str = "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id \
                   WHERE u.email = 'someone@example.com' AND o.state IN (1, 2, 3) LIMIT 20 ";

/// Many short rounds: most of them fit between two interruptions.
const ROUNDS: usize = 301;

/// Returns the median and the spread (min, max) of nanoseconds per call.
fn measure(calls: u32, mut work: impl FnMut()) -> [f64; 3] {
    let clock = SystemClock::new();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = clock.monotonic();
            (0..calls).for_each(|_| work());
            clock.monotonic().since(start).as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    [rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn print(name: &str, [median, min, max]: [f64; 3]) {
    println!("{name:<54} {median:>9.1} ns  (min {min:.1}, max {max:.1}, {ROUNDS} rounds)");
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    println!("statement of {} bytes", SQL.len());
    let cached = measure(2_000, || {
        black_box(fingerprint::fingerprint(black_box(SQL)));
    });
    print("fingerprint, cached", cached);
    let normalized = measure(200, || drop(black_box(fingerprint::normalize(black_box(SQL)))));
    print("normalize, first sight", normalized);
    let tokenized = measure(20, || {
        drop(black_box(Tokenizer::new(&GenericDialect {}, black_box(SQL)).tokenize()));
    });
    print("sqlparser, tokenize only", tokenized);
    let parsed = measure(5, || {
        drop(black_box(sqlparser::parser::Parser::parse_sql(&GenericDialect {}, black_box(SQL))));
    });
    print("sqlparser, parse", parsed);

    let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
    let caller = Some(CallSite { file: "src/orders.rs", line: 42 });
    let execution = Execution { caller, rows_returned: 3, ..Execution::new(SQL, Duration::from_micros(300)) };
    print("record, cached fingerprint", measure(2_000, || recorder.record(black_box(&execution))));
    let parameters = [Value::from(7_i64)];
    let with_parameters = Execution { parameters: &parameters, ..execution };
    print("record, with parameters", measure(2_000, || recorder.record(black_box(&with_parameters))));
    let in_request = measure(10, || {
        let _request = scope::enter("/orders");
        (0..100).for_each(|_| recorder.record(black_box(&execution)));
    });
    print("record, in a request of 100 statements", in_request.map(|nanoseconds| nanoseconds / 100.0));
    let guarded = measure(2_000, || recorder.statement(black_box(SQL)).finish(3, None));
    print("statement guard (reads the clock twice)", guarded);
    let clock = SystemClock::new();
    print(
        "of which the clock, twice",
        measure(2_000, || {
            black_box((clock.monotonic(), clock.monotonic()));
        }),
    );
    println!(
        "ratios: tokenizing / normalizing {:.1}, parsing / normalizing {:.1}, normalizing / cached {:.1}",
        tokenized[0] / normalized[0],
        parsed[0] / normalized[0],
        normalized[0] / cached[0],
    );
    let threads = 2;
    let clock = SystemClock::new();
    let start = clock.monotonic();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..2_000_000).for_each(|_| recorder.record(black_box(&execution))));
        }
    });
    let nanoseconds = clock.monotonic().since(start).as_secs_f64() * 1e9 / 2_000_000.0;
    println!("{threads} threads on one statement: {nanoseconds:.1} ns a call on each");
}
