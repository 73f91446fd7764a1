//! The engine: the recorders, stores and threads of one process.

use std::sync::Arc;

use veritas_api::{Sources, auth::Authenticator};
use veritas_cache::Caches;
use veritas_database::Recorder;
use veritas_model::Health;
use veritas_monitor::Monitor;
use veritas_optimize::Optimizer;
use veritas_store::{DataDir, History};

use crate::{EngineBuilder, storage::Storage, worker::Worker};

/// Everything that Veritas does in one process. Dropping it stops its threads;
/// recorders that the application still holds go on counting and disturb nobody.
#[derive(Debug)]
pub struct Engine {
    // Dropped in this order: nobody writes any more when the directory is released.
    pub(crate) sampler: Worker,
    pub(crate) optimizer: Worker,
    pub(crate) _prover: Worker,
    /// Read the `MariaDB` and `MySQL` databases, where some are named, and advise on them.
    #[cfg(feature = "mysql")]
    pub(crate) _mysql: Vec<Worker>,
    /// Read the `PostgreSQL` databases, where some are named, and advise on them.
    #[cfg(feature = "postgres")]
    pub(crate) _postgres: Vec<Worker>,
    /// Reads the Redis server, where one is named.
    #[cfg(feature = "redis")]
    pub(crate) _redis: Option<Worker>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) storage: Storage,
    #[cfg(feature = "tracing")]
    pub(crate) layer_taken: crate::visibility::LayerTaken,
}

impl Engine {
    /// Returns a builder with every option at its default.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Returns the caches; open namespaces on them.
    pub fn caches(&self) -> &Arc<Caches> {
        &self.sources.caches
    }

    /// Returns the recorder of statements and pools.
    pub fn database(&self) -> &Arc<Recorder> {
        &self.sources.database
    }

    /// Returns the last reading of the machine.
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.sources.monitor
    }

    /// Returns the history of readings.
    pub fn history(&self) -> &Arc<History> {
        &self.sources.history
    }

    /// Returns the ledger: findings, proposals and changes.
    pub fn optimizer(&self) -> &Arc<Optimizer> {
        &self.sources.optimizer
    }

    /// Returns what is degraded, and why.
    pub fn health(&self) -> &Arc<Health> {
        &self.sources.health
    }

    /// Returns everything that the API reads.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Returns the data directory that this engine owns; `None` in memory.
    pub fn data_dir(&self) -> Option<&DataDir> {
        self.storage.directory()
    }

    /// Returns the REST API as a router to nest into an application. Who may
    /// ask is decided by `authenticator`; there is no anonymous form.
    pub fn router(&self, authenticator: Arc<dyn Authenticator>) -> axum::Router {
        veritas_api::router(Arc::clone(&self.sources), authenticator, veritas_api::Limits::default())
    }

    /// Returns a layer for `tracing_subscriber` that records sqlx's statements;
    /// give it its own filter with `.filtered()`. What the application's filters
    /// hide from it is said within one turn of the analysis: in the log, and in
    /// the [health](Self::health) as `sqlx`.
    #[cfg(feature = "tracing")]
    pub fn tracing_layer(&self) -> veritas_database::SqlxLayer {
        self.layer_taken.set();
        self.sources.database.tracing_layer()
    }

    /// Looks for findings, takes a step of optimization and proves what waits now, instead
    /// of at the next turn.
    pub fn analyze_now(&self) {
        self.optimizer.wake();
    }

    /// Reads the machine now, instead of at the next turn.
    pub fn sample_now(&self) {
        self.sampler.wake();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.sources.history.sync();
    }
}
