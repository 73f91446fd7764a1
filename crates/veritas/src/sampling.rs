//! Sampling: one tick of the sampler's thread.

use std::{sync::Arc, time::Duration};

use veritas_api::Sources;
use veritas_model::{AlertRule, Condition, Monotonic};
use veritas_monitor::{ProcessTable, Sampler, SamplerError};

/// Time between two rounds of what costs most and is needed least often: the
/// scan of all processes (to say what is to blame), and the removal of cache
/// entries that expired and that nobody asked for since.
const BETWEEN_SCANS: Duration = Duration::from_secs(5);

/// Reads the machine, remembers, and evaluates the alert rules.
pub(crate) struct Sampling {
    sources: Arc<Sources>,
    sampler: Option<Sampler>,
    processes: ProcessTable,
    scanned_at: Option<Monotonic>,
}

impl Sampling {
    pub(crate) fn new(sources: Arc<Sources>, sampler: Result<Sampler, SamplerError>) -> Self {
        let condition = match &sampler {
            Ok(_) => Condition::Ready,
            Err(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "the machine is not sampled");
                Condition::Degraded(format!("the machine is not sampled: {error}"))
            }
        };
        sources.health.set("sampler", condition);
        Self { sources, sampler: sampler.ok(), processes: ProcessTable::new(), scanned_at: None }
    }

    /// Takes one reading. A disk that is slow delays the next reading, never a request.
    pub(crate) fn tick(&mut self) {
        let Some(sampler) = &mut self.sampler else { return };
        let clock = &*self.sources.clock;
        let reading = sampler.tick(clock);
        let now = clock.monotonic();
        if self.scanned_at.is_none_or(|scanned_at| now.since(scanned_at) >= BETWEEN_SCANS) {
            // A scan that fails leaves nobody to blame, and nothing else undone.
            if let Err(error) = self.processes.scan(clock) {
                tracing::debug!(%error, "the processes were not scanned");
            }
            self.sources.caches.purge_expired();
            self.scanned_at = Some(now);
        }

        let numbers = reading.series();
        let texts = reading.texts();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let at = reading.at;
        self.sources.monitor.publish(reading);
        // What could not be recorded is counted by the history and shown in its health.
        drop(self.sources.history.append(at, &numbers, &texts));
        self.sources.history.sync_if_due();

        let value = |series: &str| numbers.iter().find(|(name, _)| *name == series).map(|(_, value)| *value);
        let processes = &self.processes;
        let blame = |rule: &AlertRule| processes.blame(&rule.series);
        for transition in self.sources.alerts.evaluate(at, &value, &blame) {
            tracing::info!(
                rule = transition.rule,
                status = transition.status.as_str(),
                value = transition.value,
                cause = transition.cause,
                "an alert changed"
            );
        }
    }
}
