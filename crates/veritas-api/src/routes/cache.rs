//! `/cache`: what the caches did and hold.

pub(crate) mod advice;
pub(crate) mod keys;
pub(crate) mod namespaces;
pub(crate) mod server;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_cache::{NamespaceStatistics, SecondTier, TierCounts, TierMemory, TierStatistics};
use veritas_model::{Bytes, Provenance, Ratio};

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
    "load_errors": 0, "coalesced": 0, "stale_serves": 0, "invalidations": 0, "load_seconds": 0.5,
    "load_seconds_saved": 3.0, "tiers": {}, "overflowed_namespaces": 0, "namespaces": {},
    "provenance": "measured"}))]
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
    /// Hits on values past their time, while one caller refreshed them.
    stale_serves: u64,
    /// Entries dropped since another process, or a tag, said that they were outdated.
    invalidations: u64,
    /// Seconds that loaders ran, together.
    load_seconds: f64,
    /// Seconds that loaders would have run for the hits: hits times the mean time of a load. An estimate.
    load_seconds_saved: f64,
    /// The second tiers, by name.
    tiers: BTreeMap<String, TierStats>,
    /// How often a namespace was opened beyond the limit and counted under a common name.
    overflowed_namespaces: u64,
    /// The same for each namespace.
    namespaces: BTreeMap<String, NamespaceStats>,
    /// `measured`, or `unavailable` while no cache is registered.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What was asked of one second tier.
#[derive(Serialize, ToSchema)]
pub(crate) struct TierStats {
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    /// Operations that failed, time-outs and refusals among them.
    errors: u64,
}

/// What was asked of one namespace, over all tiers.
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

/// Returns what was asked of a namespace over its tiers: what the process misses and the
/// tier behind it has is a hit, and a value counts as set or deleted once, by the tier that
/// keeps it longest.
pub(crate) fn combined(process: &NamespaceStatistics, behind: Option<&TierCounts>) -> NamespaceStatistics {
    let Some(tier) = behind else { return *process };
    NamespaceStatistics {
        hits: process.hits.saturating_add(tier.hits),
        misses: process.misses.saturating_sub(tier.hits),
        sets: tier.sets,
        deletes: tier.deletes,
        ..*process
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
    /// The same for each tier; `null` where one does not tell.
    tiers: BTreeMap<String, TierHeld>,
    /// The same for each namespace.
    namespaces: BTreeMap<String, Held>,
    /// `estimated`, or `unavailable` while no cache is registered.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What one tier holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct TierHeld {
    /// Entries; `null` where it does not tell.
    #[schema(required)]
    entries: Option<u64>,
    /// Bytes, in MiB; `null` where it does not tell.
    #[schema(required, minimum = 0)]
    memory_mb: Option<f64>,
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
pub(crate) async fn stats(State(api): Shared, _: Viewer, _: NoParameters) -> Answer<CacheStats> {
    blocking(move || {
        let statistics = api.sources.caches.statistics();
        let provenance = if statistics.registered { Provenance::Measured } else { Provenance::Unavailable };
        let readings: Vec<(String, TierStatistics)> =
            tiers(&api).iter().map(|tier| (tier.name().to_owned(), tier.statistics())).collect();
        let namespaces: BTreeMap<String, NamespaceStatistics> = statistics
            .namespaces
            .iter()
            .map(|(name, process)| {
                let behind = readings.iter().filter_map(|(_, tier)| tier.of(name)).copied().reduce(both);
                (name.clone(), combined(process, behind.as_ref()))
            })
            .collect();
        let sum = |figure: fn(&NamespaceStatistics) -> u64| namespaces.values().map(figure).sum::<u64>();
        let (hits, misses) = (sum(|of| of.hits), sum(|of| of.misses));
        Ok(Json(CacheStats {
            hits,
            misses,
            sets: sum(|of| of.sets),
            deletes: sum(|of| of.deletes),
            total_requests: hits + misses,
            hit_rate: Ratio::of(hits, hits + misses).map_or(0.0, Ratio::percent),
            generated_at: api.now_seconds(),
            evictions: statistics.evictions,
            expirations: statistics.expirations,
            loads: statistics.loads,
            load_errors: statistics.load_errors,
            coalesced: statistics.coalesced,
            stale_serves: statistics.stale_serves,
            invalidations: statistics.invalidations,
            load_seconds: statistics.load_time.as_secs_f64(),
            load_seconds_saved: statistics.load_time_saved.as_secs_f64(),
            tiers: readings
                .iter()
                .map(|(name, tier)| (name.clone(), TierStats::from(&tier.total())))
                .collect(),
            overflowed_namespaces: statistics.overflowed_namespaces,
            namespaces: namespaces.iter().map(|(name, of)| (name.clone(), of.into())).collect(),
            provenance: provenance.as_str(),
        }))
    })
    .await
}

fn both(mut one: TierCounts, other: TierCounts) -> TierCounts {
    one.add(&other);
    one
}

/// Returns the tiers behind the process, each as it is asked.
fn tiers(api: &crate::api::Api) -> Vec<Arc<dyn SecondTier>> {
    api.sources.caches.tiers()
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
/// In the process, keys and tables are counted, and values by what they say of themselves.
/// A second tier is asked about a sample of its keys.
#[utoipa::path(get, path = "/cache/memory", operation_id = "get_cache_memory", tag = "Caching",
    responses((status = 200, description = "What the caches hold", body = CacheMemory), Refusals))]
pub(crate) async fn memory(State(api): Shared, _: Viewer, _: NoParameters) -> Answer<CacheMemory> {
    blocking(move || {
        let process = api.sources.caches.memory();
        let behind: Vec<(String, Option<TierMemory>)> =
            tiers(&api).iter().map(|tier| (tier.name().to_owned(), tier.memory())).collect();
        let generated_at = api.now_seconds();
        Ok(Json(CacheMemory::of(process, &behind, generated_at)))
    })
    .await
}

impl CacheMemory {
    /// Puts the tiers together. An entry that is in several tiers is one entry; its bytes are
    /// those that it takes in all of them. A tier that does not know is left out of the sums.
    fn of(
        process: veritas_cache::CacheMemory,
        behind: &[(String, Option<TierMemory>)],
        generated_at: f64,
    ) -> Self {
        let known = process.provenance != Provenance::Unavailable;
        let (mut bytes, mut bound) = (process.bytes.get(), process.error_bound.get());
        let mut namespaces: BTreeMap<String, (u64, u64)> = process
            .namespaces
            .into_iter()
            .map(|(name, held)| (name, (held.entries, held.bytes.get())))
            .collect();
        let mut tiers = BTreeMap::new();
        tiers.insert(
            "process".to_owned(),
            TierHeld {
                entries: known.then_some(process.entries),
                memory_mb: known.then(|| process.bytes.mebibytes()),
            },
        );
        for (name, memory) in behind {
            let held = TierHeld {
                entries: memory.as_ref().map(|memory| memory.entries),
                memory_mb: memory.as_ref().map(|memory| memory.bytes.mebibytes()),
            };
            tiers.insert(name.clone(), held);
            let Some(memory) = memory else { continue };
            bytes = bytes.saturating_add(memory.bytes.get());
            bound = bound.saturating_add(memory.error_bound.get());
            for (namespace, held) in &memory.namespaces {
                let (entries, of_namespace) = namespaces.entry(namespace.clone()).or_default();
                *entries = held.entries.max(*entries);
                *of_namespace = of_namespace.saturating_add(held.bytes.get());
            }
        }
        let known = known || behind.iter().any(|(_, memory)| memory.is_some());
        let entries = namespaces.values().map(|(entries, _)| entries).sum();
        Self {
            estimated_entries: known.then_some(entries),
            estimated_memory_mb: known.then(|| Bytes::new(bytes).mebibytes()),
            generated_at,
            error_bound_mb: known.then(|| Bytes::new(bound).mebibytes()),
            tiers: if known { tiers } else { BTreeMap::new() },
            namespaces: namespaces
                .into_iter()
                .map(|(name, (entries, bytes))| {
                    (name, Held { entries, memory_mb: Bytes::new(bytes).mebibytes() })
                })
                .collect(),
            provenance: if known { Provenance::Estimated } else { Provenance::Unavailable }.as_str(),
        }
    }
}

impl From<&TierCounts> for TierStats {
    fn from(counts: &TierCounts) -> Self {
        Self {
            hits: counts.hits,
            misses: counts.misses,
            sets: counts.sets,
            deletes: counts.deletes,
            errors: counts.errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_in_any_tier_is_one_hit() {
        let process = NamespaceStatistics { hits: 10, misses: 5, sets: 7, ..Default::default() };
        let behind = TierCounts { hits: 3, misses: 2, sets: 2, deletes: 1, ..TierCounts::default() };
        let both = combined(&process, Some(&behind));
        assert_eq!((both.hits, both.misses, both.sets, both.deletes), (13, 2, 2, 1));
        assert_eq!(combined(&process, None), process);
    }

    #[test]
    fn an_entry_in_two_tiers_is_one_entry() {
        let process = veritas_cache::CacheMemory {
            entries: 10,
            bytes: Bytes::new(1 << 20),
            provenance: Provenance::Estimated,
            error_bound: Bytes::new(1 << 19),
            namespaces: vec![(
                "users".into(),
                veritas_cache::NamespaceMemory {
                    entries: 10,
                    bytes: Bytes::new(1 << 20),
                    error_bound: Bytes::new(0),
                },
            )],
        };
        let redis = TierMemory {
            entries: 40,
            bytes: Bytes::new(2 << 20),
            error_bound: Bytes::new(0),
            provenance: Provenance::Estimated,
            sampled: 40,
            namespaces: vec![(
                "users".into(),
                veritas_cache::TierNamespaceMemory {
                    entries: 40,
                    bytes: Bytes::new(2 << 20),
                    error_bound: Bytes::new(0),
                },
            )],
        };
        let body = CacheMemory::of(process.clone(), &[("redis".into(), Some(redis))], 0.0);
        assert_eq!((body.estimated_entries, body.estimated_memory_mb), (Some(40), Some(3.0)));
        let body = CacheMemory::of(process, &[("redis".into(), None)], 0.0);
        assert_eq!(body.estimated_entries, Some(10));
        assert_eq!(body.tiers["redis"].entries, None, "what does not answer is null");
    }
}
