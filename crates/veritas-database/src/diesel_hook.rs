//! diesel: an instrumentation that records what a connection runs, for every backend, and for
//! diesel-async alike.
//!
//! ```
//! use std::sync::Arc;
//! use diesel::connection::set_default_instrumentation;
//! use veritas_database::{Recorder, diesel_hook::Recording};
//!
//! # fn recorder() -> &'static Arc<Recorder> { unimplemented!() }
//! // One connection: `connection.set_instrumentation(Recording::new(recorder))`. All that
//! // are opened from here on:
//! set_default_instrumentation(|| Some(Box::new(Recording::new(recorder()))))
//! # .unwrap();
//! ```
//!
//! What diesel tells: the text, the bound values as `Debug` writes them, the time until the
//! last row was there, and whether it failed. What it does not tell: the rows, and the line
//! that called. `#[veritas::query]` around the calling function gives the line.
//!
//! A statement whose future is dropped half-way (diesel-async) counts as failed, but only when
//! the next one ends.
//!
//! Cost: diesel writes the text of each statement anew, about 1 µs.

use std::{collections::VecDeque, sync::Arc};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use veritas_model::Monotonic;

use crate::{Execution, Recorder, Value, fingerprint::hash_key};

/// What diesel writes between a statement and its values.
const BINDS: &str = " -- binds: ";

/// Statements of one connection that are on their way; the oldest gives way.
const UNDER_WAY: usize = 16;

/// Records what a diesel connection runs.
#[derive(Debug)]
pub struct Recording {
    recorder: Arc<Recorder>,
    /// Oldest first: several where statements are pipelined.
    under_way: VecDeque<Started>,
}

/// A statement that has begun. Its text and values are told now: diesel-async leaves the values
/// out at the end.
#[derive(Debug)]
struct Started {
    at: Monotonic,
    text: String,
}

impl Recording {
    /// Records into `recorder`.
    pub fn new(recorder: &Arc<Recorder>) -> Self {
        recorder.register_source();
        Self { recorder: Arc::clone(recorder), under_way: VecDeque::new() }
    }

    /// Takes out the statement that has ended. Statements end in the order in which they began:
    /// those before it were dropped half-way, and failed.
    fn take(&mut self, ended: &dyn std::fmt::Display) -> Option<Started> {
        if self.under_way.len() > 1 {
            let ended = ended.to_string();
            let sql = split(&ended).0;
            let place = self.under_way.iter().position(|started| split(&started.text).0 == sql)?;
            for _ in 0..place {
                self.drop_oldest();
            }
        }
        self.under_way.pop_front()
    }

    fn drop_oldest(&mut self) {
        if let Some(started) = self.under_way.pop_front() {
            self.record(&started, true);
        }
    }

    fn record(&self, started: &Started, error: bool) {
        let elapsed = self.recorder.clock().monotonic().since(started.at);
        let (sql, binds) = split(&started.text);
        let parameters = read(binds).unwrap_or_default();
        let execution = Execution { error, parameters: &parameters, ..Execution::new(sql, elapsed) };
        self.recorder.record_keyed(&execution, hash_key(started.text.as_bytes()));
    }
}

/// Separates a statement from its values.
fn split(text: &str) -> (&str, &str) {
    text.rsplit_once(BINDS).unwrap_or((text, "[]"))
}

impl Instrumentation for Recording {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                if self.under_way.len() >= UNDER_WAY {
                    self.drop_oldest();
                }
                let text = query.to_string();
                self.under_way.push_back(Started { at: self.recorder.clock().monotonic(), text });
            }
            InstrumentationEvent::FinishQuery { query, error, .. } => {
                if let Some(started) = self.take(query) {
                    let is_error =
                        error.is_some_and(|error| !matches!(error, diesel::result::Error::NotFound));
                    self.record(&started, is_error);
                }
            }
            // Connecting, transactions (their statements are queries too), and events to come.
            _ => {}
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        while !self.under_way.is_empty() {
            self.drop_oldest();
        }
    }
}

/// Reads the values that `Debug` wrote as a list; `None` when one of them is neither a number,
/// nor a text, nor a truth value: its `Debug` is no SQL.
fn read(binds: &str) -> Option<Vec<Value>> {
    let mut rest = binds.trim().strip_prefix('[')?.strip_suffix(']')?.trim_start();
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (value, after) = if rest.starts_with('"') { quoted(rest)? } else { plain(rest)? };
        values.push(value);
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(values)
}

fn plain(text: &str) -> Option<(Value, &str)> {
    let (word, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    let value = match word.trim() {
        "true" => Value::from(true),
        "false" => Value::from(false),
        "None" => Value::Null,
        word => match word.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Real(word.parse().ok().filter(|number: &f64| number.is_finite())?),
        },
    };
    Some((value, rest))
}

/// Reads a string as `Debug` of `str` writes it.
fn quoted(text: &str) -> Option<(Value, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Value::Text(value), &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                '0' => value.push('\0'),
                'u' => {
                    let digits: String = characters
                        .by_ref()
                        .map(|(_, digit)| digit)
                        .skip(1)
                        .take_while(|digit| *digit != '}')
                        .collect();
                    value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_debug_writes_them() {
        let texts = ["a", "it's \"quoted\", [1, 2]", "\\ \n\t\0\u{7f} Größe 🦀", " -- binds: [7]"];
        let expected = vec![
            Value::Integer(7),
            Value::Integer(-3),
            Value::Real(1.5),
            Value::Integer(1),
            Value::from(texts[0]),
            Value::from(texts[1]),
            Value::from(texts[2]),
            Value::from(texts[3]),
        ];
        let written =
            format!("[7, -3, 1.5, true, {:?}, {:?}, {:?}, {:?}]", texts[0], texts[1], texts[2], texts[3]);
        assert_eq!(read(&written), Some(expected));
        assert_eq!(read("[]"), Some(Vec::new()));
    }

    #[test]
    fn pipelined_statements_end_in_order_and_dropped_ones_failed() {
        let clock = Arc::new(veritas_model::SystemClock::new());
        let recorder = Arc::new(Recorder::new(crate::RecorderOptions::default(), clock));
        let mut recording = Recording::new(&recorder);
        for text in
            ["select 1 -- binds: []", "select a from b where c = $1 -- binds: [1]", "select 1 -- binds: []"]
        {
            let at = recorder.clock().monotonic();
            recording.under_way.push_back(Started { at, text: text.to_owned() });
        }
        let ended = recording.take(&"select a from b where c = $1").unwrap();
        assert!(ended.text.starts_with("select a"));
        assert_eq!(recorder.snapshot().statements[0].errors, 1, "the one before was dropped");
        assert_eq!(recording.under_way.len(), 1);
        assert!(recording.take(&"select 1").is_some() && recording.take(&"select 1").is_none());
    }

    #[test]
    fn what_is_no_plain_value_is_not_guessed() {
        for binds in
            ["[Some(1)]", "[[1, 2]]", "[2024-01-01]", "[\"open]", "[1", "[1 2]", "", "[NaN]", "[\"\\u{zz}\"]"]
        {
            assert_eq!(read(binds), None, "{binds}");
        }
    }
}
