//! `/cache`: what the caches of the process did and hold.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_cache::NamespaceStatistics;
use veritas_model::{Provenance, Ratio};

use super::Message;
use crate::{
    api::{Answer, Shared, blocking},
    extract::{NoParameters, Operator, Viewer},
    openapi::{Refusals, RoleRefusals},
};

/// What was asked of the caches since the start, or since the statistics were cleared.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"hits": 150, "misses": 25, "sets": 175, "deletes": 0, "total_requests": 175,
    "hit_rate": 85.71, "generated_at": 1_672_531_200.123, "evictions": 0, "expirations": 0, "loads": 25,
    "load_errors": 0, "coalesced": 0, "overflowed_namespaces": 0, "namespaces": {}, "provenance": "measured"}))]
pub(crate) struct CacheStats {
    /// Look-ups that found a live value.
    hits: u64,
    /// Look-ups that did not.
    misses: u64,
    /// Values stored; a refused one is not a set.
    sets: u64,
    /// Entries removed because someone asked for it.
    deletes: u64,
    /// `hits + misses`.
    total_requests: u64,
    /// Percent of the look-ups that hit, 0 when there were none.
    #[schema(minimum = 0, maximum = 100)]
    hit_rate: f64,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
    /// Entries removed to make room.
    evictions: u64,
    /// Entries removed because they were too old.
    expirations: u64,
    /// Loaders that ran to an end.
    loads: u64,
    /// Loaders among them that failed.
    load_errors: u64,
    /// Missed look-ups that were answered by someone else's load.
    coalesced: u64,
    /// How often a namespace was opened beyond the limit and counted under a common name.
    overflowed_namespaces: u64,
    /// The same for each namespace.
    namespaces: BTreeMap<String, NamespaceStats>,
    /// `measured`, or `unavailable` while no cache is registered.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What was asked of one namespace.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamespaceStats {
    /// Look-ups that found a live value.
    hits: u64,
    /// Look-ups that did not.
    misses: u64,
    /// Values stored.
    sets: u64,
    /// Entries removed because someone asked for it.
    deletes: u64,
    /// Percent of the look-ups that hit, 0 when there were none.
    #[schema(minimum = 0, maximum = 100)]
    hit_rate: f64,
    /// Entries removed to make room.
    evictions: u64,
    /// Entries removed because they were too old.
    expirations: u64,
}

impl From<&NamespaceStatistics> for NamespaceStats {
    fn from(statistics: &NamespaceStatistics) -> Self {
        Self {
            hits: statistics.hits,
            misses: statistics.misses,
            sets: statistics.sets,
            deletes: statistics.deletes,
            hit_rate: statistics.hit_ratio().map_or(0.0, Ratio::percent),
            evictions: statistics.evictions,
            expirations: statistics.expirations,
        }
    }
}

/// What the caches hold.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"estimated_entries": 175, "estimated_memory_mb": 87.5,
    "generated_at": 1_672_531_200.123, "error_bound_mb": 1.76, "tiers": {"process": {"entries": 175,
    "memory_mb": 87.5}}, "namespaces": {"default": {"entries": 175, "memory_mb": 87.5}},
    "provenance": "estimated"}))]
pub(crate) struct CacheMemory {
    /// Entries held; `null` while no cache is registered.
    #[schema(required)]
    estimated_entries: Option<u64>,
    /// Their keys, values and tables, in MiB; `null` while no cache is registered.
    #[schema(required, minimum = 0)]
    estimated_memory_mb: Option<f64>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
    /// How far the figure may be off, in MiB.
    #[schema(required, minimum = 0)]
    error_bound_mb: Option<f64>,
    /// The same for each tier. There is one, `process`.
    tiers: BTreeMap<&'static str, Held>,
    /// The same for each namespace.
    namespaces: BTreeMap<String, Held>,
    /// `estimated`, or `unavailable` while no cache is registered.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What one part of the caches holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Held {
    /// Entries.
    entries: u64,
    /// Bytes, in MiB.
    #[schema(minimum = 0)]
    memory_mb: f64,
}

/// Get cache statistics
///
/// Counted by the caches themselves: a batch of ten look-ups is ten look-ups.
#[utoipa::path(get, path = "/cache/stats", operation_id = "get_cache_stats", tag = "Caching",
    responses((status = 200, description = "The statistics", body = CacheStats), Refusals))]
pub(crate) async fn stats(State(api): Shared, _: Viewer, _: NoParameters) -> Json<CacheStats> {
    let statistics = api.sources.caches.statistics();
    let provenance = if statistics.registered { Provenance::Measured } else { Provenance::Unavailable };
    Json(CacheStats {
        hits: statistics.hits,
        misses: statistics.misses,
        sets: statistics.sets,
        deletes: statistics.deletes,
        total_requests: statistics.total_requests(),
        hit_rate: statistics.hit_ratio().map_or(0.0, Ratio::percent),
        generated_at: api.now_seconds(),
        evictions: statistics.evictions,
        expirations: statistics.expirations,
        loads: statistics.loads,
        load_errors: statistics.load_errors,
        coalesced: statistics.coalesced,
        overflowed_namespaces: statistics.overflowed_namespaces,
        namespaces: statistics
            .namespaces
            .iter()
            .map(|(name, statistics)| (name.clone(), statistics.into()))
            .collect(),
        provenance: provenance.as_str(),
    })
}

/// Clear cache statistics
///
/// Zeroes the statistics, not the cache. Needs the role operator.
#[utoipa::path(delete, path = "/cache/stats", operation_id = "clear_cache_stats", tag = "Caching",
    responses((status = 200, description = "They are cleared", body = Message,
        example = json!({"message": "Cache statistics cleared successfully"})), RoleRefusals))]
pub(crate) async fn clear(
    State(api): Shared,
    Operator(caller): Operator,
    _: NoParameters,
) -> Answer<Message> {
    blocking(move || {
        api.audited(&caller, "clear_cache_stats", "cache/stats", || {
            api.sources.caches.reset_statistics();
            Ok(Json(Message { message: "Cache statistics cleared successfully" }))
        })
    })
    .await
}

/// Get cache memory usage
///
/// Keys and tables are counted, values by what they say of themselves.
#[utoipa::path(get, path = "/cache/memory", operation_id = "get_cache_memory", tag = "Caching",
    responses((status = 200, description = "What the caches hold", body = CacheMemory), Refusals))]
pub(crate) async fn memory(State(api): Shared, _: Viewer, _: NoParameters) -> Json<CacheMemory> {
    let memory = api.sources.caches.memory();
    let known = memory.provenance != Provenance::Unavailable;
    let process = Held { entries: memory.entries, memory_mb: memory.bytes.mebibytes() };
    Json(CacheMemory {
        estimated_entries: known.then_some(memory.entries),
        estimated_memory_mb: known.then(|| memory.bytes.mebibytes()),
        generated_at: api.now_seconds(),
        error_bound_mb: known.then(|| memory.error_bound.mebibytes()),
        tiers: known.then_some(("process", process)).into_iter().collect(),
        namespaces: memory
            .namespaces
            .into_iter()
            .map(|(name, held)| (name, Held { entries: held.entries, memory_mb: held.bytes.mebibytes() }))
            .collect(),
        provenance: memory.provenance.as_str(),
    })
}
