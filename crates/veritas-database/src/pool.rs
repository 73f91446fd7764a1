//! Connection pools of the application: gauges that are read, never polled by us; and meters,
//! which measure how pools are used and what size would suit them.

mod advice;
#[cfg(feature = "deadpool")]
mod deadpool;
mod meter;
mod queueing;

use std::sync::{Arc, Mutex, PoisonError};

use veritas_model::{Clock, Finding, Ratio, Timestamp};

pub use advice::PoolAdvice;
pub use meter::{Held, PoolMeter, PoolStatistics, PoolWindow};

/// Pools that are measured; the meters of further ones measure for nobody.
const METERS: usize = 64;

/// What a pool says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolReading {
    /// Connections in use.
    pub active: u64,
    /// Connections open and unused.
    pub idle: u64,
    /// Connections that it may open.
    pub max: u64,
}

/// Reads a pool. Must not block: it is called while answering a request.
pub trait PoolGauge: Send + Sync {
    /// Returns the pool's state now.
    fn read(&self) -> PoolReading;
}

impl<F: Fn() -> PoolReading + Send + Sync> PoolGauge for F {
    fn read(&self) -> PoolReading {
        self()
    }
}

/// The state of all registered pools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionReading {
    /// Sums over the pools.
    pub total: PoolReading,
    /// Each pool, by name.
    pub pools: Vec<(String, PoolReading)>,
}

impl ConnectionReading {
    /// Returns the share of the allowed connections that is in use, or `None`
    /// when none is allowed.
    pub fn utilization(&self) -> Option<Ratio> {
        Ratio::of(self.total.active, self.total.max)
    }
}

/// The registered pools.
#[derive(Default)]
pub(crate) struct Pools {
    gauges: Mutex<Vec<(String, Arc<dyn PoolGauge>)>>,
    meters: Mutex<Vec<(String, Arc<PoolMeter>)>>,
}

impl Pools {
    /// Registers a pool; the same name again replaces it.
    pub(crate) fn register(&self, name: &str, gauge: Arc<dyn PoolGauge>) {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|(known, _)| known != name);
        gauges.push((name.to_owned(), gauge));
    }

    /// Returns the meter of a pool, making it when there is none.
    pub(crate) fn meter(&self, name: &str, clock: &Arc<dyn Clock>) -> Arc<PoolMeter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, meter)) = meters.iter().find(|(known, _)| known == name) {
            return Arc::clone(meter);
        }
        let meter = Arc::new(PoolMeter::new(Arc::clone(clock)));
        if meters.len() < METERS {
            meters.push((name.to_owned(), Arc::clone(&meter)));
        }
        meter
    }

    /// Returns what the meters measured, by name. No lock is held while the gauges run.
    pub(crate) fn statistics(&self) -> Vec<PoolStatistics> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        meters
            .into_iter()
            .map(|(name, meter)| {
                let gauge = gauges.iter().find(|(known, _)| *known == name);
                meter.statistics(&name, gauge.map(|(_, gauge)| gauge.read()))
            })
            .collect()
    }

    /// Returns which of the measured pools are too small or too large.
    pub(crate) fn findings(&self, now: Timestamp) -> Vec<Finding> {
        self.statistics().iter().filter_map(|statistics| advice::find(statistics, now)).collect()
    }

    /// Reads every pool; `None` when none is registered. The lock is not held
    /// while the gauges run.
    pub(crate) fn read(&self) -> Option<ConnectionReading> {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if gauges.is_empty() {
            return None;
        }
        let pools: Vec<_> = gauges.into_iter().map(|(name, gauge)| (name, gauge.read())).collect();
        let total = pools.iter().fold(PoolReading::default(), |total, (_, pool)| PoolReading {
            active: total.active.saturating_add(pool.active),
            idle: total.idle.saturating_add(pool.idle),
            max: total.max.saturating_add(pool.max),
        });
        Some(ConnectionReading { total, pools })
    }
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(active: u64, idle: u64, max: u64) -> Arc<dyn PoolGauge> {
        Arc::new(move || PoolReading { active, idle, max })
    }

    #[test]
    fn no_pool_is_not_an_empty_pool() {
        assert_eq!(Pools::default().read(), None);
    }

    #[test]
    fn pools_are_summed_and_a_name_is_registered_once() {
        let pools = Pools::default();
        pools.register("main", gauge(9, 9, 9));
        pools.register("main", gauge(5, 10, 20));
        pools.register("reports", gauge(1, 0, 4));
        let reading = pools.read().unwrap();
        assert_eq!(reading.total, PoolReading { active: 6, idle: 10, max: 24 });
        assert_eq!(reading.utilization().map(Ratio::percent), Some(25.0));
    }

    #[test]
    fn a_pool_of_nothing_has_no_utilization() {
        let pools = Pools::default();
        pools.register("main", gauge(0, 0, 0));
        assert_eq!(pools.read().unwrap().utilization(), None);
    }
}
