//! What recording a statement costs, beside other ways to observe one.
//! `cargo bench -p veritas-database --bench recorder`.

#[path = "recorder/measure.rs"]
mod measure;

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex},
    time::Duration,
};

use measure::{SQL, measure, print};
use tracing_subscriber::layer::SubscriberExt as _;
use veritas_database::{CallSite, Execution, Recorder, RecorderOptions, Value, fingerprint, scope};
use veritas_model::{Clock, SystemClock};
use veritas_statistics::Histogram;

/// The statement's label.
const LABEL: &str = "orders_of_user";

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    println!("statement of {} bytes", SQL.len());
    let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
    let caller = Some(CallSite { file: "src/orders.rs", line: 42 });
    let plain = Execution { rows_returned: 3, ..Execution::new(SQL, Duration::from_micros(300)) };
    let execution = Execution { caller, label: Some(LABEL), ..plain };
    print("record, text and rows only", measure(2_000, || recorder.record(black_box(&plain))));
    let counted = measure(2_000, || recorder.record(black_box(&execution)));
    print("record, with label and caller", counted);
    let parameters = [Value::from(7_i64)];
    let with_parameters = Execution { parameters: &parameters, ..execution };
    print(
        "record, with label, caller and parameters",
        measure(2_000, || recorder.record(black_box(&with_parameters))),
    );
    for statements in [20_u32, 100] {
        let in_request = measure(1_000 / statements, || {
            let _request = scope::enter("/orders");
            (0..statements).for_each(|_| recorder.record(black_box(&execution)));
        });
        let name = format!("record, with both, in a request of {statements} statements");
        print(&name, in_request.map(|nanoseconds| nanoseconds / f64::from(statements)));
    }
    let guarded = measure(2_000, || recorder.statement(black_box(SQL)).label(LABEL).finish(3, None));
    print("statement guard, with label and caller", guarded);
    let clock = SystemClock::new();
    let read = measure(2_000, || {
        black_box((clock.monotonic(), clock.monotonic()));
    });
    print("of which the clock, twice", read);

    let others = beside(&clock);
    println!(
        "ratios to the guard: a map of histograms by normalized text {:.1}, a span of a registry {:.1}",
        others[0] / guarded[0],
        others[1] / guarded[0],
    );
    let threads = 2;
    let start = clock.monotonic();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..2_000_000).for_each(|_| recorder.record(black_box(&execution))));
        }
    });
    let nanoseconds = clock.monotonic().since(start).as_secs_f64() * 1e9 / 2_000_000.0;
    println!("{threads} threads on one statement: {nanoseconds:.1} ns a call on each");
}

/// Other ways to observe a statement: what each costs, clock included.
fn beside(clock: &SystemClock) -> [f64; 2] {
    let map: Mutex<HashMap<String, Histogram>> = Mutex::default();
    let counted = measure(200, || {
        let start = clock.monotonic();
        let normalized = fingerprint::normalize(black_box(SQL));
        let nanoseconds = u64::try_from(clock.monotonic().since(start).as_nanos()).unwrap_or(u64::MAX);
        if let Ok(mut map) = map.lock() {
            map.entry(normalized).or_default().record(nanoseconds);
        }
    });
    print("a map of histograms by normalized text", counted);
    let unheard = measure(2_000, || {
        let span =
            tracing::info_span!("query", db.statement = black_box(SQL), file = "src/orders.rs", line = 42);
        drop(span.entered());
    });
    print("a tracing span that nobody hears (records nothing)", unheard);
    let registry = tracing_subscriber::registry().with(Timed);
    let heard = tracing::subscriber::with_default(registry, || {
        measure(500, || {
            let span = tracing::info_span!(
                "query",
                db.statement = black_box(SQL),
                file = "src/orders.rs",
                line = 42
            );
            drop(span.entered());
        })
    });
    print("a tracing span of a registry, timed, text kept", heard);
    [counted[0], heard[0]]
}

/// What a layer does at least that times spans and keeps their text.
struct Timed;

struct Kept {
    text: String,
    clock: SystemClock,
}

impl tracing::field::Visit for Kept {
    fn record_str(&mut self, _: &tracing::field::Field, value: &str) {
        self.text.push_str(value);
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

impl<S> tracing_subscriber::Layer<S> for Timed
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            let mut kept = Kept { text: String::new(), clock: SystemClock::new() };
            attributes.record(&mut kept);
            span.extensions_mut().insert(kept);
        }
    }

    fn on_close(&self, id: tracing::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(kept) = span.extensions_mut().remove::<Kept>()
        {
            black_box((kept.text, kept.clock.monotonic()));
        }
    }
}
