//! Findings: what is slow, why, and where in the code it comes from.

use crate::{FindingId, Fingerprint, Observation, Timestamp, WorkMetric};

/// What kind of slowness was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A statement reads many rows to keep few, and an index would help.
    MissingIndex,
    /// One request runs the same statement again and again.
    NPlusOne,
    /// A statement returns rows without a limit.
    UnboundedResult,
    /// A function is called with few distinct arguments and is not cached.
    RepeatedComputation,
    /// A statement is slower than the slow threshold, cause not known yet.
    SlowStatement,
    /// A cache would hit more often if it held more.
    CacheTooSmall,
    /// A cache would hit as often if it held less.
    CacheTooLarge,
    /// Another time to live would serve a cache better.
    CacheTtl,
    /// A cache costs more than it saves.
    CacheNetLoss,
    /// A function, or a cache that only watches, would gain from caching.
    CacheCandidate,
    /// One key takes a large part of the look-ups.
    HotKey,
    /// One key takes a large part of the memory.
    BigKey,
    /// A Redis server is short of memory, or has no limit.
    RedisMemory,
    /// A Redis server evicts what is still wanted, or refuses writes.
    RedisEviction,
    /// A Redis server spends its time in commands that read everything.
    RedisSlowCommand,
    /// A Redis server holds keys that never expire.
    RedisKeysWithoutTtl,
    /// A Redis server answers late.
    RedisLatency,
    /// A Redis server refuses connections, cannot save, or has lost its replica.
    RedisHealth,
    /// A statement reads a whole table to keep few rows, and no index would help as it is written.
    SequentialScan,
    /// A statement sorts more than its memory holds, and writes to disk.
    SortSpill,
    /// A statement hashes more than its memory holds, and writes to disk.
    HashSpill,
    /// The planner expects a very different number of rows than there are.
    Misestimate,
    /// The planner's statistics of a table are old.
    StaleStatistics,
    /// A predicate is written so that no index on its column can serve it.
    NonSargable,
    /// A comparison converts a column, and no index on it can serve it.
    ImplicitCast,
    /// A statement skips rows by `OFFSET`, and reads all that it skips.
    OffsetPagination,
    /// A statement fetches every column of wide rows.
    WideSelect,
    /// A statement uses `NOT IN` with a subquery, which `NULL`s and size make a trap.
    NotIn,
    /// A statement can be written in a way that returns the same and costs less.
    Rewrite,
    /// One request asks the same with the same values again.
    RedundantStatement,
    /// One request sends very many statements.
    ChattyLoop,
    /// Statements wait for locks that others hold.
    LockWait,
    /// A session holds a transaction open and does nothing.
    IdleInTransaction,
    /// A transaction is open for very long.
    LongTransaction,
    /// A prepared statement's plan for all values is worse than one for the value.
    GenericPlan,
    /// A statement got another plan, and costs more since.
    PlanChange,
    /// An index is written and never read.
    UnusedIndex,
    /// Two indexes are the same.
    DuplicateIndex,
    /// Another index serves whatever an index serves.
    RedundantIndex,
    /// An index is not valid: it is written and never read.
    InvalidIndex,
    /// An index is much larger than what it holds.
    IndexBloat,
    /// A table holds many dead rows.
    TableBloat,
    /// A pool of connections has not the size that its load needs.
    PoolSize,
    /// A server is short of connections, or has too many.
    Connections,
    /// A setting of a server does not fit its machine or its load.
    ServerSetting,
    /// A database nears the end of its transaction ids.
    Wraparound,
    /// A replica lags, or a slot holds back what it needs no more.
    Replication,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 47] = [
        Self::MissingIndex,
        Self::NPlusOne,
        Self::UnboundedResult,
        Self::RepeatedComputation,
        Self::SlowStatement,
        Self::CacheTooSmall,
        Self::CacheTooLarge,
        Self::CacheTtl,
        Self::CacheNetLoss,
        Self::CacheCandidate,
        Self::HotKey,
        Self::BigKey,
        Self::RedisMemory,
        Self::RedisEviction,
        Self::RedisSlowCommand,
        Self::RedisKeysWithoutTtl,
        Self::RedisLatency,
        Self::RedisHealth,
        Self::SequentialScan,
        Self::SortSpill,
        Self::HashSpill,
        Self::Misestimate,
        Self::StaleStatistics,
        Self::NonSargable,
        Self::ImplicitCast,
        Self::OffsetPagination,
        Self::WideSelect,
        Self::NotIn,
        Self::Rewrite,
        Self::RedundantStatement,
        Self::ChattyLoop,
        Self::LockWait,
        Self::IdleInTransaction,
        Self::LongTransaction,
        Self::GenericPlan,
        Self::PlanChange,
        Self::UnusedIndex,
        Self::DuplicateIndex,
        Self::RedundantIndex,
        Self::InvalidIndex,
        Self::IndexBloat,
        Self::TableBloat,
        Self::PoolSize,
        Self::Connections,
        Self::ServerSetting,
        Self::Wraparound,
        Self::Replication,
    ];

    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingIndex => "missing_index",
            Self::NPlusOne => "n_plus_one",
            Self::UnboundedResult => "unbounded_result",
            Self::RepeatedComputation => "repeated_computation",
            Self::SlowStatement => "slow_statement",
            Self::CacheTooSmall => "cache_too_small",
            Self::CacheTooLarge => "cache_too_large",
            Self::CacheTtl => "cache_ttl",
            Self::CacheNetLoss => "cache_net_loss",
            Self::CacheCandidate => "cache_candidate",
            Self::HotKey => "hot_key",
            Self::BigKey => "big_key",
            Self::RedisMemory => "redis_memory",
            Self::RedisEviction => "redis_eviction",
            Self::RedisSlowCommand => "redis_slow_command",
            Self::RedisKeysWithoutTtl => "redis_keys_without_ttl",
            Self::RedisLatency => "redis_latency",
            Self::RedisHealth => "redis_health",
            Self::SequentialScan => "sequential_scan",
            Self::SortSpill => "sort_spill",
            Self::HashSpill => "hash_spill",
            Self::Misestimate => "misestimate",
            Self::StaleStatistics => "stale_statistics",
            Self::NonSargable => "non_sargable",
            Self::ImplicitCast => "implicit_cast",
            Self::OffsetPagination => "offset_pagination",
            Self::WideSelect => "wide_select",
            Self::NotIn => "not_in",
            Self::Rewrite => "rewrite",
            Self::RedundantStatement => "redundant_statement",
            Self::ChattyLoop => "chatty_loop",
            Self::LockWait => "lock_wait",
            Self::IdleInTransaction => "idle_in_transaction",
            Self::LongTransaction => "long_transaction",
            Self::GenericPlan => "generic_plan",
            Self::PlanChange => "plan_change",
            Self::UnusedIndex => "unused_index",
            Self::DuplicateIndex => "duplicate_index",
            Self::RedundantIndex => "redundant_index",
            Self::InvalidIndex => "invalid_index",
            Self::IndexBloat => "index_bloat",
            Self::TableBloat => "table_bloat",
            Self::PoolSize => "pool_size",
            Self::Connections => "connections",
            Self::ServerSetting => "server_setting",
            Self::Wraparound => "wraparound",
            Self::Replication => "replication",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A statement: its label (or its fingerprint as text when it has none),
    /// its fingerprint, and its normalized text.
    Statement {
        /// The label the application gave, else the fingerprint.
        name: String,
        /// The statement without its literals.
        fingerprint: Fingerprint,
        /// The normalized text, literals removed.
        normalized: String,
    },
    /// A profiled function.
    Function {
        /// The name of its profile.
        name: String,
    },
    /// A cache, or one key of it.
    Cache {
        /// The namespace.
        namespace: String,
        /// The key, where the finding is about one.
        key: Option<String>,
    },
    /// A server that the engine looks at.
    Server {
        /// Its name among the engine's targets.
        name: String,
        /// What of it the finding is about (a command, a key pattern, a section), where it is not the whole.
        part: Option<String>,
    },
}

impl Subject {
    /// Returns the name to show.
    pub fn name(&self) -> &str {
        match self {
            Self::Statement { name, .. } | Self::Function { name } | Self::Server { name, .. } => name,
            Self::Cache { namespace, .. } => namespace,
        }
    }
}

/// Why it is slow, with the figures that show it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// A whole table is read for few rows.
    SequentialScan {
        /// The scanned table.
        table: String,
        /// Rows read in one call.
        rows_read: u64,
        /// Rows kept in one call.
        rows_kept: u64,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The rows are found, and then sorted or grouped again at every call.
    Sort {
        /// The table whose rows are sorted.
        table: String,
        /// The plan as the database printed it.
        plan: String,
    },
    /// The same statement many times in one request.
    RepeatedStatement {
        /// The request (route template or job) that repeats it.
        request: String,
        /// Mean repetitions in one request.
        calls_per_request: f64,
    },
    /// A result without a limit.
    UnboundedResult {
        /// Mean rows in one call.
        rows_per_call: f64,
    },
    /// Few distinct arguments over many calls.
    RepeatedComputation {
        /// Calls seen.
        calls: u64,
        /// Distinct arguments among them.
        distinct_arguments: u64,
    },
    /// Slower than the threshold; nothing more is known.
    AboveThreshold,
    /// Another capacity would bring another hit ratio.
    CacheSize {
        /// What it may hold, in bytes.
        capacity: u64,
        /// The share of look-ups that hit.
        hit_ratio: f64,
        /// What it should be allowed to hold, in bytes.
        advised_capacity: u64,
        /// The share of look-ups that would hit.
        advised_hit_ratio: f64,
    },
    /// Another time to live would bring another hit ratio, or fewer stale values.
    CacheTimeToLive {
        /// The time to live, in seconds.
        ttl_seconds: f64,
        /// The share of look-ups that hit.
        hit_ratio: f64,
        /// What the time to live should be, in seconds.
        advised_ttl_seconds: f64,
        /// The share of look-ups that would hit.
        advised_hit_ratio: f64,
    },
    /// The cache spends more time than it saves.
    CacheLoss {
        /// Seconds that the cache spends on one look-up.
        spent_seconds: f64,
        /// Seconds of loading that it saves on one look-up.
        saved_seconds: f64,
    },
    /// The calls repeat, and nothing is cached yet.
    CacheCandidate {
        /// Calls seen.
        calls: u64,
        /// The share of them that a cache would have answered.
        hit_ratio: f64,
        /// Seconds that one call takes.
        seconds_per_call: f64,
    },
    /// One key takes a large part of the look-ups.
    HotKey {
        /// Its share of the look-ups.
        request_share: f64,
    },
    /// One key takes a large part of the memory.
    BigKey {
        /// What it takes, in bytes.
        bytes: u64,
    },
    /// What a node of the plan shows.
    Plan {
        /// The node, as the database names it (`Seq Scan`, `Sort`).
        node: String,
        /// The table that it reads, where it reads one.
        table: Option<String>,
        /// What is wrong, in words, without literals.
        detail: String,
        /// The plan as the database printed it, without literals.
        plan: String,
    },
    /// What the text of the statement shows.
    Text {
        /// What is wrong, in words, without literals.
        detail: String,
    },
    /// Another text returns the same rows and costs less: checked and measured.
    Rewritable {
        /// What is done (`offset_to_keyset`).
        rule: String,
        /// The statement to write instead, without literals.
        rewritten: String,
        /// What changes for the caller, where something does (a page is asked for by its last key).
        condition: Option<String>,
        /// Mean cost of one call as it is written now.
        before: f64,
        /// Mean cost of one call of the other text.
        after: f64,
        /// What the costs are counted in.
        metric: WorkMetric,
        /// How it was checked that both return the same, for people.
        checked: String,
    },
    /// The plan of a statement is another than before.
    PlanChange {
        /// The plan before, without literals.
        before: String,
        /// The plan now, without literals.
        after: String,
        /// Mean seconds of one call before; `None` where not known.
        seconds_before: Option<f64>,
        /// Mean seconds of one call since; `None` where not known.
        seconds_after: Option<f64>,
    },
    /// What is wrong with an index.
    Index {
        /// Its table.
        table: String,
        /// Its name.
        index: String,
        /// What is wrong, in words.
        detail: String,
        /// What it takes on disk, in bytes; `None` where not known.
        bytes: Option<u64>,
    },
    /// What a server says of itself.
    ServerCondition {
        /// The section that it was read from (`memory`, `commandstats`).
        section: String,
        /// The condition, in words.
        detail: String,
    },
}

/// How much there is to win, by share of the observed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Impact {
    /// Below 5 % of the observed time of its kind.
    Low,
    /// 5 % to 20 %.
    Medium,
    /// 20 % and more.
    High,
}

impl Impact {
    /// Classifies a share of the observed time (0 to 1).
    pub fn of_time_share(share: f64) -> Self {
        if share >= 0.20 {
            Self::High
        } else if share >= 0.05 {
            Self::Medium
        } else {
            Self::Low
        }
    }

    /// Returns the word of the published JSON (`estimated_impact`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|impact| impact.as_str() == word)
    }
}

/// A place in the application's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller {
    /// The source file, as the compiler names it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Something slow, why it is, and the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Stable: the same kind on the same subject keeps its identity.
    pub id: FindingId,
    /// What kind of slowness it is.
    pub kind: FindingKind,
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub cause: Cause,
    /// One sentence that says what to do.
    pub recommendation: String,
    /// How much there is to win.
    pub impact: Impact,
    /// The figures it rests on.
    pub evidence: Vec<Observation>,
    /// Where in the code it comes from, most frequent first.
    pub callers: Vec<Caller>,
    /// When it was first found.
    pub found_at: Timestamp,
    /// When it was last seen to be so.
    pub seen_at: Timestamp,
}

impl Finding {
    /// Derives the identity of a finding of `kind` on `subject`.
    pub fn identity(kind: FindingKind, subject: &Subject) -> FindingId {
        match subject {
            Subject::Statement { fingerprint, .. } => {
                FindingId::derive(&[kind.as_str(), "statement", &fingerprint.to_string()])
            }
            Subject::Function { name } => FindingId::derive(&[kind.as_str(), "function", name]),
            Subject::Cache { namespace, key } => {
                FindingId::derive(&[kind.as_str(), "cache", namespace, key.as_deref().unwrap_or_default()])
            }
            Subject::Server { name, part } => {
                FindingId::derive(&[kind.as_str(), "server", name, part.as_deref().unwrap_or_default()])
            }
        }
    }
}
