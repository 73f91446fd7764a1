//! What the `tracing` layer cannot see is said: in the log, and in the health.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use veritas_database::{Recorder, StatementVisibility};
use veritas_model::{Condition, Health};

/// Whether an application took the layer: only then does it matter what the layer sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerTaken(Arc<AtomicBool>);

impl LayerTaken {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks, at each turn until all is seen, what the application's filters leave of sqlx's statements.
#[derive(Debug)]
pub(crate) struct Watch {
    taken: LayerTaken,
    said: Option<StatementVisibility>,
}

impl Watch {
    pub(crate) const fn new(taken: LayerTaken) -> Self {
        Self { taken, said: None }
    }

    pub(crate) fn look(&mut self, recorder: &Recorder, health: &Health) {
        if !self.taken.0.load(Ordering::Relaxed) || self.said == Some(StatementVisibility::All) {
            return;
        }
        let visibility = recorder.sqlx_visibility();
        if self.said == Some(visibility.statements) {
            return;
        }
        self.said = Some(visibility.statements);
        if visibility.statements == StatementVisibility::All {
            health.set("sqlx", Condition::Ready);
        } else {
            let hint = visibility.hint.unwrap_or_default();
            tracing::warn!(reason = visibility.reason, hint, "not every statement of sqlx is seen");
            health.set("sqlx", Condition::Degraded(format!("{}; hint: {hint}", visibility.reason)));
        }
    }
}
