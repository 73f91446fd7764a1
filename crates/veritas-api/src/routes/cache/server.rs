//! `/cache/server`: the Redis server that is looked at, as it tells of itself.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_cache::server::{
    CommandReading, KeySample, Latest, NodeRates, NodeReading, ReplicationReading, Section, Share,
};
use veritas_model::{Bytes, Ratio, Timestamp};

use crate::{
    api::Shared,
    auth::Role,
    extract::{NoParameters, Viewer},
    openapi::Refusals,
};

/// The most commands and slow entries of one node.
const MOST: usize = 50;

/// The Redis server that is looked at.
#[derive(Serialize, ToSchema)]
pub(crate) struct CacheServer {
    /// The reading; `null` while no server is named, or none has been read.
    #[schema(required)]
    reading: Option<ReadingBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One reading of a server.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerReading)]
pub(crate) struct ReadingBody {
    /// The server's name.
    name: String,
    /// When it was begun, in Unix seconds.
    read_at: f64,
    /// How long it took, in seconds.
    took_seconds: f64,
    /// One for each node of a cluster.
    nodes: Vec<NodeBody>,
    /// Nodes that were left off.
    left_off: usize,
}

/// What one node told. A part that it did not tell is `null`, and `not_read` says why.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerNode)]
pub(crate) struct NodeBody {
    address: String,
    #[schema(required)]
    server: Option<IdentityBody>,
    #[schema(required)]
    memory: Option<MemoryBody>,
    /// Keys, and those of them that expire, by the number of the database.
    #[schema(required)]
    keyspace: Option<BTreeMap<String, DatabaseBody>>,
    #[schema(required)]
    traffic: Option<TrafficBody>,
    #[schema(required)]
    clients: Option<ClientsBody>,
    /// The costliest first, at most 50.
    #[schema(required)]
    commands: Option<Vec<CommandBody>>,
    /// The newest first, at most 50.
    #[schema(required)]
    slow_log: Option<Vec<SlowBody>>,
    #[schema(required)]
    latency: Option<Vec<LatencyBody>>,
    #[schema(required)]
    replication: Option<ReplicationBody>,
    #[schema(required)]
    persistence: Option<PersistenceBody>,
    /// What a sample of its keys shows.
    #[schema(required)]
    sample: Option<SampleBody>,
    /// What happened per second since the reading before; `null` at the first.
    #[schema(required)]
    per_second: Option<RatesBody>,
    /// Why parts are `null`, by their name.
    not_read: BTreeMap<&'static str, String>,
}

/// What a server is.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerIdentity)]
pub(crate) struct IdentityBody {
    /// `redis`, or the name that a relative gives itself.
    product: String,
    version: String,
    /// `standalone`, `cluster` or `sentinel`.
    mode: &'static str,
    uptime_seconds: f64,
}

/// What a server holds in memory, in bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerMemory)]
pub(crate) struct MemoryBody {
    used: u64,
    #[schema(required)]
    resident: Option<u64>,
    peak: u64,
    /// `null`: no limit.
    #[schema(required)]
    limit: Option<u64>,
    /// What it does at the limit.
    policy: String,
    #[schema(required)]
    overhead: Option<u64>,
    #[schema(required)]
    dataset: Option<u64>,
    /// Resident over used.
    #[schema(required)]
    fragmentation: Option<f64>,
}

/// How many keys a database has.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerDatabase)]
pub(crate) struct DatabaseBody {
    keys: u64,
    expires: u64,
}

/// What a server did since its start.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerTraffic)]
pub(crate) struct TrafficBody {
    commands: u64,
    hits: u64,
    misses: u64,
    /// Percent of the look-ups of keys that found one; `null` when there were none.
    #[schema(required)]
    hit_rate: Option<f64>,
    evicted: u64,
    expired: u64,
    connections: u64,
    rejected_connections: u64,
    received_bytes: u64,
    sent_bytes: u64,
    #[schema(required)]
    errors: Option<u64>,
}

/// Who is connected.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerClients)]
pub(crate) struct ClientsBody {
    connected: u64,
    blocked: u64,
    #[schema(required)]
    limit: Option<u64>,
    /// Those that are told of changes.
    #[schema(required)]
    tracking: Option<u64>,
}

/// What a command cost since the server's start.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerCommand)]
pub(crate) struct CommandBody {
    name: String,
    calls: u64,
    seconds: f64,
    /// `null` before the first call.
    #[schema(required)]
    mean_seconds: Option<f64>,
    /// Seconds by percentile (`p99`); empty where the server does not keep them.
    percentiles: BTreeMap<String, f64>,
    #[schema(required)]
    failed: Option<u64>,
    #[schema(required)]
    rejected: Option<u64>,
}

/// A slow command, without its literals.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerSlowCommand)]
pub(crate) struct SlowBody {
    /// When it ran, in Unix seconds of the server's clock.
    ran_at: f64,
    seconds: f64,
    command: String,
    /// What its key looks like.
    #[schema(required)]
    pattern: Option<String>,
    arguments: u64,
}

/// A kind of latency spike.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerLatency)]
pub(crate) struct LatencyBody {
    event: String,
    /// When the last one was, in Unix seconds of the server's clock.
    last_at: f64,
    last_seconds: f64,
    longest_seconds: f64,
}

/// Who follows whom.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerReplication)]
#[serde(tag = "role", rename_all = "snake_case")]
pub(crate) enum ReplicationBody {
    /// It is a primary.
    Primary {
        replicas: u64,
        /// Bytes that each replica that is online is behind.
        behind_bytes: Vec<u64>,
    },
    /// It is a replica.
    Replica {
        linked: bool,
        #[schema(required)]
        silent_seconds: Option<f64>,
    },
}

/// Whether a server can save what it holds.
#[expect(clippy::struct_excessive_bools, reason = "each is a state that the server tells on its own")]
#[derive(Serialize, ToSchema)]
#[schema(as = ServerPersistence)]
pub(crate) struct PersistenceBody {
    loading: bool,
    snapshot_failed: bool,
    unsaved_changes: u64,
    #[schema(required)]
    saved_at: Option<f64>,
    log_enabled: bool,
    log_write_failed: bool,
    log_rewrite_failed: bool,
}

/// What a sample of the keys shows.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerSample)]
pub(crate) struct SampleBody {
    /// Keys that were drawn.
    sampled: u64,
    #[schema(required)]
    without_ttl: Option<ShareBody>,
    /// Bytes of a key with its value, on average.
    #[schema(required)]
    mean_bytes: Option<u64>,
    /// The heaviest keys of the sample.
    #[schema(required)]
    biggest: Option<Vec<BigBody>>,
    /// The keys used most; `null` unless the server counts uses (an LFU policy).
    #[schema(required)]
    hottest: Option<Vec<HotBody>>,
    /// Why parts are `null`, by their name.
    not_read: BTreeMap<&'static str, String>,
}

/// A share of a sample, with its interval.
#[derive(Serialize, ToSchema)]
#[schema(as = SampleShare)]
pub(crate) struct ShareBody {
    count: u64,
    sampled: u64,
    /// Percent.
    percent: f64,
    /// Percent; the lower end.
    low: f64,
    /// Percent; the upper end.
    high: f64,
    /// How sure the interval is, 0 to 1.
    confidence: f64,
}

/// A heavy key.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerBigKey)]
pub(crate) struct BigBody {
    /// The key; `null` below the role operator: keys can tell about people.
    #[schema(required)]
    key: Option<String>,
    /// What it looks like.
    pattern: String,
    #[schema(required)]
    kind: Option<String>,
    bytes: u64,
}

/// A key that is used often.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerHotKey)]
pub(crate) struct HotBody {
    /// The key; `null` below the role operator.
    #[schema(required)]
    key: Option<String>,
    /// What it looks like.
    pattern: String,
    /// Uses that the server's counter stands for; an estimate.
    uses: f64,
    /// Percent of the uses of the sample.
    #[schema(required)]
    use_percent: Option<f64>,
}

/// What happened per second.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerRates)]
pub(crate) struct RatesBody {
    /// Seconds between the two readings.
    window_seconds: f64,
    commands: f64,
    hits: f64,
    misses: f64,
    #[schema(required)]
    hit_rate: Option<f64>,
    evicted: f64,
    expired: f64,
    connections: f64,
    rejected_connections: f64,
    received_bytes: f64,
    sent_bytes: f64,
}

/// Get the Redis server's view
///
/// The last reading of the server that `targets.redis` names; nothing is asked of it now.
#[utoipa::path(get, path = "/cache/server", operation_id = "get_cache_server", tag = "Caching",
    responses((status = 200, description = "The last reading", body = CacheServer), Refusals))]
pub(crate) async fn server(State(api): Shared, Viewer(caller): Viewer, _: NoParameters) -> Json<CacheServer> {
    let with_keys = caller.role >= Role::Operator;
    let reading = api.sources.cache_server.get().map(|latest| ReadingBody::of(&latest, with_keys));
    Json(CacheServer { reading, generated_at: api.now_seconds() })
}

impl ReadingBody {
    fn of(latest: &Latest, with_keys: bool) -> Self {
        let rates: BTreeMap<&str, &NodeRates> =
            latest.rates.iter().map(|(address, rates)| (address.as_str(), rates)).collect();
        let nodes = latest.reading.nodes.iter();
        Self {
            name: latest.reading.name.clone(),
            read_at: latest.reading.read_at.seconds(),
            took_seconds: latest.reading.took.as_secs_f64(),
            nodes: nodes
                .map(|node| NodeBody::of(node, rates.get(node.address.as_str()).copied(), with_keys))
                .collect(),
            left_off: latest.reading.left_off,
        }
    }
}

/// Collects why parts are missing.
#[derive(Default)]
struct NotRead(BTreeMap<&'static str, String>);

impl NotRead {
    fn part<T, B>(
        &mut self,
        name: &'static str,
        section: &Section<T>,
        body: impl FnOnce(&T) -> B,
    ) -> Option<B> {
        match section {
            Ok(read) => Some(body(read)),
            Err(why) => {
                self.0.insert(name, why.to_string());
                None
            }
        }
    }
}

impl NodeBody {
    fn of(node: &NodeReading, rates: Option<&NodeRates>, with_keys: bool) -> Self {
        let mut missing = NotRead::default();
        Self {
            address: node.address.clone(),
            server: missing.part("server", &node.server, |server| IdentityBody {
                product: server.product.clone(),
                version: server.version.clone(),
                mode: server.mode.as_str(),
                uptime_seconds: server.uptime.as_secs_f64(),
            }),
            memory: missing.part("memory", &node.memory, |memory| MemoryBody {
                used: memory.used.get(),
                resident: memory.resident.map(Bytes::get),
                peak: memory.peak.get(),
                limit: memory.limit.map(Bytes::get),
                policy: memory.policy.0.clone(),
                overhead: memory.overhead.map(Bytes::get),
                dataset: memory.dataset.map(Bytes::get),
                fragmentation: memory.fragmentation,
            }),
            keyspace: missing.part("keyspace", &node.keyspace, |databases| {
                let body = |keys, expires| DatabaseBody { keys, expires };
                databases.iter().map(|of| (of.index.to_string(), body(of.keys, of.expires))).collect()
            }),
            traffic: missing.part("traffic", &node.traffic, |traffic| TrafficBody {
                commands: traffic.commands,
                hits: traffic.hits,
                misses: traffic.misses,
                hit_rate: traffic.hit_ratio().map(Ratio::percent),
                evicted: traffic.evicted,
                expired: traffic.expired,
                connections: traffic.connections,
                rejected_connections: traffic.rejected_connections,
                received_bytes: traffic.received.get(),
                sent_bytes: traffic.sent.get(),
                errors: traffic.errors,
            }),
            clients: missing.part("clients", &node.clients, |clients| ClientsBody {
                connected: clients.connected,
                blocked: clients.blocked,
                limit: clients.limit,
                tracking: clients.tracking,
            }),
            commands: missing.part("commands", &node.commands, |commands| {
                commands.iter().take(MOST).map(CommandBody::from).collect()
            }),
            slow_log: missing.part("slow_log", &node.slow_log, |log| {
                let body = |entry: &veritas_cache::server::SlowEntry| SlowBody {
                    ran_at: entry.ran_at.seconds(),
                    seconds: entry.took.as_secs_f64(),
                    command: entry.command.clone(),
                    pattern: entry.pattern.clone(),
                    arguments: entry.arguments,
                };
                log.entries.iter().take(MOST).map(body).collect()
            }),
            latency: missing.part("latency", &node.latency_events, |events| {
                let body = |event: &veritas_cache::server::LatencyEvent| LatencyBody {
                    event: event.event.clone(),
                    last_at: event.last_at.seconds(),
                    last_seconds: event.last.as_secs_f64(),
                    longest_seconds: event.longest.as_secs_f64(),
                };
                events.iter().map(body).collect()
            }),
            replication: missing.part("replication", &node.replication, |replication| match replication {
                ReplicationReading::Primary { replicas, behind } => ReplicationBody::Primary {
                    replicas: *replicas,
                    behind_bytes: behind.iter().map(|bytes| bytes.get()).collect(),
                },
                ReplicationReading::Replica { linked, silent } => ReplicationBody::Replica {
                    linked: *linked,
                    silent_seconds: silent.as_ref().map(Duration::as_secs_f64),
                },
            }),
            persistence: missing.part("persistence", &node.persistence, |persistence| PersistenceBody {
                loading: persistence.loading,
                snapshot_failed: persistence.snapshot_failed,
                unsaved_changes: persistence.unsaved_changes,
                saved_at: persistence.saved_at.map(Timestamp::seconds),
                log_enabled: persistence.log_enabled,
                log_write_failed: persistence.log_write_failed,
                log_rewrite_failed: persistence.log_rewrite_failed,
            }),
            sample: missing.part("sample", &node.sample, |sample| SampleBody::of(sample, with_keys)),
            per_second: rates.map(RatesBody::from),
            not_read: missing.0,
        }
    }
}

impl From<&CommandReading> for CommandBody {
    fn from(command: &CommandReading) -> Self {
        let percentile = |quantile: f64| format!("p{}", quantile * 100.0);
        Self {
            name: command.name.clone(),
            calls: command.calls,
            seconds: command.time.as_secs_f64(),
            mean_seconds: command.time_per_call().map(|time| time.as_secs_f64()),
            percentiles: command
                .quantiles
                .iter()
                .map(|of| (percentile(of.quantile), of.time.as_secs_f64()))
                .collect(),
            failed: command.failed,
            rejected: command.rejected,
        }
    }
}

impl SampleBody {
    fn of(sample: &KeySample, with_keys: bool) -> Self {
        let mut missing = NotRead::default();
        let shown = |key: &str| with_keys.then(|| key.to_owned());
        Self {
            sampled: sample.drawn,
            without_ttl: missing.part("without_ttl", &sample.without_ttl, |share| ShareBody::from(share)),
            mean_bytes: missing.part("mean_bytes", &sample.mean_size, |bytes| bytes.get()),
            biggest: missing.part("biggest", &sample.biggest, |keys| {
                let body = |key: &veritas_cache::server::KeySize| BigBody {
                    key: shown(&key.key),
                    pattern: key.pattern.clone(),
                    kind: key.kind.clone(),
                    bytes: key.bytes.get(),
                };
                keys.iter().take(MOST).map(body).collect()
            }),
            hottest: missing.part("hottest", &sample.hottest, |hot| {
                let body = |key: &veritas_cache::server::KeyHeat| HotBody {
                    key: shown(&key.key),
                    pattern: key.pattern.clone(),
                    uses: key.uses,
                    use_percent: key.use_share.map(Ratio::percent),
                };
                hot.keys.iter().take(MOST).map(body).collect()
            }),
            not_read: missing.0,
        }
    }
}

impl From<&Share> for ShareBody {
    fn from(share: &Share) -> Self {
        Self {
            count: share.count,
            sampled: share.sampled,
            percent: share.share.percent(),
            low: share.interval.low * 100.0,
            high: share.interval.high * 100.0,
            confidence: share.interval.confidence,
        }
    }
}

impl From<&NodeRates> for RatesBody {
    fn from(rates: &NodeRates) -> Self {
        Self {
            window_seconds: rates.window.as_secs_f64(),
            commands: rates.commands,
            hits: rates.hits,
            misses: rates.misses,
            hit_rate: rates.hit_ratio.map(Ratio::percent),
            evicted: rates.evicted,
            expired: rates.expired,
            connections: rates.connections,
            rejected_connections: rates.rejected_connections,
            received_bytes: rates.received,
            sent_bytes: rates.sent,
        }
    }
}
