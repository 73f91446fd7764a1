//! `/db/queries`: statements as the process and the servers count them.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use veritas_database::{StatementStatistics, server::ServerStatement};
use veritas_model::{Finding, Fingerprint, Subject};

use super::query::{InProcess, OnServer};
use crate::{
    api::{Answer, Api, Shared, blocking, of_store},
    extract::{Parameters, Viewer, within},
    openapi::Refusals,
};

/// The statements, the costliest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryList)]
pub(crate) struct QueryList {
    queries: Vec<QueryBody>,
    /// How many there are in all.
    total: usize,
    /// Why a server's own counts are not among them, by server.
    not_read: BTreeMap<String, String>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One statement without its literals.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQuery)]
pub(crate) struct QueryBody {
    /// The statement without its literals, hashed.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub(super) fingerprint: String,
    /// The labels that the application gave it, if any.
    pub(super) labels: Vec<String>,
    /// The statement without its literals.
    pub(super) normalized: String,
    /// The tables that it touches.
    pub(super) tables: Vec<String>,
    /// What the process that embeds the engine counted; `null` when it never ran it.
    #[schema(required)]
    pub(super) in_process: Option<InProcess>,
    /// What servers counted over all of their clients, by the server's name.
    pub(super) servers: BTreeMap<String, OnServer>,
    /// Findings on it.
    #[schema(value_type = Vec<String>)]
    pub(super) finding_ids: Vec<String>,
}

impl QueryBody {
    fn seconds(&self) -> f64 {
        let servers = self.servers.values().map(|server| server.total_seconds).fold(0.0, f64::max);
        servers.max(self.in_process.as_ref().map_or(0.0, |process| process.total_seconds))
    }

    fn calls(&self) -> u64 {
        let servers = self.servers.values().map(|server| server.calls).max().unwrap_or(0);
        servers.max(self.in_process.as_ref().map_or(0, |process| process.calls))
    }

    fn mean_seconds(&self) -> f64 {
        let of_servers = self.servers.values().filter_map(|server| server.mean_seconds);
        let of_process = self.in_process.as_ref().and_then(|process| process.mean_seconds);
        of_servers.chain(of_process).fold(0.0, f64::max)
    }
}

/// What comes first.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// The most seconds of all calls.
    #[default]
    Total,
    /// The most seconds of one call.
    Mean,
    /// The most calls.
    Calls,
}

/// Which statements.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueryFilter {
    /// Most entries to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// What comes first: `total` seconds, `mean` seconds, or `calls`.
    #[param(inline)]
    order: Option<Order>,
}

/// List statements
///
/// Each statement once, with what the process counted beside what the servers counted.
#[utoipa::path(get, path = "/db/queries", operation_id = "list_db_queries", tag = "Database",
    params(QueryFilter),
    responses((status = 200, description = "The statements", body = QueryList), Refusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Viewer,
    Parameters(filter): Parameters<QueryFilter>,
) -> Answer<QueryList> {
    let limit = within("limit", filter.limit.unwrap_or(100), 1, 1000)? as usize;
    blocking(move || {
        let findings =
            api.sources.control.findings().map_err(|error| of_store("read the findings", &error))?;
        let mut queries: Vec<_> = collect(&api, &findings).into_values().collect();
        let key = |query: &QueryBody| match filter.order.unwrap_or_default() {
            Order::Total => query.seconds(),
            Order::Mean => query.mean_seconds(),
            #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
            Order::Calls => query.calls() as f64,
        };
        queries.sort_by(|left, right| {
            key(right).total_cmp(&key(left)).then_with(|| left.fingerprint.cmp(&right.fingerprint))
        });
        let total = queries.len();
        queries.truncate(limit);
        let not_read = api.sources.database_servers.all().into_iter().filter_map(|server| {
            let reading = &server.reading;
            reading.statements.as_ref().err().map(|why| (reading.name.clone(), why.to_string()))
        });
        Ok(Json(QueryList { queries, total, not_read: not_read.collect(), generated_at: api.now_seconds() }))
    })
    .await
}

/// Puts together what is known of each statement.
pub(super) fn collect(api: &Api, findings: &[Finding]) -> BTreeMap<Fingerprint, QueryBody> {
    let mut queries = BTreeMap::<Fingerprint, QueryBody>::new();
    let snapshot = api.sources.database.snapshot();
    let mut in_process = BTreeMap::<Fingerprint, Vec<&StatementStatistics>>::new();
    // `other` and labels without a statement have no text: they are no statements.
    for statement in snapshot.statements.iter().filter(|statement| !statement.normalized.is_empty()) {
        in_process.entry(statement.fingerprint).or_default().push(statement);
    }
    for (fingerprint, statements) in in_process {
        let Some(first) = statements.first() else { continue };
        let mut query = blank(fingerprint, &first.normalized, &first.tables);
        query.labels = statements.iter().filter_map(|statement| statement.label.clone()).collect();
        query.in_process = Some(InProcess::of(&statements));
        let _new = queries.insert(fingerprint, query);
    }
    for server in api.sources.database_servers.all() {
        for statement in server.reading.statements.iter().flatten() {
            let ServerStatement { fingerprint, normalized, tables, .. } = statement;
            let query =
                queries.entry(*fingerprint).or_insert_with(|| blank(*fingerprint, normalized, tables));
            let _other = query.servers.insert(server.reading.name.clone(), OnServer::of(statement));
        }
    }
    let mut of_each = HashMap::<Fingerprint, Vec<String>>::new();
    for finding in findings {
        if let Subject::Statement { fingerprint, .. } = &finding.subject {
            of_each.entry(*fingerprint).or_default().push(finding.id.to_string());
        }
    }
    for (fingerprint, ids) in of_each {
        if let Some(query) = queries.get_mut(&fingerprint) {
            query.finding_ids = ids;
        }
    }
    queries
}

fn blank(fingerprint: Fingerprint, normalized: &str, tables: &[String]) -> QueryBody {
    QueryBody {
        fingerprint: fingerprint.to_string(),
        labels: Vec::new(),
        normalized: normalized.to_owned(),
        tables: tables.to_vec(),
        in_process: None,
        servers: BTreeMap::new(),
        finding_ids: Vec::new(),
    }
}
