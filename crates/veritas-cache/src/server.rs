//! What a Redis server tells of itself: the nouns of a reading, without a client.
//!
//! `veritas-redis` takes readings; the API and the command line show them. A reading
//! has a part per thing that the server was asked for, and each part is there or
//! says why it is not ([`NotRead`]): a user without a right loses that part only.
//! Counters count since the server's start, or since somebody reset them; what
//! happens per second comes from two readings ([`NodeRates::between`]).

mod latest;
mod rates;
mod sample;

use std::{fmt, time::Duration};

use veritas_model::{Bytes, Monotonic, Ratio, Timestamp};

pub use latest::{Latest, LatestReadings};
pub use rates::{CommandRate, NodeRates};
pub use sample::{HotKeys, KeyHeat, KeySample, KeySize, PatternShare, Share};

/// A part of a reading, or why it is not there.
pub type Section<T> = Result<T, NotRead>;

/// Why a part of a reading is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRead {
    /// The user that we are may not run the command.
    Forbidden {
        /// The command, with its subcommand.
        command: &'static str,
    },
    /// The server does not know the command, or has it renamed.
    Unknown {
        /// The command, with its subcommand.
        command: &'static str,
    },
    /// The server refused the command for another reason.
    Refused {
        /// The command, with its subcommand.
        command: &'static str,
        /// The first word of its error (`LOADING`, `MASTERDOWN`).
        code: String,
    },
    /// The server answered what we do not understand.
    Unreadable {
        /// The command, with its subcommand.
        command: &'static str,
    },
    /// There was no answer in time, or no time left to ask.
    TimedOut,
    /// The server could not be reached, or was lost on the way.
    Unreachable {
        /// What the network or the log-in said, without credentials.
        reason: String,
    },
    /// The server does not keep the figure as it is set up now.
    NotKept {
        /// What would have to be otherwise.
        reason: &'static str,
    },
}

impl fmt::Display for NotRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { command } => write!(formatter, "the Redis user may not run {command}"),
            Self::Unknown { command } => write!(formatter, "the server does not know {command}"),
            Self::Refused { command, code } => write!(formatter, "the server refused {command}: {code}"),
            Self::Unreadable { command } => write!(formatter, "the answer to {command} is not understood"),
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::Unreachable { reason } => write!(formatter, "not reached: {reason}"),
            Self::NotKept { reason } => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for NotRead {}

/// A reading of a server, or of all primaries of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerReading {
    /// The name of the server among those that are looked at.
    pub name: String,
    /// When it was begun.
    pub read_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// One reading per node, in order of their addresses: one of a single server.
    pub nodes: Vec<NodeReading>,
    /// Nodes that were left off because there are more than a reading has time for.
    pub left_off: usize,
}

impl ServerReading {
    /// Returns the reading of the node at `address`.
    pub fn node(&self, address: &str) -> Option<&NodeReading> {
        self.nodes.iter().find(|node| node.address == address)
    }

    /// Tells whether any node answered anything.
    pub fn is_reached(&self) -> bool {
        self.nodes.iter().any(|node| node.server.is_ok())
    }
}

/// What one node told.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReading {
    /// `host:port`, or the path of the socket.
    pub address: String,
    /// When the node answered, on our clock.
    pub read_at: Monotonic,
    /// What it is.
    pub server: Section<ServerIdentity>,
    /// What it holds in memory.
    pub memory: Section<MemoryReading>,
    /// How many keys each database has. Empty databases are not there.
    pub keyspace: Section<Vec<DatabaseReading>>,
    /// What it did so far.
    pub traffic: Section<TrafficReading>,
    /// Who is connected.
    pub clients: Section<ClientsReading>,
    /// What each command cost so far, the costliest first.
    pub commands: Section<Vec<CommandReading>>,
    /// The slow log.
    pub slow_log: Section<SlowLogReading>,
    /// The last latency spike of each kind. Empty as long as the server's latency
    /// monitor is off, which it is by default.
    pub latency_events: Section<Vec<LatencyEvent>>,
    /// Who follows whom.
    pub replication: Section<ReplicationReading>,
    /// Whether it can save what it holds.
    pub persistence: Section<PersistenceReading>,
    /// What a sample of its keys shows.
    pub sample: Section<KeySample>,
}

impl NodeReading {
    /// Returns a reading of which every part is missing for one reason.
    pub fn missing(address: String, read_at: Monotonic, why: &NotRead) -> Self {
        Self {
            address,
            read_at,
            server: Err(why.clone()),
            memory: Err(why.clone()),
            keyspace: Err(why.clone()),
            traffic: Err(why.clone()),
            clients: Err(why.clone()),
            commands: Err(why.clone()),
            slow_log: Err(why.clone()),
            latency_events: Err(why.clone()),
            replication: Err(why.clone()),
            persistence: Err(why.clone()),
            sample: Err(why.clone()),
        }
    }

    /// Returns how many keys it has in all databases.
    pub fn keys(&self) -> Option<u64> {
        let databases = self.keyspace.as_ref().ok()?;
        Some(sum(databases.iter().map(|database| database.keys)))
    }

    /// Returns the share of its keys that never expire, as the server counts them;
    /// `None` when that is not known or there are no keys.
    pub fn without_ttl(&self) -> Option<Ratio> {
        let databases = self.keyspace.as_ref().ok()?;
        let lasting = databases.iter().map(|database| database.keys.saturating_sub(database.expires));
        let lasting = sum(lasting);
        Ratio::of(lasting, self.keys()?)
    }
}

/// Adds counts of a server, which may be anything.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// How a server works with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerMode {
    /// Alone, or with replicas.
    Standalone,
    /// As a node of a cluster.
    Cluster,
    /// It watches others and holds no keys.
    Sentinel,
}

impl ServerMode {
    /// Returns the word that the server itself uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
        }
    }
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// `redis`, or the name that a relative of it gives itself (`valkey`).
    pub product: String,
    /// Its version. A relative gives its own, not the one of Redis that it resembles.
    pub version: String,
    /// How it works with others.
    pub mode: ServerMode,
    /// New at each start, so that a restart is seen.
    pub run_id: String,
    /// How long it has been running.
    pub uptime: Duration,
    /// Its own clock when it answered; `None` before version 6.2.
    pub server_time: Option<Timestamp>,
}

/// What a server holds in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryReading {
    /// What its allocator has given out.
    pub used: Bytes,
    /// What the operating system counts for it; `None` where that is not told.
    pub resident: Option<Bytes>,
    /// The most that it ever used.
    pub peak: Bytes,
    /// What it may use before it evicts or refuses writes; `None` is no limit.
    pub limit: Option<Bytes>,
    /// What it does at the limit.
    pub policy: EvictionPolicy,
    /// What is no data: tables, buffers of clients and replicas, the program itself.
    pub overhead: Option<Bytes>,
    /// The share of `overhead` that it had when it started.
    pub startup: Option<Bytes>,
    /// The data itself.
    pub dataset: Option<Bytes>,
    /// Resident over used; 1 is perfect, below 1 a part is swapped out. Says little below 100 MB.
    pub fragmentation: Option<f64>,
    /// Buffers of replicas.
    pub replica_buffers: Option<Bytes>,
    /// Buffers of ordinary clients.
    pub client_buffers: Option<Bytes>,
    /// The memory of its machine.
    pub machine: Option<Bytes>,
}

/// What a server does when its memory is full, as it names it itself
/// (`noeviction`, `allkeys-lru`, `volatile-ttl`, …).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EvictionPolicy(pub String);

impl EvictionPolicy {
    /// Tells whether it makes room for writes, if only sometimes.
    pub fn evicts(&self) -> bool {
        self.0 != "noeviction"
    }

    /// Tells whether it evicts only keys that have a time to live.
    pub fn needs_ttl(&self) -> bool {
        self.0.starts_with("volatile-")
    }

    /// Tells whether the server counts how often each key is used.
    pub fn counts_uses(&self) -> bool {
        self.0.ends_with("-lfu")
    }
}

/// How many keys a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseReading {
    /// Its number.
    pub index: u32,
    /// Its keys.
    pub keys: u64,
    /// Those of them that expire.
    pub expires: u64,
    /// The mean time that those have left, as the server estimates it; `None` when it does not.
    pub mean_ttl: Option<Duration>,
}

/// What a server did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficReading {
    /// Commands that it ran.
    pub commands: u64,
    /// Commands per second, the server's own mean over the last second or two.
    pub commands_per_second: u64,
    /// Look-ups of keys that found one.
    pub hits: u64,
    /// Look-ups of keys that found none.
    pub misses: u64,
    /// Keys removed because memory was full.
    pub evicted: u64,
    /// Keys removed because their time was over.
    pub expired: u64,
    /// Connections that it accepted.
    pub connections: u64,
    /// Connections that it refused because there were too many.
    pub rejected_connections: u64,
    /// Bytes that clients sent.
    pub received: Bytes,
    /// Bytes that it sent to clients.
    pub sent: Bytes,
    /// Replies that were errors; `None` before version 6.2.
    pub errors: Option<u64>,
    /// How long its last fork stopped it.
    pub last_fork: Option<Duration>,
}

impl TrafficReading {
    /// Returns the share of look-ups that found a key, since the start.
    pub fn hit_ratio(&self) -> Option<Ratio> {
        Ratio::of(self.hits, self.hits.saturating_add(self.misses))
    }
}

/// Who is connected to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientsReading {
    /// Clients, replicas not counted.
    pub connected: u64,
    /// Those that wait in a blocking command.
    pub blocked: u64,
    /// How many there may be; `None` where that is not told.
    pub limit: Option<u64>,
    /// Those that are told of changes (client-side caching); `None` before version 6.
    pub tracking: Option<u64>,
}

/// What a command cost so far.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandReading {
    /// The command in lower case, its subcommand after a bar (`config|get`).
    pub name: String,
    /// Calls that ran.
    pub calls: u64,
    /// The time of all of them, on the server, without the network.
    pub time: Duration,
    /// Calls that failed while they ran; `None` before version 6.2.
    pub failed: Option<u64>,
    /// Calls that were refused before they ran; `None` before version 6.2.
    pub rejected: Option<u64>,
    /// Quantiles of the time of one call, in order; empty before version 7 and where
    /// the server does not keep them.
    pub quantiles: Vec<TimeQuantile>,
}

impl CommandReading {
    /// Returns the mean time of one call.
    pub fn time_per_call(&self) -> Option<Duration> {
        (self.calls > 0).then(|| self.time.div_f64(calls_as_float(self.calls)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits of a count")]
const fn calls_as_float(calls: u64) -> f64 {
    calls as f64
}

/// A quantile of the time of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeQuantile {
    /// Which one: 0.99 is the 99th percentile.
    pub quantile: f64,
    /// The time that this share of calls stayed within.
    pub time: Duration,
}

/// The slow log: the last commands that took longer than the server's threshold
/// (10 ms by default).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlowLogReading {
    /// How many entries the server holds (128 at most by default); `None` where we
    /// may not ask.
    pub held: Option<u64>,
    /// The last entries, newest first, 64 at most.
    pub entries: Vec<SlowEntry>,
}

/// A slow command, without its literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowEntry {
    /// The number of the entry, rising; it begins again when the server restarts.
    pub id: u64,
    /// When it ran, on the server's clock, in whole seconds.
    pub ran_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The command in lower case.
    pub command: String,
    /// What its key looks like ([`KeySize::pattern`]); `None` when it has none.
    pub pattern: Option<String>,
    /// How many arguments it had, the command itself not counted.
    pub arguments: u64,
}

/// A kind of latency spike, and its last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyEvent {
    /// What the server was doing (`command`, `fork`, `expire-cycle`).
    pub event: String,
    /// When the last spike was, on the server's clock, in whole seconds.
    pub last_at: Timestamp,
    /// How long it took.
    pub last: Duration,
    /// The longest ever.
    pub longest: Duration,
}

/// Who follows whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationReading {
    /// It is a primary.
    Primary {
        /// How many replicas follow it.
        replicas: u64,
        /// The replicas that are online, and how many bytes each is behind.
        behind: Vec<Bytes>,
    },
    /// It is a replica.
    Replica {
        /// Whether it is connected to its primary.
        linked: bool,
        /// How long it has not heard of its primary.
        silent: Option<Duration>,
    },
}

/// Whether a server can save what it holds.
#[expect(clippy::struct_excessive_bools, reason = "each is a state that the server tells on its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersistenceReading {
    /// It is reading its file and does not serve yet.
    pub loading: bool,
    /// The last snapshot failed.
    pub snapshot_failed: bool,
    /// Writes since the last snapshot.
    pub unsaved_changes: u64,
    /// When the last snapshot was taken, on the server's clock.
    pub saved_at: Option<Timestamp>,
    /// It keeps a log of all writes.
    pub log_enabled: bool,
    /// The last write to that log failed: writes are refused.
    pub log_write_failed: bool,
    /// The last rewrite of that log failed.
    pub log_rewrite_failed: bool,
}
