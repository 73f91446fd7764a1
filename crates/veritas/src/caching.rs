//! Caches: their advisor and actuator, and what a restart puts back in force.

use std::sync::Arc;

use veritas_cache::Caches;
use veritas_cache_advisor::{AdvisorOptions, CacheActuator, CacheAdvisor};
use veritas_model::{ChangeState, Clock, KindGroup};
use veritas_optimize::Optimizer;

/// What the engine holds of its caches' advice.
pub(crate) struct Caching {
    pub(crate) advisor: Arc<CacheAdvisor>,
    actuator: Arc<CacheActuator>,
}

impl Caching {
    /// Begins to watch the caches, and registers who carries out changes to them.
    pub(crate) fn start(
        options: AdvisorOptions,
        caches: &Arc<Caches>,
        optimizer: &Optimizer,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let advisor = Arc::new(CacheAdvisor::new(Arc::clone(caches), Arc::clone(clock), options));
        let actuator = Arc::new(CacheActuator::new(&advisor));
        optimizer.register(Arc::clone(&actuator) as _);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            caches.set_spawn(Arc::new(OnRuntime(runtime)));
        }
        drop(veritas_cache::function::install(Arc::clone(caches)));
        Self { advisor, actuator }
    }

    /// Puts the changes back in force that stood when the process ended: how a cache is tuned
    /// lives in memory, and the ledger outlives it. Oldest first, so that the last one holds.
    pub(crate) fn reinstate(&self, optimizer: &Optimizer) {
        let changes = match optimizer.changes() {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(%error, "kept changes to caches are not put back in force");
                return;
            }
        };
        let in_force = changes.iter().rev().filter(|change| {
            change.kind.group() == KindGroup::Caching
                && matches!(change.state, ChangeState::Kept | ChangeState::Verifying)
        });
        for change in in_force {
            if let Err(error) = self.actuator.reinstate(change.kind, &change.plan) {
                let change = change.id.as_str();
                tracing::warn!(change, %error, "a kept change to a cache is not put back in force");
            }
        }
    }
}

/// Runs background refreshes on the runtime that the engine was started in.
struct OnRuntime(tokio::runtime::Handle);

impl veritas_cache::Spawn for OnRuntime {
    fn spawn(&self, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.spawn(future));
    }
}
