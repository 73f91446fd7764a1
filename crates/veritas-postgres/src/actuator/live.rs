//! The live database as a change sees it: one session that holds the lock of appliers, and what it asks.

use std::time::Duration;

use veritas_model::ActuatorError;

use super::ActuatorOptions;
use crate::{
    session::{ConnectOptions, Session, SessionError},
    target::PostgresTarget,
};

/// The lock that whoever changes indexes of a database holds: `veritas` in ASCII.
pub const APPLIER_LOCK: i64 = 0x0076_6572_6974_6173;
/// Takes it, until the session ends.
const LOCK: &str = "SELECT pg_catalog.pg_try_advisory_lock($1)";
/// How often it is tried: the server needs a moment to see that a session of ours has ended.
/// Nobody waits for the lock itself, since a build waits for whoever waits.
const LOCK_TRIES: usize = 20;
/// Between two tries.
const PAUSE: &str = "SELECT pg_catalog.pg_sleep(0.1)";
/// What has the name of an index.
const LOOK: &str = "
SELECT c.relkind::text, i.indisvalid AND i.indisready, tn.nspname, t.relname,
    CASE WHEN c.relkind = 'i' THEN pg_catalog.pg_get_indexdef(c.oid) END,
    c.reltablespace <> 0 OR pg_catalog.obj_description(c.oid, 'pg_class') IS NOT NULL
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget > 0),
    pg_catalog.pg_stat_get_numscans(c.oid), pg_catalog.pg_relation_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text";
/// Whether it is a replica; how many sessions work; how far replicas are behind; where
/// the files are.
const STATE: &str = "
SELECT pg_catalog.pg_is_in_recovery(),
    (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.state = 'active'
        AND a.backend_type = 'client backend' AND a.pid <> pg_catalog.pg_backend_pid()),
    CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN
        (SELECT max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn))::int8
         FROM pg_catalog.pg_stat_replication r) END,
    CASE WHEN pg_catalog.pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
        THEN pg_catalog.current_setting('data_directory', true) END,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication r)";

/// An index as the catalogues show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) is_index: bool,
    pub(super) valid: bool,
    pub(super) schema: Option<String>,
    pub(super) table: Option<String>,
    pub(super) definition: Option<String>,
    /// A tablespace, a comment, or targets of statistics, which its definition does not tell.
    pub(super) has_more: bool,
    pub(super) scans: i64,
    pub(super) bytes: u64,
}

/// What the server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) is_replica: bool,
    pub(super) active: i64,
    /// Bytes; `None` when there is no replica, or we may not know.
    pub(super) behind: Option<i64>,
    pub(super) data_directory: Option<String>,
    pub(super) replicas: i64,
}

/// A session that may change the live database.
#[derive(Debug)]
pub(super) struct Live<'a> {
    pub(super) target: &'a PostgresTarget,
    pub(super) session: Session,
}

impl<'a> Live<'a> {
    /// Connects, and takes the lock of appliers.
    pub(super) fn lock(target: &'a PostgresTarget, options: &ActuatorOptions) -> Result<Self, ActuatorError> {
        let connect = ConnectOptions {
            statement_timeout: options.longest_build,
            lock_timeout: options.lock_wait,
            ..target.options.clone()
        };
        let mut session =
            Session::connect_writing(&connect).map_err(|error| said(target, "connect", &error))?;
        let failed = |error: SessionError| said(target, "lock out other appliers", &error);
        let _session = session.within(Duration::from_secs(10));
        let mut is_locked = false;
        for attempt in 0..LOCK_TRIES {
            if attempt > 0 {
                let _nothing = session.query(PAUSE, &[]).map_err(failed)?;
            }
            let rows = session.query(LOCK, &[&APPLIER_LOCK]).map_err(failed)?;
            is_locked = rows.first().is_some_and(|row| row.get(0));
            if is_locked {
                break;
            }
        }
        if !is_locked {
            return Err(busy(target, "another process of ours changes it"));
        }
        // Past the server's own limit nothing is heard any more.
        session.within(options.longest_build.saturating_add(Duration::from_secs(30)));
        Ok(Self { target, session })
    }

    pub(super) fn look(&mut self, schema: &str, name: &str) -> Result<Option<Found>, ActuatorError> {
        let target = self.target;
        look(&mut self.session, schema, name).map_err(|error| said(target, "look for the index", &error))
    }

    pub(super) fn state(&mut self) -> Result<State, ActuatorError> {
        let target = self.target;
        let at = |error: SessionError| said(target, "ask what the server does", &error);
        let rows = self.session.query(STATE, &[]).map_err(at)?;
        let row = rows.first().ok_or_else(|| at(SessionError::Lost))?;
        Ok(State {
            is_replica: row.get(0),
            active: row.get(1),
            behind: row.get(2),
            data_directory: row.get(3),
            replicas: row.get(4),
        })
    }

    /// Runs one statement of ours that no transaction may surround.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), SessionError> {
        self.session.execute(sql, &[]).map(drop)
    }
}

/// Asks what has the name of an index.
pub(super) fn look(session: &mut Session, schema: &str, name: &str) -> Result<Option<Found>, SessionError> {
    let rows = session.query(LOOK, &[&schema, &name])?;
    Ok(rows.first().map(|row| Found {
        is_index: row.get::<_, &str>(0) == "i",
        valid: row.get::<_, Option<bool>>(1).unwrap_or(false),
        schema: row.get(2),
        table: row.get(3),
        definition: row.get(4),
        has_more: row.get(5),
        scans: row.get::<_, Option<i64>>(6).unwrap_or(0),
        bytes: u64::try_from(row.get::<_, Option<i64>>(7).unwrap_or(0)).unwrap_or(0),
    }))
}

/// Says what a server said; a lock that somebody holds may be free later.
pub(super) fn said(target: &PostgresTarget, step: &'static str, error: &SessionError) -> ActuatorError {
    if *error == SessionError::LockNotAvailable {
        return busy(target, format!("{step}: there was no lock to be had in time"));
    }
    ActuatorError::Target { step, target: target.name.clone(), reason: error.to_string() }
}

/// Says that trying again later may help.
pub(super) fn busy(target: &PostgresTarget, reason: impl Into<String>) -> ActuatorError {
    ActuatorError::Busy { target: target.name.clone(), reason: reason.into() }
}

/// Says which guard rail it is.
pub(super) fn guard(reason: impl Into<String>) -> ActuatorError {
    ActuatorError::Guard { reason: reason.into() }
}

/// Says what is wrong with a plan.
pub(super) fn refused(reason: impl Into<String>) -> ActuatorError {
    ActuatorError::PlanRefused { reason: reason.into() }
}
