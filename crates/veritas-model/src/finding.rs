//! Findings: what is slow, why, and where in the code it comes from.

use crate::{FindingId, Fingerprint, Observation, Timestamp};

/// What kind of slowness was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A statement reads many rows to keep few, and an index would help.
    MissingIndex,
    /// One request runs the same statement again and again.
    NPlusOne,
    /// A statement returns rows without a limit.
    UnboundedResult,
    /// A function is called with few distinct arguments and is not cached.
    RepeatedComputation,
    /// A statement is slower than the slow threshold, cause not known yet.
    SlowStatement,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::MissingIndex,
        Self::NPlusOne,
        Self::UnboundedResult,
        Self::RepeatedComputation,
        Self::SlowStatement,
    ];

    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingIndex => "missing_index",
            Self::NPlusOne => "n_plus_one",
            Self::UnboundedResult => "unbounded_result",
            Self::RepeatedComputation => "repeated_computation",
            Self::SlowStatement => "slow_statement",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A statement: its label (or its fingerprint as text when it has none),
    /// its fingerprint, and its normalized text.
    Statement {
        /// The label the application gave, else the fingerprint.
        name: String,
        /// The statement without its literals.
        fingerprint: Fingerprint,
        /// The normalized text, literals removed.
        normalized: String,
    },
    /// A profiled function.
    Function {
        /// The name of its profile.
        name: String,
    },
}

impl Subject {
    /// Returns the name to show.
    pub fn name(&self) -> &str {
        match self {
            Self::Statement { name, .. } | Self::Function { name } => name,
        }
    }
}

/// Why it is slow, with the figures that show it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// A whole table is read for few rows.
    SequentialScan {
        /// The scanned table.
        table: String,
        /// Rows read in one call.
        rows_read: u64,
        /// Rows kept in one call.
        rows_kept: u64,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The rows are found, and then sorted or grouped again at every call.
    Sort {
        /// The table whose rows are sorted.
        table: String,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The same statement many times in one request.
    RepeatedStatement {
        /// The request (route template or job) that repeats it.
        request: String,
        /// Mean repetitions in one request.
        calls_per_request: f64,
    },
    /// A result without a limit.
    UnboundedResult {
        /// Mean rows in one call.
        rows_per_call: f64,
    },
    /// Few distinct arguments over many calls.
    RepeatedComputation {
        /// Calls seen.
        calls: u64,
        /// Distinct arguments among them.
        distinct_arguments: u64,
    },
    /// Slower than the threshold; nothing more is known.
    AboveThreshold,
}

/// How much there is to win, by share of the observed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Impact {
    /// Below 5 % of the observed time of its kind.
    Low,
    /// 5 % to 20 %.
    Medium,
    /// 20 % and more.
    High,
}

impl Impact {
    /// Classifies a share of the observed time (0 to 1).
    pub fn of_time_share(share: f64) -> Self {
        if share >= 0.20 {
            Self::High
        } else if share >= 0.05 {
            Self::Medium
        } else {
            Self::Low
        }
    }

    /// Returns the word of the published JSON (`estimated_impact`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|impact| impact.as_str() == word)
    }
}

/// A place in the application's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller {
    /// The source file, as the compiler names it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Something slow, why it is, and the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Stable: the same kind on the same subject keeps its identity.
    pub id: FindingId,
    /// What kind of slowness it is.
    pub kind: FindingKind,
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub cause: Cause,
    /// One sentence that says what to do.
    pub recommendation: String,
    /// How much there is to win.
    pub impact: Impact,
    /// The figures it rests on.
    pub evidence: Vec<Observation>,
    /// Where in the code it comes from, most frequent first.
    pub callers: Vec<Caller>,
    /// When it was first found.
    pub found_at: Timestamp,
    /// When it was last seen to be so.
    pub seen_at: Timestamp,
}

impl Finding {
    /// Derives the identity of a finding of `kind` on `subject`.
    pub fn identity(kind: FindingKind, subject: &Subject) -> FindingId {
        match subject {
            Subject::Statement { fingerprint, .. } => {
                FindingId::derive(&[kind.as_str(), "statement", &fingerprint.to_string()])
            }
            Subject::Function { name } => FindingId::derive(&[kind.as_str(), "function", name]),
        }
    }
}
