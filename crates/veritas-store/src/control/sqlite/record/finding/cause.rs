//! The stored form of what a finding says to be the cause.

use serde::{Deserialize, Serialize};
use veritas_model::{Cause, WorkMetric};

use super::super::{Nonsense, Number, word};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum CauseRecord {
    SequentialScan {
        table: String,
        rows_read: u64,
        rows_kept: u64,
        plan: String,
    },
    Sort {
        table: String,
        plan: String,
    },
    RepeatedStatement {
        request: String,
        calls_per_request: Number,
    },
    UnboundedResult {
        rows_per_call: Number,
    },
    RepeatedComputation {
        calls: u64,
        distinct_arguments: u64,
    },
    AboveThreshold,
    CacheSize {
        capacity: u64,
        hit_ratio: Number,
        advised_capacity: u64,
        advised_hit_ratio: Number,
    },
    CacheTimeToLive {
        ttl_seconds: Number,
        hit_ratio: Number,
        advised_ttl_seconds: Number,
        advised_hit_ratio: Number,
    },
    CacheLoss {
        spent_seconds: Number,
        saved_seconds: Number,
    },
    CacheCandidate {
        calls: u64,
        hit_ratio: Number,
        seconds_per_call: Number,
    },
    HotKey {
        request_share: Number,
    },
    BigKey {
        bytes: u64,
    },
    Plan {
        node: String,
        table: Option<String>,
        detail: String,
        plan: String,
    },
    Text {
        detail: String,
    },
    Rewritable {
        rule: String,
        rewritten: String,
        condition: Option<String>,
        before: Number,
        after: Number,
        metric: String,
        checked: String,
    },
    PlanChange {
        before: String,
        after: String,
        seconds_before: Option<Number>,
        seconds_after: Option<Number>,
    },
    Index {
        table: String,
        index: String,
        detail: String,
        bytes: Option<u64>,
    },
    ServerCondition {
        section: String,
        detail: String,
    },
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> Self {
        match cause.clone() {
            Cause::SequentialScan { table, rows_read, rows_kept, plan } => {
                Self::SequentialScan { table, rows_read, rows_kept, plan }
            }
            Cause::Sort { table, plan } => Self::Sort { table, plan },
            Cause::RepeatedStatement { request, calls_per_request } => {
                Self::RepeatedStatement { request, calls_per_request: calls_per_request.into() }
            }
            Cause::UnboundedResult { rows_per_call } => {
                Self::UnboundedResult { rows_per_call: rows_per_call.into() }
            }
            Cause::RepeatedComputation { calls, distinct_arguments } => {
                Self::RepeatedComputation { calls, distinct_arguments }
            }
            Cause::AboveThreshold => Self::AboveThreshold,
            Cause::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Self::CacheSize {
                    capacity,
                    hit_ratio: hit_ratio.into(),
                    advised_capacity,
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Cause::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio } => {
                Self::CacheTimeToLive {
                    ttl_seconds: ttl_seconds.into(),
                    hit_ratio: hit_ratio.into(),
                    advised_ttl_seconds: advised_ttl_seconds.into(),
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Cause::CacheLoss { spent_seconds, saved_seconds } => {
                Self::CacheLoss { spent_seconds: spent_seconds.into(), saved_seconds: saved_seconds.into() }
            }
            Cause::CacheCandidate { calls, hit_ratio, seconds_per_call } => Self::CacheCandidate {
                calls,
                hit_ratio: hit_ratio.into(),
                seconds_per_call: seconds_per_call.into(),
            },
            Cause::HotKey { request_share } => Self::HotKey { request_share: request_share.into() },
            Cause::BigKey { bytes } => Self::BigKey { bytes },
            Cause::ServerCondition { section, detail } => Self::ServerCondition { section, detail },
            Cause::Plan { node, table, detail, plan } => Self::Plan { node, table, detail, plan },
            Cause::Text { detail } => Self::Text { detail },
            Cause::Rewritable { rule, rewritten, condition, before, after, metric, checked } => {
                Self::Rewritable {
                    rule,
                    rewritten,
                    condition,
                    before: before.into(),
                    after: after.into(),
                    metric: metric.as_str().to_owned(),
                    checked,
                }
            }
            Cause::PlanChange { before, after, seconds_before, seconds_after } => Self::PlanChange {
                before,
                after,
                seconds_before: seconds_before.map(Number::from),
                seconds_after: seconds_after.map(Number::from),
            },
            Cause::Index { table, index, detail, bytes } => Self::Index { table, index, detail, bytes },
        }
    }
}

impl CauseRecord {
    pub(super) fn into_domain(self) -> Result<Cause, Nonsense> {
        Ok(match self {
            Self::SequentialScan { table, rows_read, rows_kept, plan } => {
                Cause::SequentialScan { table, rows_read, rows_kept, plan }
            }
            Self::Sort { table, plan } => Cause::Sort { table, plan },
            Self::RepeatedStatement { request, calls_per_request } => {
                Cause::RepeatedStatement { request, calls_per_request: calls_per_request.into() }
            }
            Self::UnboundedResult { rows_per_call } => {
                Cause::UnboundedResult { rows_per_call: rows_per_call.into() }
            }
            Self::RepeatedComputation { calls, distinct_arguments } => {
                Cause::RepeatedComputation { calls, distinct_arguments }
            }
            Self::AboveThreshold => Cause::AboveThreshold,
            Self::CacheSize { capacity, hit_ratio, advised_capacity, advised_hit_ratio } => {
                Cause::CacheSize {
                    capacity,
                    hit_ratio: hit_ratio.into(),
                    advised_capacity,
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Self::CacheTimeToLive { ttl_seconds, hit_ratio, advised_ttl_seconds, advised_hit_ratio } => {
                Cause::CacheTimeToLive {
                    ttl_seconds: ttl_seconds.into(),
                    hit_ratio: hit_ratio.into(),
                    advised_ttl_seconds: advised_ttl_seconds.into(),
                    advised_hit_ratio: advised_hit_ratio.into(),
                }
            }
            Self::CacheLoss { spent_seconds, saved_seconds } => {
                Cause::CacheLoss { spent_seconds: spent_seconds.into(), saved_seconds: saved_seconds.into() }
            }
            Self::CacheCandidate { calls, hit_ratio, seconds_per_call } => Cause::CacheCandidate {
                calls,
                hit_ratio: hit_ratio.into(),
                seconds_per_call: seconds_per_call.into(),
            },
            Self::HotKey { request_share } => Cause::HotKey { request_share: request_share.into() },
            Self::BigKey { bytes } => Cause::BigKey { bytes },
            Self::ServerCondition { section, detail } => Cause::ServerCondition { section, detail },
            Self::Plan { node, table, detail, plan } => Cause::Plan { node, table, detail, plan },
            Self::Text { detail } => Cause::Text { detail },
            Self::Rewritable { rule, rewritten, condition, before, after, metric, checked } => {
                Cause::Rewritable {
                    rule,
                    rewritten,
                    condition,
                    before: before.into(),
                    after: after.into(),
                    metric: word("metric", metric, WorkMetric::parse)?,
                    checked,
                }
            }
            Self::PlanChange { before, after, seconds_before, seconds_after } => Cause::PlanChange {
                before,
                after,
                seconds_before: seconds_before.map(f64::from),
                seconds_after: seconds_after.map(f64::from),
            },
            Self::Index { table, index, detail, bytes } => Cause::Index { table, index, detail, bytes },
        })
    }
}
