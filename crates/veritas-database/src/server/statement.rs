//! Statements as the server counts them, their plans, and their history.

use veritas_model::{Fingerprint, Moments, Timestamp};

/// One statement, counted by the server over all applications.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatement {
    /// The statement without its literals, hashed: the same as the recorder's.
    pub fingerprint: Fingerprint,
    /// The statement without its literals.
    pub normalized: String,
    /// The statement as the server keeps it, with `$1` where literals were: it can be explained.
    pub text: String,
    /// The server's numbers for it: several where the server tells apart what we do not.
    pub server_ids: Vec<i64>,
    /// The tables that it touches, lower case, qualified as in the text.
    pub tables: Vec<String>,
    /// Whether it changes rows.
    pub writes: bool,
    /// Calls, and their seconds.
    pub seconds: Moments,
    /// Rows returned or changed.
    pub rows: u64,
    /// Pages found in the server's buffers.
    pub buffers_hit: u64,
    /// Pages that were not.
    pub buffers_read: u64,
    /// Pages of temporary files written: sorts and hashes that did not fit.
    pub temporary_written: u64,
    /// Bytes of write-ahead log; `None` where the server does not say.
    pub wal_bytes: Option<u64>,
    /// Seconds spent planning; `None` where the server does not count them.
    pub planning_seconds: Option<f64>,
}

/// What a statement cost between two readings.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementWindow {
    /// The end of the window.
    pub at: Timestamp,
    /// How long the window is, in seconds.
    pub seconds: f64,
    /// Calls in it, and their seconds.
    pub work: Moments,
    /// Rows in it.
    pub rows: u64,
    /// Pages asked for in it.
    pub buffers: u64,
}

/// One plan of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanReading {
    /// The shape of the plan, hashed: nodes, tables and indexes, without costs and values.
    pub shape: u64,
    /// The plan as the server printed it, without literals.
    pub text: String,
    /// What the planner expects it to cost.
    pub cost: f64,
    /// Whether it is the plan for all values, or for one.
    pub generic: bool,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// Mean seconds of a call while it was in use; `None` where not known.
    pub mean_seconds: Option<f64>,
}
