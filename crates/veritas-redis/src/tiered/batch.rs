//! Batches that load: one call of the loader for all keys that are missing.

use std::{future::Future, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{Claim, HeapSize, KeyPart, Loaded};

use super::{
    cache::{Located, TieredCache},
    lease::Lease,
    load::Brought,
    read::{SEAL, Standing, Wanted},
};

/// A key that is missing, and what this process may do about it.
struct Missing<C> {
    index: usize,
    located: Located,
    /// The right to keep a value in the process; `None` when another load of it is under way here.
    claim: Option<C>,
    lease: Option<Lease>,
    /// What stands in its place in Redis and is dead.
    dead: Option<[u8; SEAL]>,
}

impl<V> TieredCache<V>
where
    V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
{
    /// Looks many keys up in the process, then in Redis, and loads those that are
    /// missing with one call of `loader`. It is handed the missing keys in their
    /// order and brings as many values, `None` where there is nothing.
    ///
    /// Keys that another call of this or another process loads right now are waited
    /// for; should that load fail, `loader` is called once more for each of them.
    /// The results are in the order of the keys.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, for each key that it was to load. What the loader
    /// brings too few values for counts as nothing there.
    pub async fn get_or_load_many<K, E, F>(
        &self,
        keys: &[K],
        mut loader: impl FnMut(Vec<K>) -> F,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart + Clone,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let mut results: Vec<Option<Result<Option<V>, Arc<E>>>> =
            keys.iter().map(|key| self.local.get(key).map(|value| Ok(Some(value)))).collect();
        let tuning = self.tuning();
        let mut elsewhere: Vec<usize> = Vec::new();
        let mut missing = Vec::new();
        for index in (0..keys.len()).filter(|index| results[*index].is_none()) {
            let located = self.locate(&keys[index]);
            match self.local.claim(&located.key) {
                Some(claim) => {
                    missing.push(Missing { index, located, claim: Some(claim), lease: None, dead: None });
                }
                // The same key twice in one batch comes here as well.
                None => elsewhere.push(index),
            }
        }
        if !tuning.bypass {
            missing = self.take_from_redis(missing, &mut results, &mut elsewhere).await;
        }
        if !missing.is_empty() {
            let versions = self.space.versions.resolve(&self.tiers.redis, &self.space.keys, &[]).await.ok();
            let began_at = self.tiers.clock.monotonic();
            let brought = loader(missing.iter().map(|missing| keys[missing.index].clone()).collect()).await;
            let cost = self.tiers.clock.monotonic().since(began_at);
            match brought {
                Err(error) => {
                    let error = Arc::new(error);
                    // The claims end here: a key that stands in the batch twice waits for nobody.
                    for Missing { index, .. } in missing {
                        results[index] = Some(Err(Arc::clone(&error)));
                    }
                }
                Ok(values) => {
                    let each = cost / u32::try_from(missing.len()).unwrap_or(u32::MAX);
                    let mut values = values.into_iter();
                    let mut claims = Vec::with_capacity(missing.len());
                    let mut brought = Vec::with_capacity(missing.len());
                    for Missing { index, located, claim, lease, .. } in missing {
                        let value = values.next().flatten();
                        results[index] = Some(Ok(value.clone()));
                        claims.push(claim);
                        brought.push(Brought { lease, located, value });
                    }
                    let kept = if tuning.bypass {
                        brought.into_iter().map(|one| Self::not_kept(one.value)).collect()
                    } else {
                        self.keep_many(&tuning, versions.as_ref(), &[], brought, each).await
                    };
                    for (claim, kept) in claims.into_iter().zip(kept) {
                        if let Some(claim) = claim {
                            claim.publish(kept);
                        }
                    }
                }
            }
        }
        for index in elsewhere {
            let key = &keys[index];
            let one = || {
                let loading = loader(vec![key.clone()]);
                async { loading.await.map(|values| values.into_iter().next().flatten()) }
            };
            results[index] = Some(self.get_or_load_optional(key, one).await);
        }
        results.into_iter().map(|result| result.unwrap_or(Ok(None))).collect()
    }

    /// Takes what Redis has, and the leases of what it has not. Returns what is to be
    /// loaded here; keys whose lease another process holds go to `elsewhere`.
    async fn take_from_redis<'c, E>(
        &self,
        missing: Vec<Missing<Claim<'c, V>>>,
        results: &mut [Option<Result<Option<V>, Arc<E>>>],
        elsewhere: &mut Vec<usize>,
    ) -> Vec<Missing<Claim<'c, V>>> {
        let standings = {
            let wanted: Vec<Wanted<'_>> = missing.iter().map(|missing| missing.located.wanted()).collect();
            self.tiers.read_many::<V>(&self.space, &wanted).await
        };
        let mut left = Vec::new();
        let mut to_lease = Vec::new();
        for (mut missing, standing) in missing.into_iter().zip(standings) {
            match standing {
                Ok(Standing::Found(found)) if !found.fresh.is_zero() => {
                    self.space.counters.hit(found.length);
                    let loaded: Loaded<V> =
                        found.into_loaded(&self.tiers, &self.space, missing.located.canonical());
                    results[missing.index] = Some(Ok(loaded.value.clone()));
                    if let Some(claim) = missing.claim.take() {
                        claim.publish(loaded);
                    }
                }
                // Stale, or loaded elsewhere: the form for one key knows what to do, and counts it.
                Ok(Standing::Found(_) | Standing::Loading(_)) => elsewhere.push(missing.index),
                Ok(Standing::Nothing) => to_lease.push(missing),
                Ok(Standing::Dead(seal)) => {
                    missing.dead = Some(seal);
                    to_lease.push(missing);
                }
                Err(_) => {
                    self.space.counters.miss();
                    left.push(missing);
                }
            }
        }
        let leases = {
            let wanted: Vec<_> =
                to_lease.iter().map(|missing| (missing.located.wanted(), missing.dead)).collect();
            self.tiers.lease_many(&self.space, &wanted).await
        };
        for (mut missing, lease) in to_lease.into_iter().zip(leases) {
            match lease {
                Ok(Some(lease)) => {
                    self.space.counters.miss();
                    missing.lease = Some(lease);
                    left.push(missing);
                }
                Ok(None) => elsewhere.push(missing.index),
                Err(error) => {
                    self.space.counters.miss();
                    self.space.counters.failed(error);
                    left.push(missing);
                }
            }
        }
        left.sort_by_key(|missing| missing.index);
        left
    }
}
