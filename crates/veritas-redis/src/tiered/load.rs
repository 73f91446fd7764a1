//! Loads: one for all callers of all processes.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{CacheKey, HeapSize, KeyPart, Loaded, Tuning};

use super::{
    cache::{Located, TieredCache},
    claim::Claim,
    lease::Lease,
    read::local_tags,
    space::jittered,
    store::Draft,
    versions::Versions,
};

impl<V> TieredCache<V>
where
    V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
{
    /// Looks a key up in the process, then in Redis, and loads it when it is
    /// missing: however many callers of however many processes miss it together, one
    /// of them runs its loader and the others get its value.
    ///
    /// Within the process it behaves as [`veritas_cache::Cache::get_or_load_async`].
    /// Others wait for another process as long as its lease is renewed and their
    /// patience lasts ([`LeaseOptions`](super::LeaseOptions)), then they load for
    /// themselves. When the loader of another process fails, that process gets the
    /// error, and one of the waiting ones loads. Without Redis each process loads once.
    ///
    /// A stale value, or one that is due to be refreshed early, is refreshed by one
    /// caller of one process while all others go on to get it.
    ///
    /// # Errors
    ///
    /// The loader's error, shared. Redis is never a reason.
    pub async fn get_or_load<K, E, F>(&self, key: &K, loader: impl FnOnce() -> F) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>>,
    {
        self.get_or_load_tagged(key, &[], loader).await
    }

    /// Looks a key up and loads it as [`Self::get_or_load`] does; a loaded value dies
    /// with any of its tags.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub async fn get_or_load_tagged<K, E, F>(
        &self,
        key: &K,
        tags: &[&str],
        loader: impl FnOnce() -> F,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>>,
    {
        let tags = Self::tag_hashes(tags);
        let mut loader = Some(loader);
        let fetched = {
            let own = &mut loader;
            let loading = || async move {
                match own.take() {
                    Some(loader) => loader().await.map(Some),
                    None => Ok(None),
                }
            };
            self.local.fetch_async(key, || self.load(self.locate(key), &tags, true, loading)).await?
        };
        match (fetched, loader) {
            (Some(value), _) => Ok(value),
            // Another form of load found, or remembered, that there is nothing. Not so for this one.
            (None, Some(loader)) => {
                let value = loader().await.map_err(Arc::new)?;
                // Should Redis refuse it, the next caller loads again.
                self.set(key, value.clone()).await.ok();
                Ok(value)
            }
            (None, None) => unreachable!("a plain loader brings a value"),
        }
    }

    /// Looks a key up and loads it as [`Self::get_or_load`] does, with a loader that
    /// may find nothing; that is remembered, in both tiers, for the namespace's
    /// `negative_ttl`.
    ///
    /// # Errors
    ///
    /// The loader's error, shared.
    pub async fn get_or_load_optional<K, E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<V>, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>>,
    {
        self.local.fetch_async(key, || self.load(self.locate(key), &[], false, loader)).await
    }

    /// Looks a key up and loads it as [`Self::get_or_load`] does, with a loader that may
    /// run in the background: what is stale or due early is handed out at once, to all
    /// callers, while one process renews it (see
    /// [`Cache::get_or_refresh_async`](veritas_cache::Cache::get_or_refresh_async)).
    /// Costs two allocations, also when it hits.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, when there was nothing to hand out.
    pub async fn get_or_refresh<K, E, F>(
        &self,
        key: &K,
        loader: impl FnOnce() -> F + Send + 'static,
    ) -> Result<V, Arc<E>>
    where
        K: KeyPart + ?Sized,
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (cache, owned) = (self.clone(), CacheKey::of(key));
        let loader = Arc::new(Mutex::new(Some(loader)));
        let own = Arc::clone(&loader);
        let fetching = self.local.fetch_or_refresh_async(key, move || async move {
            let loading = move || async move {
                let loader = taken(&own);
                match loader {
                    Some(loader) => loader().await.map(Some),
                    None => Ok(None),
                }
            };
            cache.load(cache.locate(&owned), &[], true, loading).await
        });
        if let Some(value) = fetching.await? {
            return Ok(value);
        }
        // Another form of load found, or remembered, that there is nothing. Not so for this one.
        let Some(loader) = taken(&loader) else { unreachable!("a plain loader brings a value") };
        let value = loader().await.map_err(Arc::new)?;
        self.set(key, value.clone()).await.ok();
        Ok(value)
    }

    /// Brings what the process does not have: from Redis or from the source.
    pub(super) async fn load<E, F>(
        &self,
        located: Located,
        tags: &[u64],
        needed: bool,
        loader: impl FnOnce() -> F,
    ) -> Result<Loaded<V>, E>
    where
        F: Future<Output = Result<Option<V>, E>>,
    {
        let tuning = self.tuning();
        if tuning.bypass {
            return loader().await.map(Self::not_kept);
        }
        let refreshing = self.local.holds(&located.key);
        let patience = self.patience();
        match self.tiers.claim(&self.space, located.wanted(), refreshing, needed, patience).await {
            Claim::Served(found) => Ok(found.into_loaded(&self.tiers, located.canonical())),
            Claim::Lead(lease) => self.load_with(&tuning, Some(lease), &located, tags, loader).await,
            Claim::Alone => self.load_with(&tuning, None, &located, tags, loader).await,
        }
    }

    /// Returns how long to wait for another process.
    fn patience(&self) -> Duration {
        let mean = self.local.mean_load_time().unwrap_or_default();
        self.space.options.lease.patience.max(mean.saturating_mul(2))
    }

    /// Runs the loader and stores what it brings, if the lease is still ours then.
    pub(super) async fn load_with<E, F>(
        &self,
        tuning: &Tuning,
        lease: Option<Lease>,
        located: &Located,
        tags: &[u64],
        loader: impl FnOnce() -> F,
    ) -> Result<Loaded<V>, E>
    where
        F: Future<Output = Result<Option<V>, E>>,
    {
        let tiers = &self.tiers;
        // Before the load: what is invalidated from here on is stored dead.
        let versions = match &lease {
            Some(_) => self.space.versions.resolve(&tiers.redis, &self.space.keys, tags).await.ok(),
            None => None,
        };
        let began_at = tiers.clock.monotonic();
        let value = loader().await?;
        let cost = tiers.clock.monotonic().since(began_at);
        Ok(self.keep(tuning, lease, versions, located, tags, value, cost).await)
    }

    /// Stores a loaded value in Redis, and says how the process is to keep it.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one load, used in two places")]
    pub(super) async fn keep(
        &self,
        tuning: &Tuning,
        lease: Option<Lease>,
        versions: Option<Versions>,
        located: &Located,
        tags: &[u64],
        value: Option<V>,
        cost: Duration,
    ) -> Loaded<V> {
        let ttl = match value {
            Some(_) => tuning.ttl,
            None => tuning.negative_ttl.unwrap_or_default(),
        };
        let ttl = jittered(ttl, tuning.jitter, located.canonical());
        let stale = if value.is_some() { tuning.stale } else { Duration::ZERO };
        let stored = match (lease, &versions) {
            (Some(lease), Some(versions)) => {
                let draft = Draft {
                    canonical: located.canonical(),
                    value: value.as_ref(),
                    ttl,
                    stale,
                    cost,
                    tags,
                    versions,
                };
                self.store_loaded(lease, &draft).await
            }
            _ => Stored::Nowhere,
        };
        let mut loaded = Loaded::from(value);
        loaded.cost = Some(cost);
        loaded.tags = local_tags(tags, located.canonical());
        loaded.ttl = Some(ttl);
        loaded.stale = Some(stale);
        match stored {
            Stored::InRedis if self.tiers.redis.is_coherent() => {}
            // Someone changed the key while we loaded: what we have may be outdated.
            Stored::Overruled => loaded.store = false,
            Stored::InRedis | Stored::Nowhere => {
                loaded.ttl = Some(ttl.min(self.tiers.redis.options().untracked_ttl));
                loaded.stale = Some(Duration::ZERO);
            }
        }
        loaded
    }

    async fn store_loaded(&self, lease: Lease, draft: &Draft<'_, V>) -> Stored {
        let Ok((frame, life)) = self.tiers.frame(&self.space, draft) else {
            return Stored::Nowhere; // and the lease is given back
        };
        match lease.replace(&frame, life).await {
            Ok(true) => {
                self.space.counters.set(frame.len());
                Stored::InRedis
            }
            Ok(false) => Stored::Overruled,
            Err(error) => {
                self.space.counters.failed(error);
                Stored::Nowhere
            }
        }
    }
}

fn taken<L>(loader: &Mutex<Option<L>>) -> Option<L> {
    loader.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Where a loaded value came to stand.
enum Stored {
    InRedis,
    /// Not in Redis: the key was changed, or leased by another, while it was loaded.
    Overruled,
    /// Not in Redis, for any other reason.
    Nowhere,
}
