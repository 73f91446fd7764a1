//! Writes: sets, deletes and invalidations, in both tiers and for all processes.
//!
//! The order is always the same. First the process forgets: what is being read or
//! loaded right now is kept nowhere. Then Redis is told. Then the process forgets
//! once more, what was read between, or keeps the new value, unless a peer's change
//! was heard of meanwhile.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{HeapSize, KeyPart, Loaded};

use super::{
    cache::{Located, TieredCache, tag_name},
    pending::Outdated,
    read::local_tags,
    space::{Space, jittered},
    store::{Draft, StoreError},
};
use crate::TierError;

impl<V> TieredCache<V>
where
    V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
{
    /// Stores a value for the namespace's time, in Redis and in the process; peers
    /// drop what they have. After it returned, this process reads the new value.
    ///
    /// # Errors
    ///
    /// When Redis did not take the value. It then serves in this process for
    /// `untracked_ttl` at most, and what stood in Redis before is removed, as soon
    /// as that is possible.
    pub async fn set<K: KeyPart + ?Sized>(&self, key: &K, value: V) -> Result<(), StoreError> {
        let located = self.locate(key);
        let ttl = self.usual_ttl(located.canonical());
        self.put(vec![(located, value, ttl)], &[]).await.pop().unwrap_or(Err(StoreError::NoTime))
    }

    /// Stores a value as [`Self::set`] does, to die `ttl` from now.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub async fn set_with_ttl<K: KeyPart + ?Sized>(
        &self,
        key: &K,
        value: V,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.put(vec![(self.locate(key), value, ttl)], &[]).await.pop().unwrap_or(Err(StoreError::NoTime))
    }

    /// Stores a value as [`Self::set`] does; it dies with any of its tags.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub async fn set_tagged<K: KeyPart + ?Sized>(
        &self,
        key: &K,
        value: V,
        tags: &[&str],
    ) -> Result<(), StoreError> {
        let located = self.locate(key);
        let ttl = self.usual_ttl(located.canonical());
        self.put(vec![(located, value, ttl)], &Self::tag_hashes(tags))
            .await
            .pop()
            .unwrap_or(Err(StoreError::NoTime))
    }

    /// Stores many values in as few round trips as they fit in; each has its own
    /// outcome, in their order.
    pub async fn set_many<K: KeyPart>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Result<(), StoreError>> {
        let entries = entries.into_iter().map(|(key, value)| {
            let located = self.locate(&key);
            let ttl = self.usual_ttl(located.canonical());
            (located, value, ttl)
        });
        self.put(entries.collect(), &[]).await
    }

    /// Removes a key from Redis and from every process; returns whether Redis had a
    /// value. When it returns, no look-up that begins here later finds the old
    /// value; with peers it is gone as soon as Redis has told them.
    ///
    /// # Errors
    ///
    /// When Redis could not be told. The key is gone from this process, and is
    /// removed as soon as Redis can be reached, before this process believes
    /// anything that it reads there under it.
    pub async fn delete<K: KeyPart + ?Sized>(&self, key: &K) -> Result<bool, TierError> {
        self.remove(&[self.locate(key)]).await.pop().unwrap_or(Err(TierError::Unexpected))
    }

    /// Removes many keys as [`Self::delete`] does; each has its own outcome, in their order.
    pub async fn delete_many<K: KeyPart>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        let located: Vec<Located> = keys.iter().map(|key| self.locate(key)).collect();
        self.remove(&located).await
    }

    /// Removes keys from all their places.
    async fn remove(&self, located: &[Located]) -> Vec<Result<bool, TierError>> {
        for located in located {
            self.local.delete(&located.key);
        }
        let places: Vec<Vec<u8>> = located.iter().map(|located| located.place.clone()).collect();
        let mut answers = self.tiers.remove_many(&self.space, &places).await;
        for space in self.tiers.spaces.elsewhere(&self.space) {
            let places: Vec<Vec<u8>> =
                located.iter().map(|located| space.keys.value(located.canonical())).collect();
            let others = self.tiers.remove_many(&space, &places).await;
            for (answer, other) in answers.iter_mut().zip(others) {
                *answer = answer.and_then(|was_there| other.map(|is_other| was_there || is_other));
            }
        }
        for located in located {
            self.forget(located);
        }
        answers
    }

    /// Kills every entry that bears a tag, in Redis and in every process. Cost: one
    /// write, however many entries there are.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), TierError> {
        let tag = Self::tag_hashes(&[tag]).pop().unwrap_or_default();
        let name = tag_name(tag);
        self.tiers.caches.invalidate_tag(&self.space.name, &name);
        let answer = self.renew(Some(tag)).await;
        self.tiers.caches.invalidate_tag(&self.space.name, &name);
        answer
    }

    /// Kills every entry of the namespace, in Redis and in every process. Cost: one
    /// write, however many entries there are; Redis gives the memory back as they
    /// are overwritten or their time ends.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub async fn clear(&self) -> Result<(), TierError> {
        self.tiers.caches.flush(&self.space.name);
        let answer = self.renew(None).await;
        self.tiers.caches.flush(&self.space.name);
        answer
    }

    async fn renew(&self, tag: Option<u64>) -> Result<(), TierError> {
        let answer = self.renew_in(&self.space, tag).await;
        let elsewhere = self.tiers.spaces.elsewhere(&self.space);
        // Other schemas share the versions.
        match elsewhere.iter().find(|space| space.keys.base() != self.space.keys.base()) {
            Some(space) => self.renew_in(space, tag).await.and(answer),
            None => answer,
        }
    }

    async fn renew_in(&self, space: &Arc<Space>, tag: Option<u64>) -> Result<(), TierError> {
        let answer = space.versions.renew(&self.tiers.redis, &space.keys, tag).await;
        if let Err(error) = answer {
            space.counters.failed(error);
            let outdated = tag.map_or(Outdated::Everything, Outdated::Tag);
            self.tiers.pending.note(space, outdated);
            self.tiers.chase();
        }
        answer
    }

    /// Drops what the process holds of a key, and detaches what is being read.
    fn forget(&self, located: &Located) {
        self.tiers.caches.invalidate(&self.space.name, located.canonical());
    }

    pub(super) fn usual_ttl(&self, canonical: &[u8]) -> Duration {
        let tuning = self.tuning();
        jittered(tuning.ttl, tuning.jitter, canonical)
    }

    /// Stores values, each for its own time.
    async fn put(&self, entries: Vec<(Located, V, Duration)>, tags: &[u64]) -> Vec<Result<(), StoreError>> {
        let tuning = self.tuning();
        let tiers = &self.tiers;
        // From here on the old values are gone from the process, and who misses them waits for us.
        let claims: Vec<_> = entries.iter().map(|(located, ..)| self.local.overwrite(&located.key)).collect();
        tiers.settle().await;
        tiers.time.refresh(&tiers.redis, &*tiers.clock).await;
        let versions = self.space.versions.resolve(&tiers.redis, &self.space.keys, tags).await;
        let mut outcomes: Vec<Result<(), StoreError>> = Vec::with_capacity(entries.len());
        let mut frames = Vec::with_capacity(entries.len());
        let mut refused = Vec::new();
        for (located, value, ttl) in &entries {
            let frame = match &versions {
                _ if tuning.bypass => Err(StoreError::NoTime),
                Err(error) => Err(StoreError::Tier(*error)),
                Ok(versions) => {
                    let draft = Draft {
                        canonical: located.canonical(),
                        value: Some(value),
                        ttl: *ttl,
                        stale: tuning.stale,
                        cost: Duration::ZERO,
                        tags,
                        versions,
                    };
                    tiers.frame(&self.space, &draft)
                }
            };
            match frame {
                Ok((frame, life)) => {
                    frames.push((located.place.clone(), frame, life));
                    outcomes.push(Ok(()));
                }
                Err(error) => {
                    refused.push(located.place.clone());
                    outcomes.push(Err(error));
                }
            }
        }
        if !refused.is_empty() {
            // What stood there before is outdated all the same.
            drop(tiers.remove_many(&self.space, &refused).await);
        }
        let mut answers = tiers.write_many(&self.space, &frames).await.into_iter();
        let elsewhere = tiers.spaces.elsewhere(&self.space);
        for space in &elsewhere {
            let outdated: Vec<Vec<u8>> =
                entries.iter().map(|(located, ..)| space.keys.value(located.canonical())).collect();
            // What cannot be removed now is noted, and not believed until it is.
            drop(tiers.remove_many(space, &outdated).await);
        }
        let coherent = tiers.hears_of(&self.space);
        let untracked = tiers.redis.options().untracked_ttl;
        for ((outcome, claim), (located, value, ttl)) in outcomes.iter_mut().zip(claims).zip(entries) {
            if outcome.is_ok() {
                *outcome = answers.next().unwrap_or(Err(TierError::Unexpected)).map_err(StoreError::Tier);
            }
            let mut loaded = Loaded::of(value);
            loaded.tags = local_tags(tags, located.canonical());
            let kept = outcome.is_ok() && coherent;
            loaded.ttl = Some(if kept { ttl } else { ttl.min(untracked) });
            loaded.stale = (!kept).then_some(Duration::ZERO);
            loaded.from_tier = true;
            claim.publish(loaded);
            if !elsewhere.is_empty() {
                // The process may hold it as another type too, of another schema. Ours is read again.
                self.forget(&located);
            }
        }
        outcomes
    }
}
