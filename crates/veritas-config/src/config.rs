//! The configuration as the rest of the program reads it.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use veritas_model::{AlertRule, Bytes, ChangeKind, Mode};

use crate::AddressRange;

/// Everything that can be set. Each field is described in [`SETTINGS`](crate::SETTINGS).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The directory that holds keys, history and the ledger.
    pub data_dir: PathBuf,
    /// The least urgent log lines that are printed.
    pub log_level: LogLevel,
    /// Sampling of this machine.
    pub sampling: Sampling,
    /// The metric history.
    pub history: History,
    /// Recording of statements.
    pub database: Database,
    /// Rate limits of the API.
    pub limits: Limits,
    /// Access tokens.
    pub jwt: Jwt,
    /// What may be done with proven proposals.
    pub optimize: Optimize,
    /// `SQLite` databases to advise on.
    pub sqlite: Vec<SqliteTarget>,
    /// A Redis server to look at.
    pub redis: Option<RedisTarget>,
    /// A `PostgreSQL` database to look at and to advise on.
    pub postgres: Option<PostgresTarget>,
    /// A `MariaDB` or `MySQL` database to look at.
    pub mysql: Option<MySqlTarget>,
    /// Alert rules beyond the default ones, or instead of them where the name is the same.
    pub alert_rules: Vec<AlertRule>,
}

/// The least urgent log lines that are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// We recovered.
    Warn,
    /// State changed.
    Info,
    /// Single events.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    pub(crate) const WORDS: &[&str] = &["error", "warn", "info", "debug", "trace"];
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Returns the word of the configuration, which `tracing` reads as well.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

/// Sampling of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampling {
    /// The time between two readings.
    pub interval: Duration,
    /// The path whose file system `disk` tells of.
    pub disk_path: PathBuf,
}

/// The metric history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The most that it takes on disk.
    pub max_size: Bytes,
    /// Readings kept in memory.
    pub head_points: NonZeroUsize,
    /// The time between two writes to disk: what a power cut may cost.
    pub sync_every: Duration,
}

/// Recording of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Database {
    /// From here on a statement is slow.
    pub slow_threshold: Duration,
    /// Whether a few parameter vectors are held in memory for proofs.
    pub keep_parameters: bool,
}

/// Rate limits of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second of one subject.
    pub requests_per_second: NonZeroU32,
    /// Requests at once before the rate applies.
    pub burst: NonZeroU32,
    /// Tokens per second that one address may send in vain.
    pub failed_tokens_per_second: NonZeroU32,
    /// Tokens that one address may send in vain at once.
    pub failed_tokens_burst: NonZeroU32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<AddressRange>,
}

/// Whose tokens are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtMode {
    /// Only our own (Ed25519).
    Own,
    /// Our own, and those signed with a secret that an application shares (HS256).
    Hs256,
}

impl JwtMode {
    pub(crate) const WORDS: &[&str] = &["own", "hs256"];

    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Hs256 => "hs256",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Own, Self::Hs256].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// Access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// Whose tokens are accepted.
    pub mode: JwtMode,
    /// The file that holds the shared secret; present in mode `hs256`.
    pub secret_file: Option<PathBuf>,
    /// The `aud` that a token must have; `None`: not asked for.
    pub audience: Option<String>,
    /// The `iss` that a token must have; `None`: not asked for.
    pub issuer: Option<String>,
    /// The claim that names the role.
    pub role_claim: String,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// What may be done with proven proposals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Optimize {
    pub(crate) modes: Vec<(ChangeKind, Mode)>,
}

impl Optimize {
    /// Returns what may be done with proposals of `kind`.
    pub fn mode(&self, kind: ChangeKind) -> Mode {
        self.modes.iter().find(|(of, _)| *of == kind).map_or(Mode::ReportOnly, |(_, mode)| *mode)
    }

    /// Returns every kind with its mode.
    pub fn modes(&self) -> &[(ChangeKind, Mode)] {
        &self.modes
    }
}

/// A Redis server to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// Where it is, without a password.
    pub url: String,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
}

/// A `PostgreSQL` database to look at and to advise on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    /// Where it is, without a password.
    pub url: String,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Where proposals are proven.
    pub scratch: ScratchPlace,
    /// The most that proposed indexes may take together; `None`: a fifth of the database.
    pub index_budget: Option<Bytes>,
}

/// A `MariaDB` or `MySQL` database to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySqlTarget {
    /// Where it is, without a password.
    pub url: String,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Whether indexes are tried on copies of tables on the same server.
    pub copies: bool,
}

/// Where copies of tables may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScratchPlace {
    /// Nowhere.
    Off,
    /// In a database of its own on the server that is looked at.
    SameServer,
    /// In a database of its own on another server, at this address.
    Url(String),
}

impl ScratchPlace {
    /// Returns the text of the configuration.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Off => "off",
            Self::SameServer => "same_server",
            Self::Url(url) => url,
        }
    }
}

/// A `SQLite` database to advise on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteTarget {
    /// Its name in findings and changes.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}
