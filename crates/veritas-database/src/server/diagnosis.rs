//! What a doctor found on a server: faults with their fixes, and what was not looked at.

use std::fmt;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It could be better.
    Note,
    /// It costs time or will hurt some day.
    Warning,
    /// It loses data, stops the server, or nothing works.
    Critical,
}

impl Severity {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// One question to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Check {
    /// The code of the fault that it looks for: `invalid_index`.
    pub code: &'static str,
    /// What is as it should be when it passes.
    pub title: &'static str,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code of the kind of fault: `invalid_index`. Stable.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a few words.
    pub title: String,
    /// What it costs, and why.
    pub detail: String,
    /// How to mend it: statements, settings or a command, a line each.
    pub fix: String,
    /// What was seen: an object or a figure each, bounded.
    pub evidence: Vec<String>,
}

impl Fault {
    /// Makes a fault; who examined gives it its code.
    pub fn new(severity: Severity, title: &str, detail: &str, fix: impl Into<String>) -> Self {
        Self {
            code: "",
            severity,
            title: title.to_owned(),
            detail: detail.to_owned(),
            fix: fix.into(),
            evidence: Vec::new(),
        }
    }

    /// Adds what was seen.
    #[must_use]
    pub fn seen(self, evidence: Vec<String>) -> Self {
        Self { evidence, ..self }
    }
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// The server's version and role among its kind (`PostgreSQL 15.18, primary`); `None` when not reached.
    pub server: Option<String>,
    /// Whom we are logged in as; `None` when not reached.
    pub role: Option<String>,
    /// The faults, worst first.
    pub faults: Vec<Fault>,
    /// What is as it should be.
    pub passed: Vec<Check>,
    /// What could not be looked at, and why.
    pub not_checked: Vec<(Check, String)>,
}

impl Diagnosis {
    /// Returns the fault with this code.
    pub fn fault(&self, code: &str) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.code == code)
    }
}
