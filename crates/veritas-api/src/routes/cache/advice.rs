//! `/cache/advice`: which size and time to live each cache should have, and why.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use veritas_cache_advisor::{CapacityAdvice, NamespaceAdvice, Net, TimeToLiveAdvice};
use veritas_model::Provenance;

use crate::{
    api::{Answer, Shared, blocking},
    extract::{Parameters, Viewer},
    openapi::{NotFound, Refusals},
    problem::{Code, Problem},
};

/// Which caches to tell of.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdviceQuery {
    /// The namespace; all of them without it.
    #[param(min_length = 1)]
    namespace: Option<String>,
}

/// What the caches should be.
#[derive(Serialize, ToSchema)]
pub(crate) struct CacheAdvice {
    namespaces: Vec<AdviceBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// What one cache should be.
#[derive(Serialize, ToSchema)]
#[schema(as = NamespaceAdvice)]
pub(crate) struct AdviceBody {
    name: String,
    /// Seconds that it was watched.
    observed_seconds: f64,
    /// Look-ups in that time.
    look_ups: u64,
    /// Percent of them that hit.
    hit_rate: f64,
    /// Percent of the keys that are sampled; 100: the curves are exact.
    sampled_percent: f64,
    capacity_bytes: u64,
    ttl_seconds: f64,
    /// Whether it only watches.
    bypass: bool,
    /// The share of look-ups that misses, by capacity.
    miss_ratio_curve: Vec<MissPoint>,
    /// The share of look-ups that hits, and that is answered with an old value, by time to live.
    ttl_curve: Vec<TtlPoint>,
    /// What it saves and spends; `null` before it was measured.
    #[schema(required)]
    net: Option<NetBody>,
    hot_keys: Vec<HotKeyBody>,
    big_keys: Vec<BigKeyBody>,
    /// The capacity that it should have; `null`: as it is.
    #[schema(required)]
    capacity_advice: Option<CapacityBody>,
    /// The time to live that it should have; `null`: as it is.
    #[schema(required)]
    ttl_advice: Option<TtlBody>,
    /// Why nothing (more) is advised.
    reasons: Vec<String>,
    /// `simulated`: the accesses of the sampled keys were replayed.
    #[schema(value_type = super::super::ProvenanceWord)]
    provenance: &'static str,
}

/// A point of a miss-ratio curve.
#[derive(Serialize, ToSchema)]
#[schema(as = MissRatioPoint)]
pub(crate) struct MissPoint {
    capacity_bytes: u64,
    /// 0 to 1.
    miss_ratio: f64,
    /// How far the ratio may be off; 0 where all keys were simulated.
    error_bound: f64,
}

/// A point of a curve by time to live.
#[derive(Serialize, ToSchema)]
#[schema(as = TtlCurvePoint)]
pub(crate) struct TtlPoint {
    ttl_seconds: f64,
    /// 0 to 1.
    hit_ratio: f64,
    /// How far the ratio may be off (three standard errors); 0 where all keys were followed.
    hit_ratio_error_bound: f64,
    /// The share of look-ups that is answered with an old value, 0 to 1; `null` where values are not compared.
    #[schema(required)]
    staleness: Option<f64>,
    /// How far that share may be off; `null` where values are not compared.
    #[schema(required)]
    staleness_error_bound: Option<f64>,
}

/// What a cache saves and spends, in seconds per look-up.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheNet)]
pub(crate) struct NetBody {
    mean_load_seconds: f64,
    saved_seconds: f64,
    spent_seconds: f64,
    /// Saved less spent: below 0 the cache costs more than it saves.
    net_seconds: f64,
    /// 95 % interval of the net.
    low: f64,
    /// 95 % interval of the net.
    high: f64,
}

/// A key that is looked up often.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheHotKey)]
pub(crate) struct HotKeyBody {
    /// The key's hash.
    hash: String,
    /// Its look-ups, for certain.
    at_least: u64,
    /// Its look-ups, at most.
    at_most: u64,
    /// Percent of all look-ups, for certain.
    percent: f64,
}

/// A key whose value is heavy.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheBigKey)]
pub(crate) struct BigKeyBody {
    /// The key's hash.
    hash: String,
    bytes: u64,
}

/// Another capacity, and what it would bring.
#[derive(Serialize, ToSchema)]
#[schema(as = CapacityAdvice)]
pub(crate) struct CapacityBody {
    from_bytes: u64,
    to_bytes: u64,
    miss_ratio: f64,
    advised_miss_ratio: f64,
    /// How far the difference may be off.
    error_bound: f64,
    /// Seconds of loading saved (below 0: lost) per second.
    seconds_saved_per_second: f64,
}

/// Another time to live, and what it would bring.
#[derive(Serialize, ToSchema)]
#[schema(as = TtlAdvice)]
pub(crate) struct TtlBody {
    from_seconds: f64,
    to_seconds: f64,
    hit_ratio: f64,
    advised_hit_ratio: f64,
    #[schema(required)]
    staleness: Option<f64>,
    #[schema(required)]
    advised_staleness: Option<f64>,
}

impl From<&Net> for NetBody {
    fn from(net: &Net) -> Self {
        Self {
            mean_load_seconds: net.load,
            saved_seconds: net.saved,
            spent_seconds: net.spent,
            net_seconds: net.net,
            low: net.interval.low,
            high: net.interval.high,
        }
    }
}

impl From<&CapacityAdvice> for CapacityBody {
    fn from(advice: &CapacityAdvice) -> Self {
        Self {
            from_bytes: advice.from.get(),
            to_bytes: advice.to.get(),
            miss_ratio: advice.miss_ratio,
            advised_miss_ratio: advice.advised_miss_ratio,
            error_bound: advice.error_bound,
            seconds_saved_per_second: advice.seconds_saved,
        }
    }
}

impl From<&TimeToLiveAdvice> for TtlBody {
    fn from(advice: &TimeToLiveAdvice) -> Self {
        Self {
            from_seconds: advice.from.as_secs_f64(),
            to_seconds: advice.to.as_secs_f64(),
            hit_ratio: advice.hit_ratio,
            advised_hit_ratio: advice.advised_hit_ratio,
            staleness: advice.staleness,
            advised_staleness: advice.advised_staleness,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 53 bits of a count")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { rounded(part as f64 / whole as f64 * 100.0) }
}

/// Two decimals, as every percentage of the contract.
fn rounded(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

impl From<NamespaceAdvice> for AdviceBody {
    fn from(advice: NamespaceAdvice) -> Self {
        let points = advice.miss_ratio_curve.points.iter().map(|point| MissPoint {
            capacity_bytes: point.capacity.get(),
            miss_ratio: point.miss_ratio,
            error_bound: point.error_bound,
        });
        let compared = advice.ttl_curve.comparisons > 0;
        let lives = advice.ttl_curve.points.iter().map(|point| TtlPoint {
            ttl_seconds: point.time_to_live.as_secs_f64(),
            hit_ratio: point.hit_ratio,
            hit_ratio_error_bound: point.hit_ratio_error,
            staleness: compared.then_some(point.staleness),
            staleness_error_bound: compared.then_some(point.staleness_error),
        });
        let hot = advice.hot_keys.iter().map(|key| HotKeyBody {
            hash: key.hash.clone(),
            at_least: key.at_least,
            at_most: key.at_most,
            percent: rounded(key.share * 100.0),
        });
        let big =
            advice.big_keys.iter().map(|key| BigKeyBody { hash: key.hash.clone(), bytes: key.bytes.get() });
        Self {
            miss_ratio_curve: points.collect(),
            ttl_curve: lives.collect(),
            hot_keys: hot.collect(),
            big_keys: big.collect(),
            observed_seconds: advice.observed_for.as_secs_f64(),
            look_ups: advice.look_ups,
            hit_rate: percent(advice.hits, advice.look_ups),
            sampled_percent: rounded(advice.sampled * 100.0),
            capacity_bytes: advice.capacity.get(),
            ttl_seconds: advice.ttl.as_secs_f64(),
            bypass: advice.bypassed,
            net: advice.net.as_ref().map(NetBody::from),
            capacity_advice: advice.capacity_advice.as_ref().map(CapacityBody::from),
            ttl_advice: advice.ttl_advice.as_ref().map(TtlBody::from),
            reasons: advice.reasons,
            name: advice.name,
            provenance: Provenance::Simulated.as_str(),
        }
    }
}

/// Get advice on the caches
///
/// Curves of what other sizes and times to live would bring, from the accesses that were
/// sampled, and what follows from them. What is worth a change is among the proposals.
#[utoipa::path(get, path = "/cache/advice", operation_id = "get_cache_advice", tag = "Caching",
    params(AdviceQuery),
    responses((status = 200, description = "What the caches should be", body = CacheAdvice), Refusals, NotFound))]
pub(crate) async fn advice(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<AdviceQuery>,
) -> Answer<CacheAdvice> {
    blocking(move || {
        let mut readings = api.sources.cache_advisor.readings();
        if let Some(wanted) = query.namespace {
            readings.retain(|reading| reading.name == wanted);
            if readings.is_empty() {
                let detail =
                    "no look-ups of a cache of that name were seen; /cache/namespaces lists the caches";
                return Err(Problem::new(Code::CacheUnknown, detail));
            }
        }
        Ok(Json(CacheAdvice {
            namespaces: readings.into_iter().map(AdviceBody::from).collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}
