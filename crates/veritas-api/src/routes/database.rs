//! `/db`: statements, connections, and what optimizing them brought.

pub(crate) mod indexes;
pub(crate) mod locks;
pub(crate) mod queries;
pub(crate) mod query;
pub(crate) mod servers;

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_database::{ConnectionReading, PoolReading, StatementSnapshot};
use veritas_model::{KindGroup, Provenance, Ratio, Subject};
use veritas_optimize::Improvements;
use veritas_statistics::Histogram;

use super::findings::{CallerBody, ObservationBody, proposal_ids};
use crate::{
    api::{Answer, Api, Shared, blocking, of_store},
    extract::{NoParameters, Viewer},
    openapi::Refusals,
};

/// What optimizing brought so far, and what is slow now.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"user_id": 123,
    "optimizations_applied": ["indexing", "query_execution", "slow_query_analysis"],
    "performance_improvements": {
        "indexing": {"indexes_created": 3, "indexes_dropped": 1, "estimated_performance_gain": 40.0,
            "provenance": "measured"},
        "query_execution": {"queries_optimized": 5, "avg_execution_time_improvement": 0.25,
            "memory_usage_reduction": 15.0, "provenance": "measured"}},
    "query_analytics": {"slow_queries": [{"query_type": "content_without_pagination",
        "recommendation": "Add LIMIT clause and implement pagination", "estimated_impact": "High",
        "finding_id": "f-0123456789abcdef", "kind": "unbounded_result", "fingerprint": "0123456789abcdef",
        "normalized": "SELECT * FROM content", "evidence": [], "callers": [], "proposal_id": null}]}}))]
pub(crate) struct DatabaseOptimization {
    /// The subject of the token: an integer when it is one, else a string.
    user_id: UserId,
    /// The groups and kinds of which at least one change is kept.
    optimizations_applied: Vec<&'static str>,
    /// Sums and means over the kept changes.
    performance_improvements: PerformanceImprovements,
    /// What is slow now.
    query_analytics: QueryAnalytics,
}

/// A subject as the application that issued the token counts its users.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum UserId {
    Integer(i64),
    Text(String),
}

impl UserId {
    fn of(subject: String) -> Self {
        match subject.parse::<i64>() {
            // Only if nothing is lost: `007` and `+7` are names.
            Ok(number) if number.to_string() == subject => Self::Integer(number),
            _ => Self::Text(subject),
        }
    }
}

/// What kept changes brought, by group.
#[derive(Serialize, ToSchema)]
pub(crate) struct PerformanceImprovements {
    indexing: IndexingImprovements,
    query_execution: QueryImprovements,
}

/// What kept index changes brought.
#[derive(Serialize, ToSchema)]
pub(crate) struct IndexingImprovements {
    /// Kept created indexes.
    indexes_created: u64,
    /// Kept dropped indexes.
    indexes_dropped: u64,
    /// Mean percent of the work that is gone; `null` while no change is kept.
    #[schema(required)]
    estimated_performance_gain: Option<f64>,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What other kept changes of the database brought.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueryImprovements {
    /// Kept changes.
    queries_optimized: u64,
    /// Mean seconds saved per call; `null` while no change is kept.
    #[schema(required)]
    avg_execution_time_improvement: Option<f64>,
    /// Percent fewer bytes read per call; `null` where it is not measured.
    #[schema(required)]
    memory_usage_reduction: Option<f64>,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// What is slow.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueryAnalytics {
    /// Findings on statements, most recently seen first.
    slow_queries: Vec<SlowQuery>,
}

/// One slow statement.
#[derive(Serialize, ToSchema)]
pub(crate) struct SlowQuery {
    /// The name of the statement: its label, else its fingerprint.
    query_type: String,
    /// What to do.
    recommendation: String,
    /// By share of the observed time: Low below 5 %, High from 20 %.
    #[schema(value_type = super::findings::ImpactWord)]
    estimated_impact: &'static str,
    /// The finding.
    #[schema(pattern = "^f-[0-9a-f]{16}$")]
    finding_id: String,
    /// What kind of slowness.
    #[schema(value_type = super::findings::KindWord)]
    kind: &'static str,
    /// The statement without its literals, hashed.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    fingerprint: String,
    /// The statement without its literals.
    normalized: String,
    /// The figures that it rests on.
    evidence: Vec<ObservationBody>,
    /// Where in the code it comes from, most frequent first.
    callers: Vec<CallerBody>,
    /// The proposal that answers it; `null` without one.
    #[schema(required, pattern = "^p-[0-9a-f]{16}$")]
    proposal_id: Option<String>,
}

/// The statements that were run.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"total_queries": 200, "query_types": {"user_content_query": 50,
    "verification_query": 75, "analytics_query": 75}, "generated_at": 1_672_531_200.123,
    "dropped": 0, "details": {}, "provenance": "measured"}))]
pub(crate) struct DatabaseStats {
    /// Calls of all statements.
    total_queries: u64,
    /// Calls by name (label or fingerprint); they add up to `total_queries`.
    query_types: BTreeMap<String, u64>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
    /// Calls that are counted under `other`, since as many statements as may be are known.
    dropped: u64,
    /// More about each name.
    details: BTreeMap<String, QueryDetails>,
    /// `measured`, or `unavailable` while no source of statements is connected.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// The statements of one name.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueryDetails {
    /// Calls, failed ones included.
    calls: u64,
    /// Calls that failed.
    errors: u64,
    /// Rows that all calls returned or changed.
    rows: u64,
    /// Calls slower than the slow threshold.
    slow: u64,
    /// Seconds of all calls.
    total_seconds: f64,
    /// Mean seconds of a call.
    #[schema(required)]
    mean_seconds: Option<f64>,
    /// Median seconds of a call, within 0.8 %.
    #[schema(required)]
    p50_seconds: Option<f64>,
    /// 95th percentile, within 0.8 %.
    #[schema(required)]
    p95_seconds: Option<f64>,
    /// 99th percentile, within 0.8 %.
    #[schema(required)]
    p99_seconds: Option<f64>,
    /// The fingerprints of the statements.
    fingerprints: Vec<String>,
    /// Where they are called from, most frequent first.
    callers: Vec<CallerBody>,
}

/// The connections of the registered pools, else of the servers that are looked at.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"active_connections": 5, "idle_connections": 3, "max_connections": 20,
    "connection_utilization": 25.0, "generated_at": 1_672_531_200.123, "pools": {"main": {
    "active_connections": 5, "idle_connections": 3, "max_connections": 20, "connection_utilization": 25.0}},
    "provenance": "measured"}))]
pub(crate) struct DatabaseConnections {
    /// Connections in use; `null` while neither pool nor server is known.
    #[schema(required)]
    active_connections: Option<u64>,
    /// Connections open and unused; `null` while neither pool nor server is known.
    #[schema(required)]
    idle_connections: Option<u64>,
    /// Connections that may be opened; `null` while neither pool nor server is known.
    #[schema(required)]
    max_connections: Option<u64>,
    /// Percent of the allowed connections in use; `null` when none is allowed.
    #[schema(required, minimum = 0)]
    connection_utilization: Option<f64>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
    /// The same for each pool, or server.
    pools: BTreeMap<String, PoolBody>,
    /// `measured`, or `unavailable` while neither pool nor server is known.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// The connections of one pool.
#[derive(Serialize, ToSchema)]
pub(crate) struct PoolBody {
    active_connections: u64,
    idle_connections: u64,
    max_connections: u64,
    #[schema(required, minimum = 0)]
    connection_utilization: Option<f64>,
}

/// Get database optimization recommendations
///
/// Nothing here is an estimate of what might be: gains are those of changes
/// that were proven, applied, verified on live load and kept.
#[utoipa::path(get, path = "/db/optimization", operation_id = "get_db_optimization", tag = "Database",
    responses((status = 200, description = "Gains and findings", body = DatabaseOptimization), Refusals))]
pub(crate) async fn optimization(
    State(api): Shared,
    Viewer(caller): Viewer,
    _: NoParameters,
) -> Answer<DatabaseOptimization> {
    blocking(move || {
        let control = &api.sources.control;
        let changes = control.changes().map_err(|error| of_store("read the changes", &error))?;
        let findings = control.findings().map_err(|error| of_store("read the findings", &error))?;
        let proposals = control.proposals().map_err(|error| of_store("read the proposals", &error))?;
        let answers = proposal_ids(&proposals);
        let slow_queries = findings.into_iter().filter_map(|finding| {
            let Subject::Statement { name, fingerprint, normalized } = finding.subject else { return None };
            Some(SlowQuery {
                query_type: name,
                recommendation: finding.recommendation,
                estimated_impact: finding.impact.as_str(),
                kind: finding.kind.as_str(),
                fingerprint: fingerprint.to_string(),
                normalized,
                evidence: finding.evidence.iter().map(ObservationBody::from).collect(),
                callers: finding.callers.iter().map(CallerBody::from).collect(),
                proposal_id: answers.get(&finding.id).map(ToString::to_string),
                finding_id: finding.id.to_string(),
            })
        });
        Ok(Json(DatabaseOptimization {
            user_id: UserId::of(caller.subject),
            query_analytics: QueryAnalytics { slow_queries: slow_queries.take(MOST_FINDINGS).collect() },
            ..improvements(&Improvements::of(&changes))
        }))
    })
    .await
}

/// Findings that one answer holds at most; `/findings` has the rest.
const MOST_FINDINGS: usize = 1000;

fn improvements(kept: &Improvements) -> DatabaseOptimization {
    // The changes to caches are no optimizations of the database.
    let kinds = || kept.kinds_kept.iter().filter(|kind| kind.group() != KindGroup::Caching);
    let mut applied: Vec<_> = kinds().map(|kind| kind.group().as_str()).collect();
    applied.dedup();
    applied.extend(kinds().map(|kind| kind.as_str()));
    let provenance = |count: u64| {
        if count > 0 { Provenance::Measured.as_str() } else { Provenance::Unavailable.as_str() }
    };
    let percent = |share: f64| Ratio::new(share).map(Ratio::percent);
    DatabaseOptimization {
        user_id: UserId::Integer(0),
        optimizations_applied: applied,
        performance_improvements: PerformanceImprovements {
            indexing: IndexingImprovements {
                indexes_created: kept.indexes_created,
                indexes_dropped: kept.indexes_dropped,
                estimated_performance_gain: kept.indexing_gain.and_then(percent),
                provenance: provenance(kept.indexes_created + kept.indexes_dropped),
            },
            query_execution: QueryImprovements {
                queries_optimized: kept.queries_optimized,
                avg_execution_time_improvement: kept.mean_seconds_saved.filter(|saved| saved.is_finite()),
                memory_usage_reduction: kept.memory_reduction.and_then(percent),
                provenance: provenance(kept.queries_optimized),
            },
        },
        query_analytics: QueryAnalytics { slow_queries: Vec::new() },
    }
}

/// Get database statistics
///
/// A statement inside a label counts once, under the label.
#[utoipa::path(get, path = "/db/stats", operation_id = "get_db_stats", tag = "Database",
    responses((status = 200, description = "The statements that were run", body = DatabaseStats), Refusals))]
pub(crate) async fn stats(State(api): Shared, _: Viewer, _: NoParameters) -> Json<DatabaseStats> {
    let snapshot = api.sources.database.snapshot();
    let provenance = if snapshot.registered { Provenance::Measured } else { Provenance::Unavailable };
    Json(DatabaseStats {
        total_queries: snapshot.total,
        query_types: snapshot.calls_by_name().into_iter().collect(),
        generated_at: api.now_seconds(),
        dropped: snapshot.dropped,
        details: details(&snapshot),
        provenance: provenance.as_str(),
    })
}

/// Sums up the statements of each name: a label may hold several.
fn details(snapshot: &StatementSnapshot) -> BTreeMap<String, QueryDetails> {
    let mut by_name = BTreeMap::<&str, Vec<_>>::new();
    for statement in &snapshot.statements {
        by_name.entry(&statement.name).or_default().push(statement);
    }
    by_name
        .into_iter()
        .map(|(name, statements)| {
            let mut histogram = Histogram::new();
            for statement in &statements {
                histogram.merge(&statement.histogram);
            }
            let seconds = |quantile| histogram.quantile(quantile).map(seconds_of_nanos);
            let details = QueryDetails {
                calls: statements.iter().map(|statement| statement.calls).sum(),
                errors: statements.iter().map(|statement| statement.errors).sum(),
                rows: statements
                    .iter()
                    .map(|statement| statement.rows_returned.saturating_add(statement.rows_affected))
                    .fold(0, u64::saturating_add),
                slow: statements.iter().map(|statement| statement.slow).sum(),
                total_seconds: statements.iter().map(|statement| statement.total_seconds).sum(),
                mean_seconds: histogram.mean().map(|nanos| nanos / 1e9),
                p50_seconds: seconds(0.50),
                p95_seconds: seconds(0.95),
                p99_seconds: seconds(0.99),
                fingerprints: statements.iter().map(|statement| statement.fingerprint.to_string()).collect(),
                callers: statements
                    .iter()
                    .flat_map(|statement| &statement.callers)
                    .map(|count| CallerBody::from(&count.caller))
                    .collect(),
            };
            (name.to_owned(), details)
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a call of a hundred days keeps a nanosecond")]
fn seconds_of_nanos(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Get database connection statistics
///
/// What the pools of the application say of themselves; without one, what the
/// database servers that are looked at say.
#[utoipa::path(get, path = "/db/connections", operation_id = "get_db_connections", tag = "Database",
    responses((status = 200, description = "The connections", body = DatabaseConnections), Refusals))]
pub(crate) async fn connections(State(api): Shared, _: Viewer, _: NoParameters) -> Json<DatabaseConnections> {
    let reading = api.sources.database.connections().or_else(|| of_servers(&api));
    let total = reading.as_ref().map(|reading| reading.total);
    let provenance = if reading.is_some() { Provenance::Measured } else { Provenance::Unavailable };
    Json(DatabaseConnections {
        active_connections: total.map(|pool| pool.active),
        idle_connections: total.map(|pool| pool.idle),
        max_connections: total.map(|pool| pool.max),
        connection_utilization: reading.as_ref().and_then(ConnectionReading::utilization).map(Ratio::percent),
        generated_at: api.now_seconds(),
        pools: reading
            .into_iter()
            .flat_map(|reading| reading.pools)
            .map(|(name, pool)| {
                let body = PoolBody {
                    active_connections: pool.active,
                    idle_connections: pool.idle,
                    max_connections: pool.max,
                    connection_utilization: Ratio::of(pool.active, pool.max).map(Ratio::percent),
                };
                (name, body)
            })
            .collect(),
        provenance: provenance.as_str(),
    })
}

/// Returns what the servers say of their connections, each as a pool; `None` without one that says.
fn of_servers(api: &Api) -> Option<ConnectionReading> {
    let mut reading = ConnectionReading::default();
    for server in api.sources.database_servers.all() {
        let Ok(connections) = &server.reading.connections else { continue };
        let pool = PoolReading {
            active: connections.active,
            idle: connections.total.saturating_sub(connections.active),
            max: connections.max,
        };
        reading.total.active += pool.active;
        reading.total.idle += pool.idle;
        reading.total.max += pool.max;
        reading.pools.push((server.reading.name.clone(), pool));
    }
    (!reading.pools.is_empty()).then_some(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_user(subject: &str, expected: &str) {
        assert_eq!(serde_json::to_string(&UserId::of(subject.into())).unwrap(), expected);
    }

    #[test]
    fn a_user_is_an_integer_only_if_nothing_is_lost() {
        check_user("123", "123");
        check_user("-5", "-5");
        check_user("007", "\"007\"");
        check_user("+7", "\"+7\"");
        check_user("99999999999999999999", "\"99999999999999999999\"");
        check_user("ann", "\"ann\"");
    }

    #[test]
    fn without_a_kept_change_nothing_is_claimed() {
        let none = improvements(&Improvements::default());
        let body = serde_json::to_value(none).unwrap();
        assert_eq!(body["optimizations_applied"], serde_json::json!([]));
        assert!(body["performance_improvements"]["indexing"]["estimated_performance_gain"].is_null());
    }
}
