//! The cause of a finding, as JSON.

use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::Cause;

/// Why something is slow.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = FindingCause)]
pub(crate) enum CauseBody {
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
        /// The request that repeats it.
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
    /// Another capacity would bring another hit ratio.
    CacheSize {
        /// What the cache may hold, in bytes.
        capacity: u64,
        /// The share of look-ups that hit, 0 to 1.
        hit_ratio: f64,
        /// What it should be allowed to hold, in bytes.
        advised_capacity: u64,
        /// The share of look-ups that would hit, 0 to 1.
        advised_hit_ratio: f64,
    },
    /// Another time to live would bring another hit ratio, or fewer stale values.
    CacheTimeToLive {
        /// The time to live, in seconds.
        ttl_seconds: f64,
        /// The share of look-ups that hit, 0 to 1.
        hit_ratio: f64,
        /// What the time to live should be, in seconds.
        advised_ttl_seconds: f64,
        /// The share of look-ups that would hit, 0 to 1.
        advised_hit_ratio: f64,
    },
    /// The cache spends more time than it saves.
    CacheLoss {
        /// Seconds that the cache spends on one look-up.
        spent_seconds: f64,
        /// Seconds of loading that it saves on one look-up.
        saved_seconds: f64,
    },
    /// The calls repeat, and nothing is cached yet.
    CacheCandidate {
        /// Calls seen.
        calls: u64,
        /// The share of them that a cache would have answered, 0 to 1.
        hit_ratio: f64,
        /// Seconds that one call takes.
        seconds_per_call: f64,
    },
    /// One key takes a large part of the look-ups.
    HotKey {
        /// Its share of the look-ups, 0 to 1.
        request_share: f64,
    },
    /// One key takes a large part of the memory.
    BigKey {
        /// What it takes, in bytes.
        bytes: u64,
    },
    /// What a node of the plan shows.
    Plan {
        /// The node, as the database names it.
        node: String,
        /// The table that it reads; `null` where it reads none.
        #[schema(required)]
        table: Option<String>,
        /// What is wrong, in words.
        detail: String,
        /// The plan as the database printed it, without literals.
        plan: String,
    },
    /// What the text of the statement shows.
    Text {
        /// What is wrong, in words.
        detail: String,
    },
    /// Another text returns the same rows and costs less: checked and measured.
    Rewritable {
        /// What is done.
        rule: String,
        /// The statement to write instead, without literals.
        rewritten: String,
        /// What changes for the caller; `null` where nothing does.
        #[schema(required)]
        condition: Option<String>,
        /// Mean cost of one call as it is written now.
        before: f64,
        /// Mean cost of one call of the other text.
        after: f64,
        /// What the costs are counted in.
        metric: &'static str,
        /// How it was checked that both return the same.
        checked: String,
    },
    /// The plan of a statement is another than before.
    PlanChange {
        /// The plan before, without literals.
        before: String,
        /// The plan now, without literals.
        after: String,
        /// Mean seconds of one call before; `null` where not known.
        #[schema(required)]
        seconds_before: Option<f64>,
        /// Mean seconds of one call since; `null` where not known.
        #[schema(required)]
        seconds_after: Option<f64>,
    },
    /// What is wrong with an index.
    Index {
        /// Its table.
        table: String,
        /// Its name.
        index: String,
        /// What is wrong, in words.
        detail: String,
        /// What it takes on disk, in bytes; `null` where not known.
        #[schema(required)]
        bytes: Option<u64>,
    },
    /// What a server says of itself.
    ServerCondition {
        /// The section that it was read from.
        section: String,
        /// The condition, in words.
        detail: String,
    },
}

impl From<Cause> for CauseBody {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::SequentialScan { table, rows_read, rows_kept, plan } => {
                Self::SequentialScan { table, rows_read, rows_kept, plan }
            }
            Cause::Sort { table, plan } => Self::Sort { table, plan },
            Cause::RepeatedStatement { request, calls_per_request } => {
                Self::RepeatedStatement { request, calls_per_request }
            }
            Cause::UnboundedResult { rows_per_call } => Self::UnboundedResult { rows_per_call },
            Cause::RepeatedComputation { calls, distinct_arguments } => {
                Self::RepeatedComputation { calls, distinct_arguments }
            }
            Cause::AboveThreshold => Self::AboveThreshold,
            Cause::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Self::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio }
            }
            Cause::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio } => {
                Self::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio }
            }
            Cause::CacheLoss { spent_seconds, saved_seconds } => {
                Self::CacheLoss { spent_seconds, saved_seconds }
            }
            Cause::CacheCandidate { calls, hit_ratio, seconds_per_call } => {
                Self::CacheCandidate { calls, hit_ratio, seconds_per_call }
            }
            Cause::HotKey { request_share } => Self::HotKey { request_share },
            Cause::BigKey { bytes } => Self::BigKey { bytes },
            Cause::ServerCondition { section, detail } => Self::ServerCondition { section, detail },
            Cause::Plan { node, table, detail, plan } => Self::Plan { node, table, detail, plan },
            Cause::Text { detail } => Self::Text { detail },
            Cause::Rewritable { rule, rewritten, condition, before, after, metric, checked } => {
                let metric = metric.as_str();
                Self::Rewritable { rule, rewritten, condition, before, after, metric, checked }
            }
            Cause::PlanChange { before, after, seconds_before, seconds_after } => {
                Self::PlanChange { before, after, seconds_before, seconds_after }
            }
            Cause::Index { table, index, detail, bytes } => Self::Index { table, index, detail, bytes },
        }
    }
}
