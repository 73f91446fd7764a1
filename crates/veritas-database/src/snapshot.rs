//! Snapshots: what the recorder knows at one moment, as plain values.

use std::{fmt, sync::Arc, time::Duration};

use veritas_model::{Caller, Fingerprint, Moments, Timestamp};
use veritas_statistics::Histogram;

use crate::{PoolStatistics, RequestStatistics, StatementKind, Value};

/// Everything recorded up to one moment.
#[derive(Debug, Clone)]
pub struct StatementSnapshot {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether any source of statements is connected (a layer, a hook, a call
    /// of the recorder). Without one, zero calls mean "not known".
    pub registered: bool,
    /// Calls of all statements, those in the `other` bucket included.
    pub total: u64,
    /// Seconds spent in all of them.
    pub total_seconds: f64,
    /// Calls that went to the `other` bucket because the recorder knows as many
    /// statements as it may.
    pub dropped: u64,
    /// In whose name statements ran, the most expensive first; at most 256 names.
    pub requests: Vec<RequestStatistics>,
    /// Requests of further names, which are not among [`Self::requests`].
    pub dropped_requests: u64,
    /// How the measured connection pools are used.
    pub pools: Vec<PoolStatistics>,
    /// One entry for each statement under each label; the most expensive first.
    pub statements: Vec<StatementStatistics>,
}

impl StatementSnapshot {
    /// Returns the calls per name, most called first: the `query_types` of the
    /// published JSON. The sum is [`Self::total`].
    pub fn calls_by_name(&self) -> Vec<(String, u64)> {
        let mut by_name = std::collections::BTreeMap::<&str, u64>::new();
        for statement in &self.statements {
            *by_name.entry(&statement.name).or_default() += statement.calls;
        }
        let mut calls: Vec<_> = by_name.into_iter().map(|(name, calls)| (name.to_owned(), calls)).collect();
        calls.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        calls
    }
}

/// What is known of one statement under one label (or under none). `Debug` leaves out
/// the samples, which hold literals.
#[derive(Clone)]
pub struct StatementStatistics {
    /// The label, else the fingerprint as text, else `other`.
    pub name: String,
    /// The label that the application gave; `None` without one.
    pub label: Option<String>,
    /// The statement without its literals, hashed.
    pub fingerprint: Fingerprint,
    /// The statement without its literals. Empty for `other` and for a label
    /// inside which no statement was seen.
    pub normalized: Arc<str>,
    /// What kind of statement it is.
    pub kind: StatementKind,
    /// The tables that it touches, lower case, qualified as in the text.
    pub tables: Arc<[String]>,
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that failed or were cancelled.
    pub errors: u64,
    /// Rows that all calls returned.
    pub rows_returned: u64,
    /// Rows that all calls changed.
    pub rows_affected: u64,
    /// Calls slower than the slow threshold.
    pub slow: u64,
    /// Seconds of all calls.
    pub total_seconds: f64,
    /// Calls and their seconds, exactly.
    pub seconds: Moments,
    /// Calls whose virtual-machine steps are known, and the steps, exactly.
    pub vm_steps: Moments,
    /// Nanoseconds per call.
    pub histogram: Histogram,
    /// Where it is called from, most frequent first, bounded.
    pub callers: Vec<CallerCount>,
    /// At most 16 parameter vectors, for proofs in this process. Never store or
    /// serve them.
    pub sample_parameters: Vec<Vec<Value>>,
    /// The text of one call as it was sent, literals and all, for proofs in this
    /// process; `None` when [`crate::RecorderOptions::keep_parameters`] is off.
    /// Never store or serve it.
    pub sample_sql: Option<Arc<str>>,
    /// How requests repeat it.
    pub repetitions: Vec<RequestRepetitions>,
}

impl fmt::Debug for StatementStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementStatistics")
            .field("name", &self.name)
            .field("fingerprint", &self.fingerprint)
            .field("normalized", &self.normalized)
            .field("tables", &self.tables)
            .field("calls", &self.calls)
            .field("errors", &self.errors)
            .field("rows_returned", &self.rows_returned)
            .field("rows_affected", &self.rows_affected)
            .field("seconds", &self.seconds)
            .field("vm_steps", &self.vm_steps)
            .field("callers", &self.callers)
            .field("samples", &self.sample_parameters.len())
            .field("repetitions", &self.repetitions)
            .finish_non_exhaustive()
    }
}

/// How often a statement was called from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerCount {
    /// The place.
    pub caller: Caller,
    /// Calls from there (a lower bound when more places call than are kept).
    pub calls: u64,
}

/// How the requests of one name (route template, job) repeat one statement.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRepetitions {
    /// The request's name.
    pub request: String,
    /// Requests that ran the statement.
    pub requests: u64,
    /// Requests that ran it at least [`crate::scope::REPETITIONS`] times, with
    /// that many different keys where the keys are known.
    pub repeating: u64,
    /// Calls in the repeating requests.
    pub calls: u64,
    /// Most calls in one request.
    pub most_calls: u64,
    /// Seconds of the calls in the repeating requests.
    pub seconds: f64,
    /// Calls in all requests.
    pub total_calls: u64,
    /// Requests that asked again what they had asked, with the same values and no write of
    /// their own in between.
    pub redundant: u64,
    /// The calls that did.
    pub redundant_calls: u64,
    /// Seconds of these calls.
    pub redundant_seconds: f64,
    /// Where the repeated calls came from, most frequent first, at most 4.
    pub callers: Vec<CallerCount>,
    /// Where the redundant calls came from, most frequent first, at most 4.
    pub redundant_callers: Vec<CallerCount>,
}

impl RequestRepetitions {
    /// Starts with nothing counted.
    pub(crate) fn of(request: &str) -> Self {
        Self {
            request: request.to_owned(),
            requests: 0,
            repeating: 0,
            calls: 0,
            most_calls: 0,
            seconds: 0.0,
            total_calls: 0,
            redundant: 0,
            redundant_calls: 0,
            redundant_seconds: 0.0,
            callers: Vec::new(),
            redundant_callers: Vec::new(),
        }
    }

    /// Returns the mean number of calls in a repeating request; `None` without one.
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    pub fn calls_per_request(&self) -> Option<f64> {
        (self.repeating > 0).then(|| self.calls as f64 / self.repeating as f64)
    }
}

/// One slow call, without its literals.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowCall {
    /// When it ended.
    pub at: Timestamp,
    /// The statement's name.
    pub name: String,
    /// The statement.
    pub fingerprint: Fingerprint,
    /// The statement without its literals.
    pub normalized: Arc<str>,
    /// How long it took.
    pub elapsed: Duration,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// Whether it failed.
    pub failed: bool,
    /// The request in whose name it ran; `None` when not known.
    pub request: Option<String>,
    /// Where it was called from; `None` when not known.
    pub caller: Option<Caller>,
}
