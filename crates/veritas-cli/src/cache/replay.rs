//! `veritas cache replay`: a trace of look-ups at several capacities and times to live.

use std::{cell::Cell, fmt::Write as _, io::IsTerminal as _, ops::ControlFlow, sync::atomic::Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use veritas::{
    cache_advisor::{
        Replay, ReplayOptions, ReplayReport,
        trace::{self, Format, Trace, TraceError, TraceRequest},
    },
    model::Bytes,
};

use super::bytes;
use crate::{
    arguments::{ReplayArguments, TraceFormat},
    failure::Failure,
    reference::print,
    signals,
};

/// Runs `veritas cache replay`.
pub(crate) fn run(arguments: &ReplayArguments) -> Result<(), Failure> {
    let trace = open(arguments).map_err(unreadable)?;
    let stop = signals::stop_flag()?;
    let mut options = if arguments.bytes { ReplayOptions::in_bytes() } else { ReplayOptions::in_entries() };
    if !arguments.sizes.is_empty() {
        options.sizes = arguments.sizes.iter().copied().map(Bytes::new).collect();
    }
    (options.exact, options.lru) = (arguments.exact, arguments.exact);
    options.report_every = 1 << 16;

    let bar = progress_bar(trace.length().unwrap_or_default());
    let offset = Cell::new(0);
    let requests = Watched { trace, offset: &offset };
    let report = Replay::new(options).run(requests, |progress| {
        bar.set_position(offset.get());
        bar.set_message(format!("{} requests", progress.requests));
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let report = report.map_err(unreadable)?;
    if arguments.json {
        let document = document(&report, arguments.bytes);
        return print(format!("{}\n", serde_json::to_string_pretty(&document)?).as_bytes());
    }
    print(render(&report, arguments.bytes).as_bytes())
}

fn open(arguments: &ReplayArguments) -> Result<Trace, TraceError> {
    match arguments.format {
        Some(TraceFormat::Csv) => trace::open_as(&arguments.trace, Format::Csv),
        Some(TraceFormat::OracleGeneral) => trace::open_as(&arguments.trace, Format::OracleGeneral),
        None => trace::open(&arguments.trace),
    }
}

fn unreadable(error: TraceError) -> Failure {
    let hint = match error {
        TraceError::Open { .. } => "name a file that this user can read",
        TraceError::UnknownFormat { .. } => "say with --format what it is",
        TraceError::Compressed => "for example: zstd -d trace.oracleGeneral.zst",
        TraceError::Read { .. } => "the disk, or whatever the file is on, failed",
        _ => "mend or cut the file there; `veritas cache replay --help` tells the columns",
    };
    Failure::new(Failure::GENERAL, error, hint)
}

fn progress_bar(length: u64) -> ProgressBar {
    let is_terminal = std::io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} to go") {
        bar.set_style(style);
    }
    bar
}

/// Notes how far the file was read.
struct Watched<'a> {
    trace: Trace,
    offset: &'a Cell<u64>,
}

impl Iterator for Watched<'_> {
    type Item = Result<TraceRequest, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.trace.next();
        self.offset.set(self.trace.offset());
        next
    }
}

fn document(report: &ReplayReport, in_bytes: bool) -> Value {
    let sizes = report.sizes.iter().map(|row| {
        json!({
            "capacity": row.capacity.get(),
            "miss_ratio": row.estimated,
            "error_bound": row.error_bound,
            "exact_miss_ratio": row.exact,
            "lru_miss_ratio": row.lru,
        })
    });
    let times = report.times.points.iter().map(|point| {
        json!({
            "ttl_seconds": point.time_to_live.as_secs_f64(),
            "hit_ratio": point.hit_ratio,
            "error_bound": point.hit_ratio_error,
        })
    });
    json!({
        "unit": if in_bytes { "bytes" } else { "entries" },
        "requests": report.requests,
        "look_ups": report.look_ups,
        "writes": report.writes,
        "deletes": report.deletes,
        "span_seconds": report.span.as_secs_f64(),
        "sampled_share": report.rate,
        "stopped": report.stopped,
        "sizes": sizes.collect::<Vec<_>>(),
        "times_to_live": times.collect::<Vec<_>>(),
        "advice": report.advice.as_ref().map(|advice| json!({
            "capacity": advice.point.capacity.get(),
            "miss_ratio": advice.point.miss_ratio,
            "error_bound": advice.point.error_bound,
            "lowest_miss_ratio": advice.best,
        })),
        "provenance": "simulated",
    })
}

/// Writes the report for people.
fn render(report: &ReplayReport, in_bytes: bool) -> String {
    let mut page = String::new();
    if report.stopped {
        page.push_str("stopped before the end of the trace\n");
    }
    // Writing to a text cannot fail.
    write_report(&mut page, report, in_bytes).unwrap_or_default();
    page
}

fn write_report(page: &mut String, report: &ReplayReport, in_bytes: bool) -> std::fmt::Result {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let capacity = |of: Bytes| if in_bytes { bytes(of.get() as f64) } else { of.get().to_string() };
    writeln!(
        page,
        "{} requests over {:.0} s: {} look-ups, {} writes, {} deletes; {:.2} % of the keys sampled",
        report.requests,
        report.span.as_secs_f64(),
        report.look_ups,
        report.writes,
        report.deletes,
        report.rate * 100.0
    )?;
    if report.look_ups == 0 {
        return writeln!(page, "no look-ups: nothing can be said about sizes");
    }
    let is_exact = report.sizes.iter().any(|row| row.exact.is_some());
    let exact_head = if is_exact { format!("  {:>9}  {:>9}", "replayed", "LRU") } else { String::new() };
    let unit = if in_bytes { "capacity" } else { "entries" };
    writeln!(page, "\n{unit:>12}  {:>9}  {:>7}{exact_head}", "misses", "±")?;
    for row in &report.sizes {
        write!(
            page,
            "{:>12}  {:>7.2} %  {:>7.2}",
            capacity(row.capacity),
            row.estimated * 100.0,
            row.error_bound * 100.0
        )?;
        if let (Some(exact), Some(lru)) = (row.exact, row.lru) {
            write!(page, "  {:>7.2} %  {:>7.2} %", exact * 100.0, lru * 100.0)?;
        }
        writeln!(page)?;
    }
    if let Some(advice) = &report.advice {
        writeln!(
            page,
            "\nadvice: {} {}, which misses {:.2} %; more would bring that to {:.2} % at best",
            capacity(advice.point.capacity),
            if in_bytes { "of memory" } else { "entries" },
            advice.point.miss_ratio * 100.0,
            advice.best * 100.0
        )?;
    }
    if !report.times.points.is_empty() {
        writeln!(page, "\n{:>12}  {:>9}  {:>9}   (if nothing were evicted)", "lives", "hits", "±")?;
        for point in &report.times.points {
            let life = point.time_to_live.as_secs_f64();
            let (hits, bound) = (point.hit_ratio * 100.0, point.hit_ratio_error * 100.0);
            writeln!(page, "{life:>10} s  {hits:>7.2} %  {bound:>7.2} %")?;
        }
    }
    Ok(())
}
