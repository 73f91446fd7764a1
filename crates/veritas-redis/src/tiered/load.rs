//! Loads: one for all callers of all processes.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use veritas_cache::{CacheKey, HeapSize, KeyPart, Loaded, Tuning};

use super::{
    cache::{Located, TieredCache},
    claim::Claim,
    lease::{self, Lease},
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
        let (mut loader, mut failed) = (Some(loader), None);
        let fetched = {
            let (own, failed) = (&mut loader, &mut failed);
            let loading = || async move {
                let Some(loader) = own.take() else { return Ok(None) };
                loader().await.map(Some).map_err(|error| Arc::clone(failed.insert(Arc::new(error))))
            };
            shared(self.local.fetch_async(key, || self.load(self.locate(key), &tags, true, loading)).await)?
        };
        match (fetched, loader, failed) {
            (Some(value), ..) => Ok(value),
            // Another form of load found, or remembered, that there is nothing. Not so for this one.
            (None, Some(loader), _) => {
                let value = loader().await.map_err(Arc::new)?;
                // Should Redis refuse it, the next caller loads again.
                self.set(key, value.clone()).await.ok();
                Ok(value)
            }
            // What it was to renew was such a memory.
            (None, None, Some(error)) => Err(error),
            (None, None, None) => unreachable!("a plain loader brings a value or an error"),
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
        let loader = || async { loader().await.map_err(Arc::new) };
        shared(self.local.fetch_async(key, || self.load(self.locate(key), &[], false, loader)).await)
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
        let loader = Arc::new(Mutex::new(Lent::Waiting(loader)));
        let own = Arc::clone(&loader);
        let fetching = self.local.fetch_or_refresh_async(key, move || async move {
            // The caller had to load for itself: there is nothing to be renewed any more.
            let Some(loader) = take(&own) else { return Ok(Self::not_kept(None)) };
            let loading = move || async move { loader().await.map(Some).map_err(Arc::new) };
            let running = Running(&own);
            let result = cache.load(cache.locate(&owned), &[], true, loading).await;
            running.end(result.as_ref().map(|loaded| loaded.value.clone()).map_err(Arc::clone));
            result
        });
        if let Some(value) = shared(fetching.await)? {
            return Ok(value);
        }
        // Another form of load found, or remembered, that there is nothing. Not so for this one.
        if let Some(loader) = take(&loader) {
            let value = loader().await.map_err(Arc::new)?;
            self.set(key, value.clone()).await.ok();
            return Ok(value);
        }
        // The background was faster and renews that memory with our loader.
        match came_back(&loader).await {
            Some(Ok(Some(value))) => Ok(value),
            Some(Err(error)) => Err(error),
            Some(Ok(None)) | None => unreachable!("a plain loader that runs brings a value or an error"),
        }
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
            Claim::Served(found) => Ok(found.into_loaded(&self.tiers, &self.space, located.canonical())),
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
        let brought = vec![Brought { lease, located: located.clone(), value }];
        let kept = self.keep_many(tuning, versions.as_ref(), tags, brought, cost).await.pop();
        Ok(kept.unwrap_or_else(|| Self::not_kept(None)))
    }

    /// Stores loaded values in Redis, in one go, and says how the process is to keep
    /// them, in their order. Each took `cost` to load.
    pub(super) async fn keep_many(
        &self,
        tuning: &Tuning,
        versions: Option<&Versions>,
        tags: &[u64],
        brought: Vec<Brought<V>>,
        cost: Duration,
    ) -> Vec<Loaded<V>> {
        let life_of = |one: &Brought<V>| {
            let (ttl, stale) = match one.value {
                Some(_) => (tuning.ttl, tuning.stale),
                None => (tuning.negative_ttl.unwrap_or_default(), Duration::ZERO),
            };
            (jittered(ttl, tuning.jitter, one.located.canonical()), stale)
        };
        let mut stored: Vec<Stored> = Vec::with_capacity(brought.len());
        let mut kept: Vec<(Located, Option<V>, Duration, Duration)> = Vec::with_capacity(brought.len());
        let mut writes: Vec<(Lease, Vec<u8>, Duration)> = Vec::new();
        let mut places = Vec::new();
        for mut one in brought {
            let (ttl, stale) = life_of(&one);
            if let (Some(lease), Some(versions)) = (one.lease.take(), versions) {
                let draft = Draft {
                    canonical: one.located.canonical(),
                    value: one.value.as_ref(),
                    ttl,
                    stale,
                    cost,
                    tags,
                    versions,
                };
                // Without a frame the lease is given back.
                if let Ok((frame, life)) = self.tiers.frame(&self.space, &draft) {
                    places.push(stored.len());
                    writes.push((lease, frame, life));
                }
            }
            stored.push(Stored::Nowhere);
            kept.push((one.located, one.value, ttl, stale));
        }
        for (place, outcome) in places.into_iter().zip(self.store_loaded(writes).await) {
            stored[place] = outcome;
        }
        let coherent = self.tiers.hears_of(&self.space);
        let untracked = self.tiers.redis.options().untracked_ttl;
        let keep = kept.into_iter().zip(stored).map(|((located, value, ttl, stale), stored)| {
            let mut loaded = Loaded::from(value);
            loaded.cost = Some(cost);
            loaded.tags = local_tags(tags, located.canonical());
            loaded.ttl = Some(ttl);
            loaded.stale = Some(stale);
            match stored {
                Stored::InRedis if coherent => {}
                // Someone changed the key while we loaded: what we have may be outdated.
                Stored::Overruled => loaded.store = false,
                Stored::InRedis | Stored::Nowhere => {
                    loaded.ttl = Some(ttl.min(untracked));
                    loaded.stale = Some(Duration::ZERO);
                }
            }
            loaded
        });
        keep.collect()
    }

    async fn store_loaded(&self, writes: Vec<(Lease, Vec<u8>, Duration)>) -> Vec<Stored> {
        let lengths: Vec<usize> = writes.iter().map(|(_, frame, _)| frame.len()).collect();
        let answers = lease::replace_many(&self.tiers.redis, writes).await;
        let outcomes = answers.into_iter().zip(lengths).map(|(answer, length)| match answer {
            Ok(true) => {
                self.space.counters.set(length);
                Stored::InRedis
            }
            Ok(false) => Stored::Overruled,
            Err(error) => {
                self.space.counters.failed(error);
                Stored::Nowhere
            }
        });
        outcomes.collect()
    }
}

/// A loaded value, and the right to store it in Redis.
pub(super) struct Brought<V> {
    pub(super) lease: Option<Lease>,
    pub(super) located: Located,
    pub(super) value: Option<V>,
}

/// Takes an error out of its second wrapping. All forms of load share errors as `Arc<E>`,
/// so that one may keep its own and those who waited get it all the same.
#[expect(clippy::redundant_allocation, reason = "made twice for a load that failed, and nowhere else")]
pub(super) fn shared<T, E>(result: Result<T, Arc<Arc<E>>>) -> Result<T, Arc<E>> {
    result.map_err(|error| Arc::clone(&*error))
}

/// A loader that its caller and the background share: who comes first runs it.
enum Lent<L, V, E> {
    Waiting(L),
    /// It runs, and its caller may wait for what it brings.
    Taken(Option<oneshot::Sender<Outcome<V, E>>>),
    Back(Outcome<V, E>),
    /// It was dropped while it ran, or its outcome was fetched.
    Gone,
}

type Outcome<V, E> = Result<Option<V>, Arc<E>>;

fn take<L, V, E>(lent: &Mutex<Lent<L, V, E>>) -> Option<L> {
    let mut lent = lent.lock().unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *lent, Lent::Taken(None)) {
        Lent::Waiting(loader) => Some(loader),
        other => {
            *lent = other;
            None
        }
    }
}

/// A loader that runs. Dropped with it, nobody waits for ever.
struct Running<'a, L, V, E>(&'a Mutex<Lent<L, V, E>>);

impl<L, V, E> Running<'_, L, V, E> {
    fn end(self, outcome: Outcome<V, E>) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *lent, Lent::Gone) {
            // Whoever gave up meanwhile needs no outcome.
            Lent::Taken(Some(waiting)) => drop(waiting.send(outcome)),
            _ => *lent = Lent::Back(outcome),
        }
    }
}

impl<L, V, E> Drop for Running<'_, L, V, E> {
    fn drop(&mut self) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*lent, Lent::Taken(_)) {
            *lent = Lent::Gone;
        }
    }
}

/// Waits for what a loader brings that was taken; `None` when it never will.
async fn came_back<L, V, E>(lent: &Mutex<Lent<L, V, E>>) -> Option<Outcome<V, E>> {
    let receiver = {
        let mut lent = lent.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, receiver) = oneshot::channel();
        match std::mem::replace(&mut *lent, Lent::Taken(Some(sender))) {
            Lent::Back(outcome) => return Some(outcome),
            Lent::Gone => return None,
            Lent::Waiting(_) | Lent::Taken(_) => receiver,
        }
    };
    receiver.await.ok()
}

/// Where a loaded value came to stand.
enum Stored {
    InRedis,
    /// Not in Redis: the key was changed, or leased by another, while it was loaded.
    Overruled,
    /// Not in Redis, for any other reason.
    Nowhere,
}
