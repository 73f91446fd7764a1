//! The parts of a reading, but for statements.

use std::time::Duration;

use veritas_model::{Bytes, Fingerprint, Timestamp};

/// What the sessions do at the moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActivityReading {
    /// Sessions by state (`active`, `idle`, `idle in transaction`), ours left out.
    pub states: Vec<(String, u64)>,
    /// Waiting sessions by what they wait for (`Lock: transactionid`).
    pub waits: Vec<(String, u64)>,
    /// The sessions with the oldest transactions, oldest first, bounded.
    pub sessions: Vec<SessionReading>,
}

/// One session. The statement is named by its fingerprint, and has no literals.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionReading {
    /// The server's number for it.
    pub pid: i64,
    /// The role.
    pub user: Option<String>,
    /// What it calls itself.
    pub application: Option<String>,
    /// Its state, in the server's words.
    pub state: String,
    /// How long the transaction is open.
    pub transaction: Option<Duration>,
    /// How long the statement runs, or since when the session is idle.
    pub in_state: Option<Duration>,
    /// What it waits for.
    pub wait: Option<String>,
    /// The statement without its literals.
    pub statement: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Option<Fingerprint>,
}

/// One session that waits for a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct LockReading {
    /// Who waits.
    pub waiting: SessionReading,
    /// Who holds what is waited for.
    pub blockers: Vec<SessionReading>,
    /// What is locked (`relation public.orders`, `transactionid`).
    pub object: String,
    /// The mode that is asked for.
    pub mode: String,
    /// How long it waits; `None` where the server does not say.
    pub waited: Option<Duration>,
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableReading {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The table on disk, without indexes.
    pub size: Bytes,
    /// All of its indexes.
    pub index_size: Bytes,
    /// Rows, estimated by the server; `None` when it was never analysed.
    pub rows: Option<u64>,
    /// Dead rows, estimated by the server.
    pub dead_rows: Option<u64>,
    /// Sequential scans so far.
    pub sequential_scans: u64,
    /// Rows that they read.
    pub sequential_rows: u64,
    /// Index scans so far; `None` for a table without an index.
    pub index_scans: Option<u64>,
    /// Rows inserted, updated, updated without touching an index, deleted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows updated without touching an index.
    pub hot_updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Rows changed since the statistics were gathered.
    pub changed_since_analyze: Option<u64>,
    /// When statistics were last gathered.
    pub analyzed_at: Option<Timestamp>,
    /// When dead rows were last cleaned.
    pub vacuumed_at: Option<Timestamp>,
    /// Age of its oldest unfrozen transaction id.
    pub transaction_id_age: Option<u64>,
}

/// One index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexReading {
    /// Its schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Key columns or expressions, in order, with direction (`created_at DESC`).
    pub keys: Vec<String>,
    /// Columns that are only carried.
    pub include: Vec<String>,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// The access method (`btree`).
    pub method: String,
    /// The statement that makes it again.
    pub definition: String,
    /// Its size on disk.
    pub size: Bytes,
    /// Size that it would hardly exceed if it were built anew, by what it holds; `None` where not known.
    pub expected_size: Option<Bytes>,
    /// Scans so far, on this server only.
    pub scans: Option<u64>,
    /// When it was last scanned; `None` where the server does not say.
    pub scanned_at: Option<Timestamp>,
    /// Whether it is unique.
    pub unique: bool,
    /// The constraint that it serves, where it serves one.
    pub constraint: Option<String>,
    /// Why it may never be dropped, where that is so (`supports the foreign key orders_customer_fk`).
    pub protected: Option<String>,
    /// Whether it can be used.
    pub valid: bool,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingReading {
    /// Its name.
    pub name: String,
    /// Its value, in the server's words.
    pub value: String,
    /// The unit of `value`.
    pub unit: Option<String>,
    /// Where it comes from (`configuration file`).
    pub source: String,
}

/// Replicas and slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicationReading {
    /// The replicas that are connected to this server.
    pub replicas: Vec<ReplicaReading>,
    /// The slots.
    pub slots: Vec<SlotReading>,
    /// How far this replica is behind; `None` for a primary.
    pub own_lag: Option<Duration>,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaReading {
    /// What it calls itself.
    pub name: String,
    /// Its state, in the server's words.
    pub state: String,
    /// Bytes that it has still to replay.
    pub behind: Option<Bytes>,
    /// Time that it is behind.
    pub lag: Option<Duration>,
}

/// One replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotReading {
    /// Its name.
    pub name: String,
    /// Whether somebody reads it.
    pub active: bool,
    /// What it holds back on disk.
    pub held_back: Option<Bytes>,
}

/// How many connections a server has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerConnections {
    /// Sessions that run a statement.
    pub active: u64,
    /// Sessions that do nothing, outside of a transaction.
    pub idle: u64,
    /// Sessions that do nothing, inside of a transaction.
    pub idle_in_transaction: u64,
    /// All sessions of clients.
    pub total: u64,
    /// Sessions that there may be.
    pub max: u64,
    /// Of those, kept for superusers.
    pub reserved: u64,
}
