//! `/cache/namespaces`: each cache with the options in force, what it did and what it holds.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_cache::{NamespaceReading, TierCounts, Tuning};
use veritas_model::Condition;

use super::{NamespaceStats, combined};
use crate::{
    api::{Answer, Shared, blocking},
    extract::{NoParameters, Viewer},
    openapi::Refusals,
};

/// The caches, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamespaceList {
    namespaces: Vec<NamespaceBody>,
    /// How many bytes all of them may hold together in the process.
    budget_bytes: u64,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One cache.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheNamespace)]
pub(crate) struct NamespaceBody {
    name: String,
    options: OptionsBody,
    /// What was asked of it, over all tiers.
    statistics: NamespaceStats,
    /// Entries that the process holds.
    entries: u64,
    /// Bytes that the process holds.
    bytes: u64,
    /// Bytes of the common budget that it was given so far.
    granted_bytes: u64,
    /// Loads that were timed, and their mean in seconds; `null` before the first.
    #[schema(required, minimum = 0)]
    mean_load_seconds: Option<f64>,
    /// Nanoseconds of a hit, timed one in some thousands, of a key that was just looked up:
    /// a lower bound; `null` before the first.
    #[schema(required, minimum = 0)]
    hit_nanoseconds: Option<f64>,
    /// The second tiers that know it, by name.
    tiers: BTreeMap<String, TierBody>,
}

/// The options in force.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheOptions)]
pub(crate) struct OptionsBody {
    /// Bytes that it may hold.
    capacity_bytes: u64,
    /// Seconds that its entries live when nobody says otherwise.
    ttl_seconds: f64,
    /// The share by which a time to live is shortened at most.
    jitter: f64,
    /// Seconds that "nothing there" is remembered; `null`: not at all.
    #[schema(required)]
    negative_ttl_seconds: Option<f64>,
    /// Seconds that entries are served past their time while one refreshes them.
    stale_seconds: f64,
    /// How eagerly entries are refreshed before their time (the beta of `XFetch`); 0 is off.
    early_refresh: f64,
    /// Bytes of the largest value that is stored; `null`: no limit of its own.
    #[schema(required)]
    max_value_bytes: Option<u64>,
    /// The version of its values' form.
    schema: u32,
    /// Whether it only watches: nothing is stored or served.
    bypass: bool,
    /// What is not as the application set it, since it was tuned.
    tuned: Vec<&'static str>,
}

/// What was asked of a second tier for one cache.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheTier)]
pub(crate) struct TierBody {
    /// `ready` or `degraded`.
    status: &'static str,
    /// Why it is degraded; `null` when it is not.
    #[schema(required)]
    reason: Option<String>,
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    /// Operations that failed, time-outs and refusals among them.
    errors: u64,
    /// Values that could not be read, and were removed.
    corrupted: u64,
    timeouts: u64,
    /// Operations that were not even tried.
    refused: u64,
    /// Bytes of values that were read.
    bytes_in: u64,
    /// Bytes of values that were written.
    bytes_out: u64,
    /// Keys that other processes changed.
    invalidations: u64,
    /// Loads that waited for another process.
    lease_waits: u64,
    /// Loads that ran without a lease.
    lease_failures: u64,
}

impl From<Tuning> for OptionsBody {
    fn from(tuning: Tuning) -> Self {
        Self {
            capacity_bytes: tuning.capacity.get(),
            ttl_seconds: tuning.ttl.as_secs_f64(),
            jitter: tuning.jitter,
            negative_ttl_seconds: tuning.negative_ttl.map(|ttl| ttl.as_secs_f64()),
            stale_seconds: tuning.stale.as_secs_f64(),
            early_refresh: tuning.early_refresh,
            max_value_bytes: tuning.max_value.map(veritas_model::Bytes::get),
            schema: tuning.schema,
            bypass: tuning.bypass,
            tuned: tuning.tuned.iter().map(|name| name.as_str()).collect(),
        }
    }
}

impl TierBody {
    fn of(condition: &Condition, counts: &TierCounts) -> Self {
        let reason = match condition {
            Condition::Ready => None,
            Condition::Degraded(reason) => Some(reason.clone()),
        };
        Self {
            status: if reason.is_none() { "ready" } else { "degraded" },
            reason,
            hits: counts.hits,
            misses: counts.misses,
            sets: counts.sets,
            deletes: counts.deletes,
            errors: counts.errors,
            corrupted: counts.corrupted,
            timeouts: counts.timeouts,
            refused: counts.refused,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            invalidations: counts.invalidations,
            lease_waits: counts.lease_waits,
            lease_failures: counts.lease_failures,
        }
    }
}

impl From<NamespaceReading> for NamespaceBody {
    fn from(reading: NamespaceReading) -> Self {
        let mut behind = TierCounts::default();
        reading.tiers.iter().for_each(|(_, _, counts)| behind.add(counts));
        let is_tiered = !reading.tiers.is_empty();
        Self {
            name: reading.name,
            statistics: NamespaceStats::from(&combined(&reading.statistics, is_tiered.then_some(&behind))),
            entries: reading.memory.entries,
            bytes: reading.memory.bytes.get(),
            granted_bytes: reading.granted.get(),
            mean_load_seconds: reading.load_cost.mean(),
            hit_nanoseconds: reading.hit_cost_ns,
            tiers: reading
                .tiers
                .iter()
                .map(|(name, condition, counts)| (name.clone(), TierBody::of(condition, counts)))
                .collect(),
            options: reading.tuning.into(),
        }
    }
}

/// List the caches
///
/// With the options in force, what was asked of each, and what each holds.
#[utoipa::path(get, path = "/cache/namespaces", operation_id = "list_cache_namespaces", tag = "Caching",
    responses((status = 200, description = "The caches, by name", body = NamespaceList), Refusals))]
pub(crate) async fn list(State(api): Shared, _: Viewer, _: NoParameters) -> Answer<NamespaceList> {
    blocking(move || {
        Ok(Json(NamespaceList {
            namespaces: api.sources.caches.namespaces().into_iter().map(NamespaceBody::from).collect(),
            budget_bytes: api.sources.caches.capacity().get(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}
