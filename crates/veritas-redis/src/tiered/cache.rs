//! One namespace in two tiers, for values of one type.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use veritas_cache::{Cache, CacheKey, HeapSize, KeyPart, Loaded, Tuning};

use super::{
    Tiers,
    read::{Standing, Wanted, count},
    space::Space,
};
use crate::{TierError, frame::tag_hash};

/// One namespace in two tiers, for values of one type. Clones are the same namespace.
///
/// Its futures need no runtime; the forms that end in `_blocking` are for callers
/// outside of futures. A hit in the process is that of [`Cache::get`]: nothing is
/// awaited, encoded or sent.
pub struct TieredCache<V> {
    pub(super) tiers: Arc<Tiers>,
    pub(super) space: Arc<Space>,
    pub(super) local: Cache<V>,
}

/// A key, and where it stands in Redis.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) key: CacheKey,
    pub(super) place: Vec<u8>,
}

impl Located {
    pub(super) fn canonical(&self) -> &[u8] {
        self.key.as_bytes()
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { canonical: self.key.as_bytes(), key: &self.place }
    }
}

/// Returns the name of a tag in the process.
pub(super) fn tag_name(tag: u64) -> String {
    format!("{tag:016x}")
}

impl<V> TieredCache<V>
where
    V: Serialize + DeserializeOwned + HeapSize + Clone + Send + Sync + 'static,
{
    pub(super) fn new(tiers: Arc<Tiers>, space: Arc<Space>, local: Cache<V>) -> Self {
        Self { tiers, space, local }
    }

    /// Returns the name under which it is counted.
    pub fn name(&self) -> &str {
        &self.space.name
    }

    /// Returns the namespace in the process. What is changed there is not changed in
    /// Redis, nor told to peers.
    pub fn local(&self) -> &Cache<V> {
        &self.local
    }

    /// Looks a key up in the process, then in Redis. Any trouble there is a miss, and
    /// so is a value whose time is over, also one that a load would still hand out.
    pub async fn get<K: KeyPart + ?Sized>(&self, key: &K) -> Option<V> {
        if let Some(value) = self.local.get(key) {
            return Some(value);
        }
        if self.is_bypassed() {
            return None;
        }
        let located = self.locate(key);
        // Before Redis is asked: what is invalidated from here on is not kept.
        let claim = self.local.claim(&located.key);
        let standing = self.tiers.read(&self.space, located.wanted()).await.map(Standing::fresh);
        count(&self.space, &standing);
        let Ok(Standing::Found(found)) = standing else { return None };
        let loaded = found.into_loaded(&self.tiers, &self.space, located.canonical());
        let value = loaded.value.clone();
        if let Some(claim) = claim {
            claim.publish(loaded);
        }
        value
    }

    /// Looks many keys up: those that the process does not have in as few round
    /// trips as they fit in. The answers are in the order of the keys; where Redis
    /// did not answer for a key, its error stands in the place of a miss.
    pub async fn get_many<K: KeyPart>(&self, keys: &[K]) -> Vec<Result<Option<V>, TierError>> {
        let mut answers: Vec<Result<Option<V>, TierError>> =
            keys.iter().map(|key| Ok(self.local.get(key))).collect();
        if self.is_bypassed() {
            return answers;
        }
        let missing: Vec<usize> =
            (0..keys.len()).filter(|index| matches!(answers[*index], Ok(None))).collect();
        let located: Vec<Located> = missing.iter().map(|index| self.locate(&keys[*index])).collect();
        let claims: Vec<_> = located.iter().map(|located| self.local.claim(&located.key)).collect();
        let wanted: Vec<Wanted<'_>> = located.iter().map(Located::wanted).collect();
        let standings = self.tiers.read_many(&self.space, &wanted).await;
        for (((index, located), claim), standing) in missing.iter().zip(&located).zip(claims).zip(standings) {
            let standing = standing.map(Standing::fresh);
            count(&self.space, &standing);
            answers[*index] = match standing {
                Ok(Standing::Found(found)) => {
                    let loaded = found.into_loaded(&self.tiers, &self.space, located.canonical());
                    let value = loaded.value.clone();
                    if let Some(claim) = claim {
                        claim.publish(loaded);
                    }
                    Ok(value)
                }
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
        }
        answers
    }

    pub(super) fn locate<K: KeyPart + ?Sized>(&self, key: &K) -> Located {
        let key = CacheKey::of(key);
        let place = self.space.keys.value(key.as_bytes());
        Located { key, place }
    }

    /// Returns the options in force: the application's, with what was tuned since.
    pub(super) fn tuning(&self) -> Tuning {
        self.local.tuning()
    }

    pub(super) fn is_bypassed(&self) -> bool {
        self.tuning().bypass
    }

    pub(super) fn tag_hashes(tags: &[&str]) -> Vec<u64> {
        tags.iter().map(|tag| tag_hash(tag)).collect()
    }

    /// Returns what a bypassed namespace makes of a loaded value: it is handed on.
    pub(super) fn not_kept(value: Option<V>) -> Loaded<V> {
        let mut loaded = Loaded::from(value);
        loaded.store = false;
        loaded
    }
}

impl<V> Clone for TieredCache<V> {
    fn clone(&self) -> Self {
        Self { tiers: Arc::clone(&self.tiers), space: Arc::clone(&self.space), local: self.local.clone() }
    }
}

impl<V> fmt::Debug for TieredCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache").field("name", &self.space.name).finish_non_exhaustive()
    }
}
