//! Two tiers: decoded values in the process, over frames in Redis that all processes share.
//!
//! A look-up asks the process, then Redis, then (in the forms that load) the source,
//! once for all callers of all processes. What is held in the process dies with the
//! value in Redis: its time comes out of the frame, a peer's change is pushed to us,
//! and when that push may have been lost, everything in the process is dropped at
//! once, in constant time.
//!
//! What is true, and by what:
//!
//! - **No stale value after an acknowledged change.** A load or a read notes in the
//!   process that it is under way *before* it asks Redis; an invalidation that
//!   arrives meanwhile takes that note away, and what comes back is handed to those
//!   who wait and kept nowhere. Answers and invalidations share one connection, so
//!   their order is Redis's.
//! - **No outdated load is stored in Redis either.** Who loads holds a lease *in the
//!   place of the value*; its value replaces the lease only while that is there. A
//!   set or delete of the key removes it.
//! - **The first look-up after a load may ask Redis once more.** A loaded value is written
//!   by a script, and a server tells a process of its own scripts' writes as of a peer's.
//! - **What Redis does not hold, it cannot tell us about.** So a value that Redis
//!   did not accept, or that was read while changes did not reach us, lives in the
//!   process for `untracked_ttl` at most.
//! - **No more than Redis itself keeps.** Replication is asynchronous: a failover may lose
//!   what the old primary had acknowledged, a delete too, and then the older value stands
//!   in Redis until its time is over. Nobody goes on believing the old primary, though.
//! - **Redis never fails the application.** Without it, look-ups miss and each
//!   process loads once; deletes that could not be sent are made good before
//!   anything is believed again.

mod batch;
mod blocking;
mod cache;
mod claim;
mod counters;
mod function;
mod lease;
mod load;
mod options;
mod pending;
mod read;
mod server_time;
mod space;
mod spaces;
mod store;
mod versions;
mod write;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{Caches, HeapSize, TierMemory};
use veritas_model::Clock;

pub use self::cache::TieredCache;
pub use self::options::{LeaseOptions, TieredOptions};
pub use self::store::StoreError;
use self::{pending::Pending, server_time::ServerTime, spaces::Spaces};
pub(crate) use self::{space::Space, versions::random};
use crate::{
    Invalidation, RedisTier, TierError,
    key::{self, Place},
    memory,
    second_tier::RedisSecondTier,
    wait::block_on,
};

/// The caches of a process over Redis.
///
/// ```no_run
/// use std::sync::Arc;
/// use veritas_cache::{CacheOptions, Caches};
/// use veritas_model::SystemClock;
/// use veritas_redis::{RedisOptions, RedisTier, TieredCaches, TieredOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let clock = Arc::new(SystemClock::new());
/// let caches = Arc::new(Caches::new(CacheOptions::default(), clock.clone()));
/// let redis = RedisTier::connect(RedisOptions::parse("redis://localhost")?, clock.clone())?;
/// let tiered = TieredCaches::new(caches, redis, clock);
///
/// let names = tiered.namespace::<String>("user_names", TieredOptions::default());
/// // One load, however many ask in however many processes.
/// let name = names.get_or_load(&7, || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
/// // Gone from Redis and from every process when this returns (from peers: within milliseconds).
/// names.delete(&7).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TieredCaches {
    tiers: Arc<Tiers>,
}

impl TieredCaches {
    /// Puts Redis behind the caches of the process, and tells them so: their
    /// statistics, memory and keys in Redis are read through
    /// [`SecondTier`](veritas_cache::SecondTier).
    pub fn new(caches: Arc<Caches>, redis: RedisTier, clock: Arc<dyn Clock>) -> Self {
        let tiers = Arc::new(Tiers {
            caches,
            redis,
            clock,
            time: ServerTime::default(),
            pending: Pending::default(),
            spaces: Spaces::default(),
        });
        let listener: Weak<Tiers> = Arc::downgrade(&tiers);
        tiers.redis.subscribe(Arc::new(move |invalidation: Invalidation<'_>| {
            if let Some(tiers) = listener.upgrade() {
                tiers.hear(invalidation);
            }
        }));
        tiers.caches.register_tier(Arc::new(RedisSecondTier::new(Arc::downgrade(&tiers))));
        Self { tiers }
    }

    /// Opens a namespace for values of type `V`.
    ///
    /// Opened twice, it is one namespace, whatever the options: what is set, deleted,
    /// cleared or invalidated through one handle is so for all of them at once. With another
    /// `schema` or `hash_tag` its values stand elsewhere in Redis; a key that is set or
    /// deleted through one handle is removed from the places of the others, which costs a
    /// round trip for each. Two types under one name must differ in `schema`, else each takes
    /// the other's frames for corrupted ones. Keep the handle: opening takes a lock.
    ///
    /// The first 4,096 namespaces, counted once for each set of options, are told of what
    /// peers change. Entries of one beyond that live for `untracked_ttl` at most in the process,
    /// what it asks of Redis is counted together with others under
    /// [`OVERFLOW`](veritas_cache::OVERFLOW), and its places of another `schema` or `hash_tag`
    /// are not known of each other.
    pub fn namespace<V>(&self, name: &str, options: TieredOptions) -> TieredCache<V>
    where
        V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
    {
        let local = self.tiers.caches.namespace_with(name, options.namespace.clone());
        let space = self.tiers.spaces.open(&self.tiers.redis.options().prefix, name, options);
        TieredCache::new(Arc::clone(&self.tiers), space, local)
    }

    /// Returns the caches of the process.
    pub fn caches(&self) -> &Arc<Caches> {
        &self.tiers.caches
    }

    /// Returns the raw tier.
    pub fn redis(&self) -> &RedisTier {
        &self.tiers.redis
    }

    /// Measures now what the namespaces take in Redis. `scan_time` is how long keys may be
    /// counted: one that is over before all are seen makes the counts an estimate, with
    /// its error in the bound. (What [`SecondTier`](veritas_cache::SecondTier) tells
    /// comes from the last reading of 35 ms of counting.)
    ///
    /// # Errors
    ///
    /// When the server does not answer, or the access control list forbids `SCAN` or `DBSIZE`.
    pub async fn measure_memory(&self, scan_time: Duration) -> Result<TierMemory, TierError> {
        memory::measure(&self.tiers, scan_time).await
    }

    /// [`Self::measure_memory`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::measure_memory`].
    pub fn measure_memory_blocking(&self, scan_time: Duration) -> Result<TierMemory, TierError> {
        block_on(self.measure_memory(scan_time))
    }

    /// Returns how many deletes and invalidations could not be sent and wait to be
    /// made good. A namespace of which more than 10,000 wait counts as one.
    pub fn pending(&self) -> usize {
        self.tiers.pending.len()
    }
}

impl fmt::Debug for TieredCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCaches").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

/// What all tiered namespaces share.
pub(crate) struct Tiers {
    pub(crate) caches: Arc<Caches>,
    pub(crate) redis: RedisTier,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) time: ServerTime,
    pub(crate) pending: Pending,
    pub(crate) spaces: Spaces,
}

impl Tiers {
    /// Returns whether every change of peers in a namespace reaches this process now.
    pub(crate) fn hears_of(&self, space: &Space) -> bool {
        space.is_told && self.redis.is_coherent()
    }

    /// Takes what the server tells. Runs on the thread of the connections, between
    /// an answer and the next, so it does not wait for anything.
    fn hear(self: &Arc<Self>, invalidation: Invalidation<'_>) {
        match invalidation {
            Invalidation::Key(key) => {
                let prefix = &self.redis.options().prefix;
                self.spaces.of(prefix, key).iter().for_each(|space| self.drop_local(space, key));
            }
            Invalidation::All(_) => {
                for space in self.spaces.all() {
                    space.versions.forget();
                    self.caches.flush(&space.name);
                }
                self.chase();
            }
        }
    }

    fn drop_local(&self, space: &Space, key: &[u8]) {
        match space.keys.place(key) {
            Some(Place::Value(canonical)) => {
                if self.caches.invalidate(&space.name, canonical) {
                    space.counters.invalidated();
                }
            }
            Some(Place::HashedValue(hashed)) => {
                self.caches.invalidate_tag(&space.name, &cache::tag_name(key::hashed_tag(hashed)));
            }
            Some(Place::Tag(tag)) => {
                space.versions.forget_tag(tag);
                self.caches.invalidate_tag(&space.name, &cache::tag_name(tag));
            }
            Some(Place::Generation) => {
                space.versions.forget();
                self.caches.flush(&space.name);
            }
            Some(Place::Lease) | None => {}
        }
    }

    /// Has the connections' thread make good what could not be sent, without anybody
    /// asking for it, as long as there is a connection: at once and then ever less
    /// often, up to once a second, should the server go on refusing it.
    pub(crate) fn chase(self: &Arc<Self>) {
        if !self.pending.begin_chase() {
            return;
        }
        let tiers = Arc::downgrade(self);
        drop(self.redis.thread().spawn(async move {
            let mut pause = pending::PAUSE;
            while let Some(tiers) = tiers.upgrade() {
                tiers.settle().await;
                // The next connection begins anew.
                if tiers.pending.len() == 0 || !tiers.redis.is_available() {
                    tiers.pending.end_chase();
                    return;
                }
                drop(tiers);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }));
    }

    /// Makes good what could not be sent, and reads the server's clock when it is time to.
    pub(crate) async fn settle(&self) {
        self.pending.settle(&self.redis, &*self.clock).await;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.time.now_ms(&*self.clock)
    }
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").finish_non_exhaustive()
    }
}
