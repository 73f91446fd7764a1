//! The stored form of the nouns: JSON of private types, so that a renamed
//! field of the model never changes a file.
//!
//! A field may be added with `#[serde(default)]`; anything else is a new format.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use veritas_model::{
    AlertRule, AlertStatus, AlertTransition, Comparison, Fingerprint, Interval, MeasuredGain, Moments,
    Severity, Timestamp, WorkMetric, WorkTotals,
};

use crate::StoreError;

mod finding;
mod ledger;

pub(super) use finding::FindingRecord;
pub(super) use ledger::{ChangeRecord, ProposalRow};

/// A stored form.
pub(super) trait Stored: Serialize + DeserializeOwned {
    /// What is read back.
    type Domain;
    /// What is written.
    type Given: ?Sized;

    fn of(given: &Self::Given) -> Self;

    /// Returns what was stored, or what in it makes no sense.
    fn into_domain(self) -> Result<Self::Domain, Nonsense>;
}

/// A stored word or identity that means nothing to this release.
#[derive(Debug)]
pub(super) struct Nonsense {
    what: &'static str,
    found: String,
}

/// Reads a stored word.
fn word<T>(what: &'static str, found: String, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Nonsense> {
    parse(&found).ok_or(Nonsense { what, found })
}

pub(super) fn write<R: Stored>(step: &'static str, given: &R::Given) -> Result<String, StoreError> {
    serde_json::to_string(&R::of(given)).map_err(|error| StoreError::Database { step, source: error.into() })
}

pub(super) fn read<R: Stored>(step: &'static str, text: &str) -> Result<R::Domain, StoreError> {
    let record: R = serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        step,
        detail: format!("a record is not readable: {error}"),
    })?;
    record.into_domain().map_err(|Nonsense { what, found }| StoreError::Corrupt {
        step,
        detail: format!("{found:?} is no {what}"),
    })
}

/// A float, every one of them: JSON has no NaN and no infinities.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Other(NotFinite),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum NotFinite {
    #[serde(rename = "NaN")]
    NotANumber,
    #[serde(rename = "inf")]
    Infinity,
    #[serde(rename = "-inf")]
    NegativeInfinity,
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        if number.is_finite() {
            Self::Finite(number)
        } else if number.is_nan() {
            Self::Other(NotFinite::NotANumber)
        } else if number > 0.0 {
            Self::Other(NotFinite::Infinity)
        } else {
            Self::Other(NotFinite::NegativeInfinity)
        }
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        match number {
            Number::Finite(number) => number,
            Number::Other(NotFinite::NotANumber) => Self::NAN,
            Number::Other(NotFinite::Infinity) => Self::INFINITY,
            Number::Other(NotFinite::NegativeInfinity) => Self::NEG_INFINITY,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct IntervalRecord {
    low: Number,
    high: Number,
    confidence: Number,
}

impl From<Interval> for IntervalRecord {
    fn from(interval: Interval) -> Self {
        Self { low: interval.low.into(), high: interval.high.into(), confidence: interval.confidence.into() }
    }
}

impl From<IntervalRecord> for Interval {
    fn from(record: IntervalRecord) -> Self {
        Self { low: record.low.into(), high: record.high.into(), confidence: record.confidence.into() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct GainRecord {
    metric: String,
    pairs: u64,
    before: Number,
    after: Number,
    gain: Number,
    gain_interval: IntervalRecord,
    p_value: Number,
    seconds_before: Number,
    seconds_after: Number,
    seconds_gain_interval: IntervalRecord,
    bytes_read_before: Option<Number>,
    bytes_read_after: Option<Number>,
    write_slowdown: Option<Number>,
    results_equal: bool,
    method: String,
}

impl From<&MeasuredGain> for GainRecord {
    fn from(gain: &MeasuredGain) -> Self {
        Self {
            metric: gain.metric.as_str().to_owned(),
            pairs: gain.pairs,
            before: gain.before.into(),
            after: gain.after.into(),
            gain: gain.gain.into(),
            gain_interval: gain.gain_interval.into(),
            p_value: gain.p_value.into(),
            seconds_before: gain.seconds_before.into(),
            seconds_after: gain.seconds_after.into(),
            seconds_gain_interval: gain.seconds_gain_interval.into(),
            bytes_read_before: gain.bytes_read_before.map(Number::from),
            bytes_read_after: gain.bytes_read_after.map(Number::from),
            write_slowdown: gain.write_slowdown.map(Number::from),
            results_equal: gain.results_equal,
            method: gain.method.clone(),
        }
    }
}

impl GainRecord {
    fn into_domain(self) -> Result<MeasuredGain, Nonsense> {
        Ok(MeasuredGain {
            metric: word("metric of work", self.metric, WorkMetric::parse)?,
            pairs: self.pairs,
            before: self.before.into(),
            after: self.after.into(),
            gain: self.gain.into(),
            gain_interval: self.gain_interval.into(),
            p_value: self.p_value.into(),
            seconds_before: self.seconds_before.into(),
            seconds_after: self.seconds_after.into(),
            seconds_gain_interval: self.seconds_gain_interval.into(),
            bytes_read_before: self.bytes_read_before.map(f64::from),
            bytes_read_after: self.bytes_read_after.map(f64::from),
            write_slowdown: self.write_slowdown.map(f64::from),
            results_equal: self.results_equal,
            method: self.method,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct MomentsRecord {
    count: u64,
    sum: Number,
    sum_of_squares: Number,
}

impl From<Moments> for MomentsRecord {
    fn from(moments: Moments) -> Self {
        Self { count: moments.count, sum: moments.sum.into(), sum_of_squares: moments.sum_of_squares.into() }
    }
}

impl From<MomentsRecord> for Moments {
    fn from(record: MomentsRecord) -> Self {
        Self { count: record.count, sum: record.sum.into(), sum_of_squares: record.sum_of_squares.into() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WorkRecord {
    fingerprint: u64,
    name: String,
    /// What the steps are; records from before caches were watched have none: steps of a virtual machine.
    #[serde(default)]
    metric: Option<String>,
    /// So called when there were no other steps.
    vm_steps: MomentsRecord,
    seconds: MomentsRecord,
}

/// The work read before a change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BaselineRecord(Vec<WorkRecord>);

impl Stored for BaselineRecord {
    type Domain = Vec<WorkTotals>;
    type Given = [WorkTotals];

    fn of(given: &[WorkTotals]) -> Self {
        let records = given.iter().map(|work| WorkRecord {
            fingerprint: work.fingerprint.as_u64(),
            name: work.name.clone(),
            metric: Some(work.metric.as_str().to_owned()),
            vm_steps: work.steps.into(),
            seconds: work.seconds.into(),
        });
        Self(records.collect())
    }

    fn into_domain(self) -> Result<Vec<WorkTotals>, Nonsense> {
        let totals = self.0.into_iter().map(|record| {
            let metric = record.metric.map(|metric| word("metric", metric, WorkMetric::parse)).transpose()?;
            Ok(WorkTotals {
                fingerprint: Fingerprint::from_u64(record.fingerprint),
                name: record.name,
                metric: metric.unwrap_or(WorkMetric::VmSteps),
                steps: record.vm_steps.into(),
                seconds: record.seconds.into(),
            })
        });
        totals.collect()
    }
}

/// A transition of an alert.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TransitionRecord {
    rule: String,
    status: String,
    at: i64,
    since: i64,
    value: Number,
    threshold: Number,
    severity: String,
    message: String,
    cause: Option<String>,
}

impl Stored for TransitionRecord {
    type Domain = AlertTransition;
    type Given = AlertTransition;

    fn of(given: &AlertTransition) -> Self {
        Self {
            rule: given.rule.clone(),
            status: given.status.as_str().to_owned(),
            at: given.at.nanos(),
            since: given.since.nanos(),
            value: given.value.into(),
            threshold: given.threshold.into(),
            severity: given.severity.as_str().to_owned(),
            message: given.message.clone(),
            cause: given.cause.clone(),
        }
    }

    fn into_domain(self) -> Result<AlertTransition, Nonsense> {
        Ok(AlertTransition {
            rule: self.rule,
            status: word("status of an alert", self.status, AlertStatus::parse)?,
            at: Timestamp::from_nanos(self.at),
            since: Timestamp::from_nanos(self.since),
            value: self.value.into(),
            threshold: self.threshold.into(),
            severity: word("severity", self.severity, Severity::parse)?,
            message: self.message,
            cause: self.cause,
        })
    }
}

/// A rule.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RuleRecord {
    name: String,
    series: String,
    comparison: String,
    threshold: Number,
    clear: Option<Number>,
    hold: std::time::Duration,
    keep_firing_for: std::time::Duration,
    severity: String,
    title: String,
}

impl Stored for RuleRecord {
    type Domain = AlertRule;
    type Given = AlertRule;

    fn of(given: &AlertRule) -> Self {
        Self {
            name: given.name.clone(),
            series: given.series.clone(),
            comparison: given.comparison.as_str().to_owned(),
            threshold: given.threshold.into(),
            clear: given.clear.map(Number::from),
            hold: given.hold,
            keep_firing_for: given.keep_firing_for,
            severity: given.severity.as_str().to_owned(),
            title: given.title.clone(),
        }
    }

    fn into_domain(self) -> Result<AlertRule, Nonsense> {
        Ok(AlertRule {
            name: self.name,
            series: self.series,
            comparison: word("comparison", self.comparison, Comparison::parse)?,
            threshold: self.threshold.into(),
            clear: self.clear.map(f64::from),
            hold: self.hold,
            keep_firing_for: self.keep_firing_for,
            severity: word("severity", self.severity, Severity::parse)?,
            title: self.title,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_reads_back() {
        for number in [0.1 + 0.2, -0.0, f64::MAX, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e23] {
            let text = serde_json::to_string(&Number::from(number)).unwrap();
            let read = f64::from(serde_json::from_str::<Number>(&text).unwrap());
            assert!(read.to_bits() == number.to_bits() || (read.is_nan() && number.is_nan()), "{text}");
        }
    }

    #[test]
    fn a_record_that_makes_no_sense_says_what() {
        let error = read::<BaselineRecord>("read a baseline", "{").unwrap_err();
        assert!(error.to_string().starts_with("the control plane is damaged: failed to read a baseline: "));
        let text = r#"{"rule":"r","status":"burning","at":1,"since":1,"value":1.5,"threshold":"NaN",
                       "severity":"info","message":"m","cause":null}"#;
        let error = read::<TransitionRecord>("read the alert history", text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the control plane is damaged: failed to read the alert history: \"burning\" is no status of an alert"
        );
    }
}
