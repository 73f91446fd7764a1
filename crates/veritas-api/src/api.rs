//! What every handler is given: the sources, and who may do what to them.

use std::sync::Arc;

use veritas_alert::Alerts;
use veritas_cache::{Caches, server::LatestReadings};
use veritas_cache_advisor::CacheAdvisor;
use veritas_database::Recorder;
use veritas_model::{Clock, Health};
use veritas_monitor::Monitor;
use veritas_optimize::Optimizer;
use veritas_store::{AuditEntry, ControlPlane, History, StoreError};

use crate::{
    auth::{Authenticator, Identity},
    bulk::Bulk,
    counters::Counters,
    problem::{Code, Problem},
};

/// Everything that answers come from. Built by the engine; nothing in it is made up here.
#[derive(Clone)]
pub struct Sources {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Says which parts are degraded.
    pub health: Arc<Health>,
    /// The caches of the process.
    pub caches: Arc<Caches>,
    /// What the caches should be.
    pub cache_advisor: Arc<CacheAdvisor>,
    /// The Redis server that is looked at.
    pub cache_server: Arc<LatestReadings>,
    /// The statements that were run.
    pub database: Arc<Recorder>,
    /// The database servers that are looked at.
    pub database_servers: Arc<veritas_database::server::LatestReadings>,
    /// The last reading of system and process.
    pub monitor: Arc<Monitor>,
    /// The readings before it.
    pub history: Arc<History>,
    /// The alert rules and their states.
    pub alerts: Arc<Alerts>,
    /// What leads proposals to changes.
    pub optimizer: Arc<Optimizer>,
    /// The records that are never lost.
    pub control: Arc<dyn ControlPlane>,
    /// The version that is served, for `/livez` and `/metrics`.
    pub version: &'static str,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The state of all handlers.
pub(crate) struct Api {
    pub(crate) sources: Arc<Sources>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) bulk: Bulk,
}

/// How handlers take it.
pub(crate) type Shared = axum::extract::State<Arc<Api>>;

/// What handlers return.
pub(crate) type Answer<T> = Result<axum::Json<T>, Problem>;

impl Api {
    /// Returns the present as the published JSON gives it.
    pub(crate) fn now_seconds(&self) -> f64 {
        self.sources.clock.now().seconds()
    }

    /// Writes down who is about to do what. No entry, no act. Blocks.
    pub(crate) fn audit(&self, by: &Identity, action: &str, object: &str) -> Result<(), Problem> {
        self.append_audit(by, action, object, "requested")
            .map_err(|error| of_store("write the audit log", &error))
    }

    /// Writes down how it ended. The act is done: a failure is logged, not answered. Blocks.
    pub(crate) fn audit_outcome<T>(
        &self,
        by: &Identity,
        action: &str,
        object: &str,
        outcome: &Result<T, Problem>,
    ) {
        let outcome = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "ok");
        if let Err(error) = self.append_audit(by, action, object, outcome) {
            tracing::error!(error = &error as &dyn std::error::Error, action, object, "failed to audit");
        }
    }

    /// Writes down an act, before it and after it. Blocks.
    pub(crate) fn audited<T>(
        &self,
        by: &Identity,
        action: &str,
        object: &str,
        act: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.audit(by, action, object)?;
        let outcome = act();
        self.audit_outcome(by, action, object, &outcome);
        outcome
    }

    fn append_audit(
        &self,
        by: &Identity,
        action: &str,
        object: &str,
        outcome: &str,
    ) -> Result<(), StoreError> {
        self.sources.control.append_audit(&AuditEntry {
            at: self.sources.clock.now(),
            subject: by.subject.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            outcome: outcome.to_owned(),
        })
    }
}

/// Runs what may block (disk, locks held over the disk) off the executor.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Problem::internal("run a task", &error)),
        },
    }
}

/// Tells the caller what helps, and the log the rest.
pub(crate) fn of_store(step: &'static str, error: &StoreError) -> Problem {
    match error {
        StoreError::Conflict { reason } => Problem::new(Code::StateConflict, reason.clone()),
        StoreError::LimitReached { what, limit } => Problem::new(
            Code::StateConflict,
            format!("there are {limit} {what} already, the most that are kept"),
        ),
        StoreError::Full { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Busy { .. }
        | StoreError::Io { .. } => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                step,
                "the control plane is not available"
            );
            Problem::new(Code::Unavailable, "the records cannot be read or written now; /readyz says more")
        }
        _ => Problem::internal(step, error),
    }
}
