//! The report: profiles as a text table, rendered when someone reads it.

use std::{fmt::Write as _, time::Duration};

use crate::Profile;

/// How many functions the table lists.
const ROWS: usize = 10;

/// Renders `profile` as text, and below it the ten functions of `all` with the
/// most cumulative time, in the columns of Python's `pstats`.
pub fn render(profile: &Profile, all: &[Profile]) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _: std::fmt::Result = write_header(&mut text, profile);
    let _: std::fmt::Result = write_table(&mut text, all);
    text
}

fn write_header(text: &mut String, profile: &Profile) -> std::fmt::Result {
    writeln!(
        text,
        "{}: {} calls in {} seconds ({} errors, {} cancelled)",
        profile.name,
        profile.calls,
        seconds(profile.total),
        profile.errors,
        profile.cancelled
    )?;
    if let (Some(mean), Some(p50), Some(p95), Some(p99)) =
        (profile.mean, profile.p50, profile.p95, profile.p99)
    {
        writeln!(text, "   per call: mean {mean:.3?}, p50 {p50:.3?}, p95 {p95:.3?}, p99 {p99:.3?}")?;
    }
    if let Some(polling) = profile.polling {
        writeln!(
            text,
            "   polls: {}, busy {} seconds, longest poll {:.3?}",
            polling.polls,
            seconds(polling.busy),
            polling.longest_poll
        )?;
    }
    Ok(())
}

fn write_table(text: &mut String, all: &[Profile]) -> std::fmt::Result {
    let mut rows: Vec<&Profile> = all.iter().collect();
    rows.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
    writeln!(text, "\n   Ordered by: cumulative time")?;
    if rows.len() > ROWS {
        writeln!(text, "   List reduced from {} to {ROWS}", rows.len())?;
    }
    writeln!(text, "\n   ncalls  tottime  percall  cumtime  percall filename:lineno(function)")?;
    for row in rows.into_iter().take(ROWS) {
        writeln!(
            text,
            "{:>9} {:>8} {:>8} {:>8} {:>8} {}:{}({})",
            row.calls,
            seconds(row.self_time),
            per_call(row.self_time, row.calls),
            seconds(row.total),
            per_call(row.total, row.calls),
            row.file,
            row.line,
            row.name
        )?;
    }
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}

/// Microseconds show: most functions of a service take less than a millisecond.
fn per_call(duration: Duration, calls: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three to six decimals are printed")]
    let each = if calls == 0 { 0.0 } else { duration.as_secs_f64() / calls as f64 };
    format!("{each:.6}")
}
