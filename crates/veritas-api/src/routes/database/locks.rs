//! `/db/locks`: who waits for whom, and whose transactions are old.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_database::server::{LockReading, SessionReading};

use crate::{
    api::Shared,
    extract::{NoParameters, Viewer},
    openapi::Refusals,
};

/// The locks of all servers that are looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseLocks)]
pub(crate) struct LockList {
    /// By server.
    servers: BTreeMap<String, ServerLocks>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// The locks of one server at its last reading.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseServerLocks)]
pub(crate) struct ServerLocks {
    /// When the server was read, in Unix seconds.
    read_at: f64,
    /// Sessions that wait, with those that they wait for; `null` where that was not read.
    #[schema(required)]
    waits: Option<Vec<WaitBody>>,
    /// The sessions with the oldest transactions; `null` where that was not read.
    #[schema(required)]
    oldest_transactions: Option<Vec<SessionBody>>,
    /// Sessions by state; empty where that was not read.
    sessions: BTreeMap<String, u64>,
    /// Waiting sessions by what they wait for; empty where that was not read.
    waiting_for: BTreeMap<String, u64>,
    /// Why parts are `null`, by their name.
    not_read: BTreeMap<&'static str, String>,
}

/// One session that waits for a lock.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseLockWait)]
pub(crate) struct WaitBody {
    waiting: SessionBody,
    /// Those that hold what it waits for.
    blockers: Vec<SessionBody>,
    /// What is locked.
    object: String,
    /// The mode that is asked for.
    mode: String,
    /// Seconds that it waits; `null` where the server does not say.
    #[schema(required)]
    waited_seconds: Option<f64>,
}

/// One session.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseSession)]
pub(crate) struct SessionBody {
    /// The server's number for it.
    pid: i64,
    #[schema(required)]
    user: Option<String>,
    /// What it calls itself.
    #[schema(required)]
    application: Option<String>,
    /// Its state, in the server's words.
    state: String,
    /// Seconds that its transaction is open; `null` outside of one.
    #[schema(required)]
    transaction_seconds: Option<f64>,
    /// Seconds that it is in this state.
    #[schema(required)]
    state_seconds: Option<f64>,
    /// What it waits for; `null` while it runs.
    #[schema(required)]
    wait: Option<String>,
    /// The statement without its literals; `null` where not known.
    #[schema(required)]
    statement: Option<String>,
    /// Its fingerprint.
    #[schema(required, pattern = "^[0-9a-f]{16}$")]
    fingerprint: Option<String>,
}

/// List locks
///
/// Who waits for whom at the last reading of each server.
#[utoipa::path(get, path = "/db/locks", operation_id = "list_db_locks", tag = "Database",
    responses((status = 200, description = "The locks", body = LockList), Refusals))]
pub(crate) async fn list(State(api): Shared, _: Viewer, _: NoParameters) -> Json<LockList> {
    let mut servers = BTreeMap::new();
    for server in api.sources.database_servers.all() {
        let reading = &server.reading;
        let mut not_read = BTreeMap::new();
        if let Err(why) = &reading.locks {
            let _new = not_read.insert("waits", why.to_string());
        }
        if let Err(why) = &reading.activity {
            let _new = not_read.insert("oldest_transactions", why.to_string());
        }
        let activity = reading.activity.as_ref().ok();
        let counts = |counts: &[(String, u64)]| counts.iter().cloned().collect();
        let locks = ServerLocks {
            read_at: reading.read_at.seconds(),
            waits: reading.locks.as_ref().ok().map(|locks| locks.iter().map(WaitBody::from).collect()),
            oldest_transactions: activity
                .map(|activity| activity.sessions.iter().map(SessionBody::from).collect()),
            sessions: activity.map(|activity| counts(&activity.states)).unwrap_or_default(),
            waiting_for: activity.map(|activity| counts(&activity.waits)).unwrap_or_default(),
            not_read,
        };
        let _new = servers.insert(reading.name.clone(), locks);
    }
    Json(LockList { servers, generated_at: api.now_seconds() })
}

impl From<&LockReading> for WaitBody {
    fn from(lock: &LockReading) -> Self {
        Self {
            waiting: SessionBody::from(&lock.waiting),
            blockers: lock.blockers.iter().map(SessionBody::from).collect(),
            object: lock.object.clone(),
            mode: lock.mode.clone(),
            waited_seconds: lock.waited.map(|waited| waited.as_secs_f64()),
        }
    }
}

impl From<&SessionReading> for SessionBody {
    fn from(session: &SessionReading) -> Self {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            pid: session.pid,
            user: session.user.clone(),
            application: session.application.clone(),
            state: session.state.clone(),
            transaction_seconds: seconds(session.transaction),
            state_seconds: seconds(session.in_state),
            wait: session.wait.clone(),
            statement: session.statement.clone(),
            fingerprint: session.fingerprint.map(|fingerprint| fingerprint.to_string()),
        }
    }
}
