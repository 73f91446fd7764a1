//! What a database server tells of itself: the nouns of a reading, without a client.
//!
//! `veritas-postgres` and `veritas-mysql` take readings; the API and the command line
//! show them. A reading has a part per thing that the server was asked for, and each
//! part is there or says why it is not ([`NotRead`]): a role without a right, or a
//! server without an extension, loses that part only. Counters count since the
//! server's start, or since somebody reset them; what happens per second comes from
//! two readings.

mod diagnosis;
mod latest;
mod literals;
mod parts;
mod statement;

use std::{fmt, time::Duration};

use veritas_model::Timestamp;

pub use diagnosis::{Check, Diagnosis, Fault, Severity};
pub use latest::{LatestReadings, Readings};
pub use parts::{
    ActivityReading, IndexReading, LockReading, ReplicaReading, ReplicationReading, ServerConnections,
    SessionReading, SettingReading, SlotReading, TableReading,
};
pub use statement::{PlanReading, ServerStatement, StatementWindow};

/// A part of a reading, or why it is not there.
pub type Section<T> = Result<T, NotRead>;

/// Why a part of a reading is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRead {
    /// The role that we are may not see it.
    Forbidden {
        /// What was asked for.
        what: String,
        /// The statement that grants it.
        grant: String,
    },
    /// An extension is not there that would tell.
    NoExtension {
        /// The extension.
        extension: String,
        /// How to get it.
        hint: String,
    },
    /// The server does not keep the figure, being of this version or set up as it is.
    NotKept {
        /// What would have to be otherwise.
        reason: String,
    },
    /// There was no answer in time, or no time left to ask.
    TimedOut,
    /// The server could not be reached, or was lost on the way.
    Unreachable {
        /// What the network or the log-in said, without credentials.
        reason: String,
    },
    /// The server refused for another reason.
    Refused {
        /// The code of its error.
        code: String,
    },
}

impl fmt::Display for NotRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { what, grant } => write!(formatter, "the role may not read {what}: {grant}"),
            Self::NoExtension { extension, hint } => write!(formatter, "no extension {extension}: {hint}"),
            Self::NotKept { reason } => formatter.write_str(reason),
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::Unreachable { reason } => write!(formatter, "not reached: {reason}"),
            Self::Refused { code } => write!(formatter, "the server refused: {code}"),
        }
    }
}

impl std::error::Error for NotRead {}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// `PostgreSQL`.
    PostgreSql,
    /// `MariaDB`.
    MariaDb,
    /// `MySQL`.
    MySql,
}

impl Engine {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

/// A reading of one database of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerReading {
    /// The name of the target among those that are looked at.
    pub name: String,
    /// Which server it is.
    pub engine: Engine,
    /// The server's version as it says it (`15.18`).
    pub version: String,
    /// The database that we are connected to.
    pub database: String,
    /// When the reading was begun.
    pub read_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// How long the server is up.
    pub uptime: Option<Duration>,
    /// Whether it is a replica that only answers reads.
    pub is_replica: bool,
    /// The costliest statements, by total time.
    pub statements: Section<Vec<ServerStatement>>,
    /// When the counters of the statements were last reset; `None` where not known.
    pub statements_reset_at: Option<Timestamp>,
    /// Entries that the server forgot to make room for others since then; `None` where not known.
    pub statements_evicted: Option<u64>,
    /// What the sessions do.
    pub activity: Section<ActivityReading>,
    /// Who waits for whom.
    pub locks: Section<Vec<LockReading>>,
    /// The tables, largest first.
    pub tables: Section<Vec<TableReading>>,
    /// The indexes, largest first.
    pub indexes: Section<Vec<IndexReading>>,
    /// The settings that matter for speed and safety.
    pub settings: Section<Vec<SettingReading>>,
    /// Replicas and slots.
    pub replication: Section<ReplicationReading>,
    /// How many connections there are and may be.
    pub connections: Section<ServerConnections>,
    /// Extensions that are installed in the database, with their versions.
    pub extensions: Vec<(String, String)>,
    /// Age of the oldest unfrozen transaction id of the database; `None` where there is no such thing.
    pub transaction_id_age: Option<u64>,
}
