//! Visibility: whether the statements that sqlx logs reach the layer at all.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata};

use super::TARGET;
use crate::Recorder;

/// Which statements reach the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementVisibility {
    /// Every statement.
    All,
    /// Only those that sqlx calls slow.
    SlowOnly,
    /// None.
    Nothing,
}

/// What the layer can see, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    /// Which statements reach the layer.
    pub statements: StatementVisibility,
    /// Why, for people.
    pub reason: String,
    /// What to do, for people; `None` when there is nothing to do.
    pub hint: Option<String>,
}

/// What the layer has noticed.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    attached: AtomicBool,
    probe_seen: AtomicBool,
    statement_seen: AtomicBool,
}

/// The field that marks our own event.
const PROBE_FIELD: &str = "veritas.probe";

impl Sight {
    pub(super) fn attach(&self) {
        self.attached.store(true, Ordering::Relaxed);
    }

    /// Notes an ordinary statement (one that sqlx did not call slow).
    pub(super) fn see_statement(&self) {
        if !self.statement_seen.load(Ordering::Relaxed) {
            self.statement_seen.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn see_probe(&self) {
        self.probe_seen.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_probe(metadata: &Metadata<'_>) -> bool {
        metadata.fields().field(PROBE_FIELD).is_some()
    }
}

const HINT: &str = "give the filter to the fmt layer instead of the subscriber (`fmt::layer().with_filter(…)`) and add \
                    ours with `.filtered()`; or let the filter pass `sqlx::query=debug`; or call \
                    `log_statements(log::LevelFilter::Info)` on sqlx's connect options";

impl Recorder {
    /// Tells which of the statements that sqlx logs reach the layer under the
    /// subscriber of this thread: call it after the subscriber is installed.
    ///
    /// It does not reason about filters, it tries: an event like sqlx's own, at
    /// DEBUG, is emitted, and either the layer receives it or it does not. A
    /// log that shows `sqlx::query` at DEBUG shows this one line too.
    pub fn sqlx_visibility(&self) -> Visibility {
        let sight = self.sight();
        sight.probe_seen.store(false, Ordering::Relaxed);
        tracing::event!(
            target: TARGET,
            Level::DEBUG,
            veritas.probe = true,
            "veritas looks whether the statements of sqlx are visible"
        );
        if sight.probe_seen.load(Ordering::Relaxed) {
            return Visibility {
                statements: StatementVisibility::All,
                reason: "statements that sqlx logs at DEBUG (its default) or above reach the layer"
                    .to_owned(),
                hint: None,
            };
        }
        if sight.statement_seen.load(Ordering::Relaxed) {
            return Visibility {
                statements: StatementVisibility::All,
                reason:
                    "DEBUG is filtered out, but sqlx logs its statements at a level that reaches the layer"
                        .to_owned(),
                hint: None,
            };
        }
        if !sight.attached.load(Ordering::Relaxed) {
            return Visibility {
                statements: StatementVisibility::Nothing,
                reason: "the layer is in no subscriber".to_owned(),
                hint: Some("add `recorder.tracing_layer().filtered()` to the tracing subscriber".to_owned()),
            };
        }
        if tracing::enabled!(target: TARGET, Level::WARN) {
            return Visibility {
                statements: StatementVisibility::SlowOnly,
                reason: "sqlx logs statements at DEBUG, and a filter of the whole subscriber stops DEBUG; only slow \
                         ones (WARN, from 1 s) pass"
                    .to_owned(),
                hint: Some(HINT.to_owned()),
            };
        }
        Visibility {
            statements: StatementVisibility::Nothing,
            reason: "a filter of the whole subscriber stops every event of `sqlx::query`".to_owned(),
            hint: Some(HINT.to_owned()),
        }
    }
}
