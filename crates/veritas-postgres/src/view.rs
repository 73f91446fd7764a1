//! Readings of a server: what it tells of itself to a role with few rights.
//!
//! [`View::read`] asks for one thing after the other, each under its own short deadline:
//! a catalogue that somebody has locked, or a right that is missing, takes its own part
//! of the reading away and no other. Nothing is written, and no table of an application
//! is read.
//!
//! # Rights
//!
//! `pg_read_all_stats` shows statements and sessions of other roles (`pg_monitor`
//! contains it); without it a reading holds what the own role runs. Tables, indexes and
//! most settings everybody may see. No superuser is needed.
//!
//! # Bounds
//!
//! | part | at most |
//! |---|---|
//! | statements | 500, the costliest by total time, of this database |
//! | sessions | 50 with the oldest transactions |
//! | waiting sessions | 50, with 10 blockers each |
//! | tables, indexes | 500 and 2,000, the largest |
//! | settings | the 60 that matter |
//! | replicas, slots | 64 each |
//! | extensions | 200 |
//!
//! # Versions
//!
//! `PostgreSQL` 13 and later; what differs is in one place, `versions.rs`. Tested here
//! with 15; the columns of other versions follow their manuals.

mod activity;
mod expected;
mod indexes;
mod locks;
mod part;
mod replication;
mod server;
mod settings;
mod statements;
mod tables;
mod versions;

use std::{sync::Arc, time::Duration};

use veritas_database::server::{Engine, NotRead, ServerReading};
use veritas_model::{Clock, Timestamp};

use self::part::Parts;
use crate::{session::Session, target::PostgresTarget};

pub use self::{
    activity::MOST_SESSIONS,
    indexes::MOST_INDEXES,
    locks::{MOST_BLOCKERS, MOST_WAITING},
    statements::MOST_STATEMENTS,
    tables::MOST_TABLES,
};

/// How long the server may work on one part, unless it is told otherwise.
pub const PART_TIME: Duration = Duration::from_secs(1);
/// How many times a part's time a whole reading may take; what is not asked by then is not asked.
pub const MOST_PART_TIMES: u32 = 5;

/// Takes readings of one database. Remembers nothing between them.
#[derive(Debug, Clone)]
pub struct View {
    name: String,
    clock: Arc<dyn Clock>,
    part_time: Duration,
}

impl View {
    /// Makes a view whose readings carry the name of a target.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), clock, part_time: PART_TIME }
    }

    /// Makes the view of a target.
    pub fn of(target: &PostgresTarget) -> Self {
        Self::new(target.name.clone(), Arc::clone(&target.clock))
    }

    /// Sets how long the server may work on one part.
    #[must_use]
    pub fn within(mut self, part_time: Duration) -> Self {
        self.part_time = part_time;
        self
    }

    /// Takes a reading on a session. Never fails: what cannot be read says why. Costs about
    /// twenty statements: milliseconds each for some dozens of tables, and a second in all for
    /// 500 statements, 500 tables and 1,000 indexes (unoptimized, on two busy cores). A slow server is asked for five times a
    /// part's time ([`MOST_PART_TIMES`]); one that hangs is given up after one part's time
    /// and three seconds, and the session is lost then.
    pub fn read(&self, session: &mut Session) -> ServerReading {
        self.read_identified(session).0
    }

    /// Takes a reading, and tells when the server was started: what counts from then on.
    pub(crate) fn read_identified(&self, session: &mut Session) -> (ServerReading, Option<Timestamp>) {
        let read_at = self.clock.now();
        let started_at = self.clock.monotonic();
        let version = session.version_text().to_owned();
        let parts = &mut Parts::begin(session, &*self.clock, self.part_time);

        let identity = server::identity(parts).unwrap_or_default();
        let extensions = identity.extensions;
        let role = identity.role;
        let counted = statements::read(parts, &role, &extensions);
        let info = statements::info(parts, &extensions).unwrap_or_default();
        let activity = activity::read(parts, &role);
        let locks = locks::read(parts);
        let tables = tables::read(parts);
        let mut indexes = indexes::read(parts);
        let settings = settings::read(parts);
        let replication = replication::read(parts, &role);
        let connections = server::connections(parts, &role);
        // Last: it is the least of what is to be known, and the longest to ask for.
        if let Ok(indexes) = &mut indexes {
            expected::fill(parts, indexes);
        }
        parts.end();

        let reading = ServerReading {
            name: self.name.clone(),
            engine: Engine::PostgreSql,
            version,
            database: identity.database,
            read_at,
            took: self.clock.monotonic().since(started_at),
            uptime: identity.uptime,
            is_replica: identity.is_replica,
            statements: counted,
            statements_reset_at: info.reset_at,
            statements_evicted: info.evicted,
            activity,
            locks,
            tables,
            indexes,
            settings,
            replication,
            connections,
            extensions,
            transaction_id_age: identity.transaction_id_age,
        };
        (reading, identity.started_at)
    }

    /// Returns the reading of a server that could not be asked, which is all that is known of it now.
    pub(crate) fn missing(&self, why: &NotRead, before: Option<&ServerReading>) -> ServerReading {
        ServerReading {
            name: self.name.clone(),
            engine: Engine::PostgreSql,
            version: before.map(|before| before.version.clone()).unwrap_or_default(),
            database: before.map(|before| before.database.clone()).unwrap_or_default(),
            read_at: self.clock.now(),
            took: Duration::ZERO,
            uptime: None,
            is_replica: before.is_some_and(|before| before.is_replica),
            statements: Err(why.clone()),
            statements_reset_at: None,
            statements_evicted: None,
            activity: Err(why.clone()),
            locks: Err(why.clone()),
            tables: Err(why.clone()),
            indexes: Err(why.clone()),
            settings: Err(why.clone()),
            replication: Err(why.clone()),
            connections: Err(why.clone()),
            extensions: Vec::new(),
            transaction_id_age: None,
        }
    }
}

/// Returns a time that the server gave in seconds since 1970.
fn timestamp(seconds: Option<f64>) -> Option<Timestamp> {
    seconds.filter(|seconds| seconds.is_finite()).map(Timestamp::from_seconds)
}

/// Returns a span that the server gave in seconds; one that is negative, by two clocks, is none.
fn span(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
}

/// Returns a counter of the server, which counts in signed numbers.
fn count(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}
