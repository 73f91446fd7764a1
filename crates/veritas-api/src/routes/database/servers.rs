//! `/db/servers`: the database servers that are looked at, as they tell of themselves.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_database::server::{
    ReplicaReading, ServerConnections, ServerReading, SettingReading, SlotReading, TableReading,
};
use veritas_model::{Bytes, Ratio, Timestamp};

use crate::{
    api::Shared,
    extract::{NoParameters, Viewer},
    openapi::Refusals,
};

/// The most tables of one server.
const MOST_TABLES: usize = 100;

/// The servers that are looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseServerList)]
pub(crate) struct ServerList {
    servers: Vec<ServerBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One server at its last reading. A part that was not read is `null`, and `not_read` says why.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseServer)]
pub(crate) struct ServerBody {
    name: String,
    /// `postgresql`, `mariadb` or `mysql`.
    engine: &'static str,
    version: String,
    /// The database that is looked at.
    database: String,
    /// When the reading was begun, in Unix seconds.
    read_at: f64,
    /// How long it took, in seconds.
    took_seconds: f64,
    #[schema(required)]
    uptime_seconds: Option<f64>,
    /// Whether it only answers reads.
    is_replica: bool,
    /// Extensions with their versions.
    extensions: BTreeMap<String, String>,
    /// When the counters of the statements were last reset, in Unix seconds; `null` where not known.
    #[schema(required)]
    statements_reset_at: Option<f64>,
    /// Statements that the server forgot to make room for others; `null` where not known.
    #[schema(required)]
    statements_evicted: Option<u64>,
    #[schema(required)]
    connections: Option<ConnectionsBody>,
    /// The largest first, at most 100.
    #[schema(required)]
    tables: Option<Vec<TableBody>>,
    #[schema(required)]
    settings: Option<Vec<SettingBody>>,
    #[schema(required)]
    replication: Option<ReplicationBody>,
    /// Age of the oldest unfrozen transaction id; `null` where there is no such thing.
    #[schema(required)]
    transaction_id_age: Option<u64>,
    /// Why parts are `null`, by their name.
    not_read: BTreeMap<&'static str, String>,
}

/// The connections of a server.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseServerConnections)]
pub(crate) struct ConnectionsBody {
    active: u64,
    idle: u64,
    idle_in_transaction: u64,
    total: u64,
    max: u64,
    /// Of those, kept for superusers.
    reserved: u64,
    /// Percent of the allowed connections that are open; `null` when none is allowed.
    #[schema(required, minimum = 0)]
    utilization: Option<f64>,
}

/// One table.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseTable)]
pub(crate) struct TableBody {
    schema: String,
    name: String,
    size_bytes: u64,
    index_size_bytes: u64,
    /// Rows, estimated by the server; `null` when it was never analysed.
    #[schema(required)]
    rows: Option<u64>,
    #[schema(required)]
    dead_rows: Option<u64>,
    sequential_scans: u64,
    sequential_rows: u64,
    #[schema(required)]
    index_scans: Option<u64>,
    inserted: u64,
    updated: u64,
    /// Of those, updated without touching an index.
    hot_updated: u64,
    deleted: u64,
    #[schema(required)]
    changed_since_analyze: Option<u64>,
    /// When statistics were last gathered, in Unix seconds.
    #[schema(required)]
    analyzed_at: Option<f64>,
    /// When dead rows were last cleaned, in Unix seconds.
    #[schema(required)]
    vacuumed_at: Option<f64>,
}

/// One setting.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseSetting)]
pub(crate) struct SettingBody {
    name: String,
    value: String,
    #[schema(required)]
    unit: Option<String>,
    source: String,
}

/// Replicas and slots.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseReplication)]
pub(crate) struct ReplicationBody {
    replicas: Vec<ReplicaBody>,
    slots: Vec<SlotBody>,
    /// Seconds that this replica is behind; `null` for a primary.
    #[schema(required)]
    own_lag_seconds: Option<f64>,
}

/// One replica.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseReplica)]
pub(crate) struct ReplicaBody {
    name: String,
    state: String,
    #[schema(required)]
    behind_bytes: Option<u64>,
    #[schema(required)]
    lag_seconds: Option<f64>,
}

/// One replication slot.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseSlot)]
pub(crate) struct SlotBody {
    name: String,
    active: bool,
    /// What it holds back on disk.
    #[schema(required)]
    held_back_bytes: Option<u64>,
}

/// List database servers
///
/// What each server that is looked at tells of itself, at its last reading.
#[utoipa::path(get, path = "/db/servers", operation_id = "list_db_servers", tag = "Database",
    responses((status = 200, description = "The servers", body = ServerList), Refusals))]
pub(crate) async fn list(State(api): Shared, _: Viewer, _: NoParameters) -> Json<ServerList> {
    let servers = api.sources.database_servers.all();
    Json(ServerList {
        servers: servers.iter().map(|server| ServerBody::from(&*server.reading)).collect(),
        generated_at: api.now_seconds(),
    })
}

impl From<&ServerReading> for ServerBody {
    fn from(reading: &ServerReading) -> Self {
        let parts = [
            ("statements", reading.statements.as_ref().err()),
            ("activity", reading.activity.as_ref().err()),
            ("locks", reading.locks.as_ref().err()),
            ("tables", reading.tables.as_ref().err()),
            ("indexes", reading.indexes.as_ref().err()),
            ("settings", reading.settings.as_ref().err()),
            ("replication", reading.replication.as_ref().err()),
            ("connections", reading.connections.as_ref().err()),
        ];
        let not_read = parts.into_iter().filter_map(|(part, why)| why.map(|why| (part, why.to_string())));
        let tables = reading.tables.as_ref().ok();
        let settings = reading.settings.as_ref().ok();
        Self {
            name: reading.name.clone(),
            engine: reading.engine.as_str(),
            version: reading.version.clone(),
            database: reading.database.clone(),
            read_at: reading.read_at.seconds(),
            took_seconds: reading.took.as_secs_f64(),
            uptime_seconds: reading.uptime.map(|uptime| uptime.as_secs_f64()),
            is_replica: reading.is_replica,
            extensions: reading.extensions.iter().cloned().collect(),
            statements_reset_at: reading.statements_reset_at.map(Timestamp::seconds),
            statements_evicted: reading.statements_evicted,
            connections: reading.connections.as_ref().ok().map(ConnectionsBody::from),
            tables: tables.map(|tables| tables.iter().take(MOST_TABLES).map(TableBody::from).collect()),
            settings: settings.map(|settings| settings.iter().map(SettingBody::from).collect()),
            replication: reading.replication.as_ref().ok().map(|replication| ReplicationBody {
                replicas: replication.replicas.iter().map(ReplicaBody::from).collect(),
                slots: replication.slots.iter().map(SlotBody::from).collect(),
                own_lag_seconds: replication.own_lag.map(|lag| lag.as_secs_f64()),
            }),
            transaction_id_age: reading.transaction_id_age,
            not_read: not_read.collect(),
        }
    }
}

impl From<&ServerConnections> for ConnectionsBody {
    fn from(connections: &ServerConnections) -> Self {
        Self {
            active: connections.active,
            idle: connections.idle,
            idle_in_transaction: connections.idle_in_transaction,
            total: connections.total,
            max: connections.max,
            reserved: connections.reserved,
            utilization: Ratio::of(connections.total, connections.max).map(Ratio::percent),
        }
    }
}

impl From<&TableReading> for TableBody {
    fn from(table: &TableReading) -> Self {
        Self {
            schema: table.schema.clone(),
            name: table.name.clone(),
            size_bytes: table.size.get(),
            index_size_bytes: table.index_size.get(),
            rows: table.rows,
            dead_rows: table.dead_rows,
            sequential_scans: table.sequential_scans,
            sequential_rows: table.sequential_rows,
            index_scans: table.index_scans,
            inserted: table.inserted,
            updated: table.updated,
            hot_updated: table.hot_updated,
            deleted: table.deleted,
            changed_since_analyze: table.changed_since_analyze,
            analyzed_at: table.analyzed_at.map(Timestamp::seconds),
            vacuumed_at: table.vacuumed_at.map(Timestamp::seconds),
        }
    }
}

impl From<&SettingReading> for SettingBody {
    fn from(setting: &SettingReading) -> Self {
        let SettingReading { name, value, unit, source } = setting.clone();
        Self { name, value, unit, source }
    }
}

impl From<&ReplicaReading> for ReplicaBody {
    fn from(replica: &ReplicaReading) -> Self {
        Self {
            name: replica.name.clone(),
            state: replica.state.clone(),
            behind_bytes: replica.behind.map(Bytes::get),
            lag_seconds: replica.lag.map(|lag| lag.as_secs_f64()),
        }
    }
}

impl From<&SlotReading> for SlotBody {
    fn from(slot: &SlotReading) -> Self {
        Self { name: slot.name.clone(), active: slot.active, held_back_bytes: slot.held_back.map(Bytes::get) }
    }
}
