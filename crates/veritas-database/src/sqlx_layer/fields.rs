//! The fields of sqlx's events and of the application's spans.

use std::{fmt, time::Duration};

use tracing::{
    Metadata,
    field::{Field, Visit},
};

/// What one event of sqlx says; reused, so that reading one allocates nothing.
#[derive(Debug, Default)]
pub(super) struct StatementFields {
    /// The first four words; the whole text when there are no more.
    summary: String,
    /// The text, with blank lines around it; empty when the summary is all.
    text: String,
    pub(super) rows_returned: u64,
    pub(super) rows_affected: u64,
    elapsed: Option<Duration>,
}

impl StatementFields {
    pub(super) fn clear(&mut self) {
        self.summary.clear();
        self.text.clear();
        self.rows_returned = 0;
        self.rows_affected = 0;
        self.elapsed = None;
    }

    /// Returns the text and how long it took; `None` when the event lacks either.
    pub(super) fn statement(&self) -> Option<(&str, Duration)> {
        let text = self.text.strip_prefix("\n\n").unwrap_or(&self.text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = if text.is_empty() { &self.summary } else { text };
        if text.is_empty() { None } else { Some((text, self.elapsed?)) }
    }

    fn put_text(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary.push_str(value),
            "db.statement" => self.text.push_str(value),
            _ => {}
        }
    }
}

impl Visit for StatementFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).ok().or(self.elapsed);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows_returned" => self.rows_returned = value,
            "rows_affected" => self.rows_affected = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Only where `elapsed_secs` is missing (sqlx before 0.7.3).
            "elapsed" if self.elapsed.is_none() => self.elapsed = parse_duration(&format!("{value:?}")),
            "summary" | "db.statement" => self.put_text(field, &format!("{value:?}")),
            _ => {}
        }
    }
}

/// Reads what `Debug` of a [`Duration`] writes (`1.5s`, `12.25ms`, `3µs`, `7ns`).
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, nanoseconds) = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)]
        .into_iter()
        .find_map(|(unit, nanoseconds)| Some((text.strip_suffix(unit)?, nanoseconds)))?;
    let value: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(value * nanoseconds / 1e9).ok()
}

/// The names that a span gives to what happens inside it.
#[derive(Debug, Default)]
pub(super) struct SpanNames {
    /// The statement's label.
    pub(super) query: Option<String>,
    /// The request's name.
    pub(super) request: Option<String>,
    /// Place of the field that gave the request's name, in [`REQUEST_FIELDS`].
    rank: usize,
}

const QUERY_FIELD: &str = "veritas.query";
/// Best first.
const REQUEST_FIELDS: [&str; 3] = ["veritas.request", "http.route", "otel.name"];

impl SpanNames {
    /// Returns whether a span has a field that names something.
    pub(super) fn are_in(metadata: &Metadata<'_>) -> bool {
        metadata
            .fields()
            .iter()
            .any(|field| field.name() == QUERY_FIELD || REQUEST_FIELDS.contains(&field.name()))
    }

    fn put(&mut self, field: &Field, value: &str) {
        if field.name() == QUERY_FIELD {
            self.query = Some(value.to_owned());
        } else if let Some(rank) = REQUEST_FIELDS.iter().position(|name| *name == field.name())
            && (self.request.is_none() || rank <= self.rank)
        {
            self.request = Some(value.to_owned());
            self.rank = rank;
        }
    }
}

impl Visit for SpanNames {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == QUERY_FIELD || REQUEST_FIELDS.contains(&field.name()) {
            self.put(field, &format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_debug_writes_them() {
        for nanoseconds in [0, 7, 1_000, 12_345, 1_500_000, 999_999_999, 1_000_000_000, 61_250_000_000] {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(parse_duration(&format!("{duration:?}")), Some(duration));
        }
        for wrong in ["", "s", "5", "5m", "-5s", "NaNs", "infs"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_text_is_what_the_application_sent() {
        let mut fields = StatementFields { elapsed: Some(Duration::ZERO), ..StatementFields::default() };
        assert_eq!(fields.statement(), None);
        fields.summary.push_str("BEGIN");
        assert_eq!(fields.statement().map(|(text, _)| text), Some("BEGIN"));
        fields.text.push_str("\n\nselect a\n from b where c = ?\n\n");
        assert_eq!(fields.statement().map(|(text, _)| text), Some("select a\n from b where c = ?\n"));
    }
}
