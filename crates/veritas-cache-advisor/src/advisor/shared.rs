//! What advisor and actuator share: the caches, the recordings, what a cache itself costs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use veritas_cache::{CacheOptions, Caches, NamespaceOptions};
use veritas_model::{Bytes, Clock, Monotonic};

use crate::{AdvisorOptions, OwnCosts, Recording};

/// The recording of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) recording: Recording,
    /// Since when the namespace is set as it is, in milliseconds of the caches' clock.
    pub(crate) settings_since_ms: u64,
}

/// What advisor and actuator share.
pub(crate) struct Shared {
    pub(crate) caches: Arc<Caches>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: AdvisorOptions,
    recordings: Mutex<BTreeMap<String, Kept>>,
    own: OnceLock<Option<OwnCosts>>,
}

impl Shared {
    pub(crate) fn new(caches: Arc<Caches>, clock: Arc<dyn Clock>, options: AdvisorOptions) -> Self {
        Self { caches, clock, options, recordings: Mutex::default(), own: OnceLock::new() }
    }

    /// Returns a copy of a namespace's recording: 2 MiB at most.
    pub(crate) fn kept(&self, namespace: &str) -> Option<Kept> {
        self.recordings().get(namespace).cloned()
    }

    pub(crate) fn recordings(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what all namespaces may hold together.
    pub(crate) fn total(&self) -> Bytes {
        self.options.budget.unwrap_or_else(|| self.caches.capacity())
    }

    /// Returns what a cache itself costs; `None` on a clock that does not run by itself.
    /// Measured at the first call, in about two milliseconds.
    pub(crate) fn own_costs(&self) -> Option<OwnCosts> {
        self.options.own_costs.or_else(|| *self.own.get_or_init(|| measured(&self.clock)))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

pub(crate) fn millis(at: Monotonic) -> u64 {
    u64::try_from(at.since_origin().as_millis()).unwrap_or(u64::MAX)
}

/// Operations that are timed together.
const TIMED: u32 = 2_000;

/// How far a namespace's own costs may be from those of the one that is measured here:
/// its keys are longer, its values dearer to clone, its entries not in the processor's
/// caches.
const ERROR: f64 = 0.75;

/// Measures what a cache costs, on one of its own that is thrown away: small keys, small
/// values, warm.
fn measured(clock: &Arc<dyn Clock>) -> Option<OwnCosts> {
    let options = CacheOptions { capacity: Bytes::new(4 * 1024 * 1024), ..CacheOptions::default() };
    let caches = Caches::new(options, Arc::clone(clock));
    let cache = caches.namespace::<u64>("measured");
    let timed = |operation: &dyn Fn(u64) -> bool| {
        let began = clock.monotonic();
        let done = (0..u64::from(TIMED)).filter(|key| operation(*key)).count();
        std::hint::black_box(done);
        clock.monotonic().since(began).as_secs_f64() / f64::from(TIMED)
    };
    let miss = timed(&|key| cache.get(&key).is_some());
    let store = timed(&|key| cache.set(&key, key));
    let hit = timed(&|key| cache.get(&key).is_some());
    let watching = NamespaceOptions { start_bypassed: true, ..NamespaceOptions::default() };
    let watching = caches.namespace_with::<u64>("watching", watching);
    let bypassed = timed(&|key| watching.get(&key).is_some());
    let all = [hit, miss, store, bypassed];
    all.iter().all(|cost| *cost > 0.0).then_some(OwnCosts { hit, miss, store, bypassed, error: ERROR })
}
