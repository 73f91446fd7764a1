//! What the tests of tiered caches share: processes that share a server.

use std::{sync::Arc, time::Duration};

use veritas_cache::{CacheOptions, Caches, NamespaceOptions, TierCounts};
use veritas_model::{Clock, Condition, SystemClock};
use veritas_redis::{RedisOptions, RedisTier, TieredCache, TieredCaches, TieredOptions};
use veritas_testkit::wait_for;

use crate::scene::{LONG, options};

/// All that a process has: its own caches, connections and tiers.
pub(crate) struct Node {
    pub(crate) caches: Arc<Caches>,
    pub(crate) tiered: TieredCaches,
}

impl Node {
    /// Makes one that is connected.
    pub(crate) fn new(url: &str) -> Self {
        Self::with(options(url), Arc::new(SystemClock::new()))
    }

    pub(crate) fn with(options: RedisOptions, clock: Arc<dyn Clock>) -> Self {
        let node = Self::unconnected(options, clock);
        wait_for(LONG, || node.tiered.redis().condition() == Condition::Ready);
        node
    }

    pub(crate) fn unconnected(options: RedisOptions, clock: Arc<dyn Clock>) -> Self {
        let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock)));
        let redis = RedisTier::connect(options, Arc::clone(&clock)).unwrap();
        let tiered = TieredCaches::new(Arc::clone(&caches), redis, clock);
        Self { caches, tiered }
    }

    /// Opens a namespace of texts with exact times.
    pub(crate) fn texts(&self, name: &str) -> TieredCache<String> {
        self.tiered.namespace(name, exact(TieredOptions::default()))
    }

    /// Returns what Redis was asked for a namespace.
    pub(crate) fn counts(&self, name: &str) -> TierCounts {
        let tiers = self.caches.tiers();
        let statistics = tiers[0].statistics();
        statistics.of(name).copied().unwrap_or_default()
    }
}

/// Turns off what makes times uncertain. (A virtual clock must not advance by more
/// than a minute: then the server is asked, whose time is real.)
pub(crate) fn exact(mut options: TieredOptions) -> TieredOptions {
    options.namespace = NamespaceOptions {
        ttl: Some(Duration::from_secs(20)),
        jitter: 0.0,
        early_refresh: 0.0,
        ..options.namespace
    };
    options
}

/// Loads a text.
#[expect(clippy::unnecessary_wraps, reason = "a loader may fail")]
pub(crate) fn load(text: &str) -> Result<String, std::io::Error> {
    Ok(text.to_owned())
}
