//! `/db/indexes`: the indexes of the servers, with their use, their size and what is wrong with them.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_database::server::IndexReading;
use veritas_model::{Bytes, Cause, Finding, Timestamp};

use crate::{
    api::{Answer, Shared, blocking, of_store},
    extract::{Parameters, Viewer},
    openapi::Refusals,
    routes::ListQuery,
};

/// The indexes of all servers that are looked at, largest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseIndexList)]
pub(crate) struct IndexList {
    indexes: Vec<IndexBody>,
    /// How many there are in all.
    total: usize,
    /// Why a server's indexes are not among them, by server.
    not_read: BTreeMap<String, String>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One index.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseIndex)]
pub(crate) struct IndexBody {
    /// The server's name.
    server: String,
    schema: String,
    table: String,
    name: String,
    /// Key columns or expressions in order, with their direction.
    keys: Vec<String>,
    /// Columns that are only carried.
    include: Vec<String>,
    /// The condition of a partial index; `null` for a whole one.
    #[schema(required)]
    predicate: Option<String>,
    /// The access method.
    method: String,
    /// The statement that makes it again.
    definition: String,
    /// Its size on disk.
    size_bytes: u64,
    /// The size that it should have by what it holds, estimated; `null` where not known.
    #[schema(required)]
    expected_size_bytes: Option<u64>,
    /// Scans since the server's counters began, on this server only; `null` where not known.
    #[schema(required)]
    scans: Option<u64>,
    /// When it was last scanned, in Unix seconds; `null` where the server does not say.
    #[schema(required)]
    scanned_at: Option<f64>,
    unique: bool,
    /// The constraint that it serves; `null` without one.
    #[schema(required)]
    constraint: Option<String>,
    /// Why it is never dropped; `null` where it might be.
    #[schema(required)]
    protected: Option<String>,
    /// Whether it can be used.
    valid: bool,
    /// Findings on it.
    finding_ids: Vec<String>,
}

/// List indexes
///
/// Use is counted by each server for itself: what a primary never scans a replica may.
#[utoipa::path(get, path = "/db/indexes", operation_id = "list_db_indexes", tag = "Database",
    params(ListQuery),
    responses((status = 200, description = "The indexes", body = IndexList), Refusals))]
pub(crate) async fn list(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<IndexList> {
    let limit = query.limit()?;
    blocking(move || {
        let findings =
            api.sources.control.findings().map_err(|error| of_store("read the findings", &error))?;
        let mut indexes = Vec::new();
        let mut not_read = BTreeMap::new();
        for server in api.sources.database_servers.all() {
            let name = &server.reading.name;
            match &server.reading.indexes {
                Ok(read) => indexes.extend(read.iter().map(|index| IndexBody::of(name, index, &findings))),
                Err(why) => {
                    let _same = not_read.insert(name.clone(), why.to_string());
                }
            }
        }
        indexes.sort_by(|left, right| {
            right.size_bytes.cmp(&left.size_bytes).then_with(|| left.name.cmp(&right.name))
        });
        let total = indexes.len();
        indexes.truncate(limit);
        Ok(Json(IndexList { indexes, total, not_read, generated_at: api.now_seconds() }))
    })
    .await
}

impl IndexBody {
    fn of(server: &str, index: &IndexReading, findings: &[Finding]) -> Self {
        let is_on_it = |finding: &&Finding| {
            matches!(&finding.cause, Cause::Index { index: name, .. } if name == &index.name)
                && finding.subject.name() == server
        };
        Self {
            server: server.to_owned(),
            schema: index.schema.clone(),
            table: index.table.clone(),
            name: index.name.clone(),
            keys: index.keys.clone(),
            include: index.include.clone(),
            predicate: index.predicate.clone(),
            method: index.method.clone(),
            definition: index.definition.clone(),
            size_bytes: index.size.get(),
            expected_size_bytes: index.expected_size.map(Bytes::get),
            scans: index.scans,
            scanned_at: index.scanned_at.map(Timestamp::seconds),
            unique: index.unique,
            constraint: index.constraint.clone(),
            protected: index.protected.clone(),
            valid: index.valid,
            finding_ids: findings.iter().filter(is_on_it).map(|finding| finding.id.to_string()).collect(),
        }
    }
}
