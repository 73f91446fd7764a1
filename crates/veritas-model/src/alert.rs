//! Alerts: rules, and what becomes of them.

use std::time::Duration;

use crate::Timestamp;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// Returns the word of the published JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == word)
    }
}

/// How a value is compared with its threshold. Strict: at the threshold nothing fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Fires above the threshold.
    Above,
    /// Fires below the threshold.
    Below,
}

impl Comparison {
    /// Returns the word used in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Above, Self::Below].into_iter().find(|comparison| comparison.as_str() == word)
    }

    /// Returns whether `value` is beyond `threshold`.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::Below => value < threshold,
        }
    }
}

/// When to raise an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// Its name, unique (`high_cpu`); the `type` of the published JSON.
    pub name: String,
    /// The series that it watches (`system.cpu.percent`).
    pub series: String,
    /// The direction.
    pub comparison: Comparison,
    /// The threshold, in the unit of the series.
    pub threshold: f64,
    /// The level at which a firing alert clears (hysteresis); `None`: the threshold.
    pub clear: Option<f64>,
    /// How long the condition must hold before the alert fires.
    pub hold: Duration,
    /// How long the alert keeps firing after the condition ended.
    pub keep_firing_for: Duration,
    /// How urgent it is.
    pub severity: Severity,
    /// What it says, before the value (`High CPU usage`).
    pub title: String,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertStatus {
    /// The condition holds, not yet for long enough.
    Pending,
    /// The alert is on.
    Firing,
    /// It was on and is over. (A pending one that ends leaves no trace.)
    Resolved,
}

impl AlertStatus {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Firing, Self::Resolved].into_iter().find(|status| status.as_str() == word)
    }
}

/// One change of a rule's status, durable before anyone is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertTransition {
    /// The rule.
    pub rule: String,
    /// The status entered.
    pub status: AlertStatus,
    /// When it was entered.
    pub at: Timestamp,
    /// When the condition began to hold.
    pub since: Timestamp,
    /// The value at that time.
    pub value: f64,
    /// The threshold at that time.
    pub threshold: f64,
    /// The rule's severity at that time.
    pub severity: Severity,
    /// What it says (`High CPU usage: 85%`).
    pub message: String,
    /// What is to blame, when it is known (`process 4242 stress uses 97 % of a core`).
    pub cause: Option<String>,
}
