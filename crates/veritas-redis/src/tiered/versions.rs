//! Versions: how a namespace and its tags stand, so that many entries die at once.
//!
//! A namespace and each of its tags have a version in Redis, a random number. A
//! frame tells the versions that were in force when its load began; it is dead when
//! any of them is another now. Clearing a namespace or invalidating a tag is one
//! write of a new version, however many entries that kills.
//!
//! Random, not counted: a version that is evicted, or lost with its server, comes
//! back as a number that no frame has, so nothing dead comes to life again.
//!
//! What was read is kept as long as the server tells us of changes, and only if no
//! such news came while it was being read.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Value;

use crate::{RedisTier, TierError, key::KeySpace};

/// How many tags' versions are kept in the process; beyond that all are read again.
const MOST_KEPT: usize = 4_096;

/// How long a tag's version lives after it was written. An entry dies with it at the
/// latest; without an end, tags that nobody uses any more would stay for ever.
const TAG_LIFE: Duration = Duration::from_hours(7 * 24);

/// The versions of a namespace and of some of its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) generation: u64,
    /// In the order of the tags that were asked for.
    pub(crate) tags: Vec<u64>,
}

/// What of the versions is known in this process.
#[derive(Debug)]
pub(crate) struct KnownVersions {
    known: Mutex<Known>,
    /// Whether peers' changes of them are heard of here; else nothing is kept.
    is_told: bool,
}

impl Default for KnownVersions {
    fn default() -> Self {
        Self { known: Mutex::default(), is_told: true }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// Raised by every news: what was asked for before is not kept.
    epoch: u64,
    generation: Option<u64>,
    tags: HashMap<u64, u64>,
}

impl KnownVersions {
    /// Of a namespace whose changes are not heard of.
    pub(crate) fn untold() -> Self {
        Self { known: Mutex::default(), is_told: false }
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the version of a tag: a peer changed it.
    pub(crate) fn forget_tag(&self, tag: u64) {
        let mut known = self.locked();
        known.epoch += 1;
        known.tags.remove(&tag);
    }

    /// Forgets all versions.
    pub(crate) fn forget(&self) {
        let mut known = self.locked();
        known.epoch += 1;
        known.generation = None;
        known.tags = HashMap::new();
    }

    /// Returns the version of the namespace, if it is known.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.locked().generation
    }

    /// Returns the versions of the namespace and of `tags`; reads those that are not
    /// known, and makes those that do not exist. Cost when all are known: one lock.
    pub(crate) async fn resolve(
        &self,
        redis: &RedisTier,
        keys: &KeySpace,
        tags: &[u64],
    ) -> Result<Versions, TierError> {
        let (epoch, generation, known): (u64, Option<u64>, Vec<Option<u64>>) = {
            let known = self.locked();
            (known.epoch, known.generation, tags.iter().map(|tag| known.tags.get(tag).copied()).collect())
        };
        if let (Some(generation), true) = (generation, known.iter().all(Option::is_some)) {
            return Ok(Versions { generation, tags: known.into_iter().flatten().collect() });
        }
        let mut missing = Vec::new();
        if generation.is_none() {
            missing.push((None, keys.generation()));
        }
        for (tag, _) in tags.iter().zip(&known).filter(|(_, known)| known.is_none()) {
            missing.push((Some(*tag), keys.tag(*tag)));
        }
        let wanted: Vec<&[u8]> = missing.iter().map(|(_, key)| key.as_slice()).collect();
        let answers = redis.get_many(&wanted).await;
        let mut read = HashMap::with_capacity(missing.len());
        for ((tag, key), answer) in missing.iter().zip(answers) {
            let version = match answer {
                Ok(Some(bytes)) if version_of(&bytes).is_some() => version_of(&bytes),
                Ok(None) => None,
                // Not ours: whoever wrote that has no say in it.
                Ok(Some(_)) | Err(TierError::WrongType) => {
                    remove(redis, key).await?;
                    None
                }
                Err(error) => return Err(error),
            };
            let life = tag.map(|_| TAG_LIFE);
            let version = match version {
                Some(version) => version,
                None => match create(redis, key, life).await {
                    Err(TierError::Unexpected) => create(redis, key, life).await?,
                    created => created?,
                },
            };
            read.insert(*tag, version);
        }
        if self.is_told && redis.is_coherent() {
            self.keep(epoch, &read);
        }
        let generation = generation.or_else(|| read.get(&None).copied()).ok_or(TierError::Unexpected)?;
        let tags = tags
            .iter()
            .zip(known)
            .map(|(tag, known)| known.or_else(|| read.get(&Some(*tag)).copied()).ok_or(TierError::Unexpected))
            .collect::<Result<_, _>>()?;
        Ok(Versions { generation, tags })
    }

    /// Gives a tag, or with `None` the namespace, a new version: everything that has
    /// the old one is dead.
    pub(crate) async fn renew(
        &self,
        redis: &RedisTier,
        keys: &KeySpace,
        tag: Option<u64>,
    ) -> Result<(), TierError> {
        let key = tag.map_or_else(|| keys.generation(), |tag| keys.tag(tag));
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(&random().to_le_bytes());
        if tag.is_some() {
            command.arg("PX").arg(super::server_time::millis(TAG_LIFE));
        }
        // Forgotten before and after: what is read between is of either version, and not kept.
        self.forget_one(tag);
        let answer = redis.command(command, Some(&key)).await;
        self.forget_one(tag);
        answer.map(|_| ())
    }

    fn forget_one(&self, tag: Option<u64>) {
        match tag {
            Some(tag) => self.forget_tag(tag),
            None => self.forget(),
        }
    }

    fn keep(&self, epoch: u64, read: &HashMap<Option<u64>, u64>) {
        let mut known = self.locked();
        if known.epoch != epoch {
            return;
        }
        if known.tags.len() + read.len() > MOST_KEPT {
            known.tags = HashMap::new();
        }
        for (tag, version) in read {
            match tag {
                None => known.generation = Some(*version),
                Some(tag) => drop(known.tags.insert(*tag, *version)),
            }
        }
    }
}

/// Reads a version; 0 is none.
pub(crate) fn version_of(bytes: &[u8]) -> Option<u64> {
    let version = u64::from_le_bytes(bytes.try_into().ok()?);
    (version != 0).then_some(version)
}

/// Makes a version that does not exist, or takes the one that another process made meanwhile.
async fn create(redis: &RedisTier, key: &[u8], life: Option<Duration>) -> Result<u64, TierError> {
    let version = random();
    let mut command = redis::cmd("SET");
    command.arg(key).arg(&version.to_le_bytes()).arg("NX");
    if let Some(life) = life {
        command.arg("PX").arg(super::server_time::millis(life));
    }
    if redis.command(command, Some(key)).await? != Value::Nil {
        return Ok(version);
    }
    let answer = redis.get_many(&[key]).await.pop().ok_or(TierError::Unexpected)?;
    if let Some(version) = answer?.as_deref().and_then(version_of) {
        return Ok(version);
    }
    // Not ours, or of another type, which a batch of reads takes for nothing there.
    // Whoever makes one next makes it anew, and what was stored meanwhile is dead.
    remove(redis, key).await?;
    Err(TierError::Unexpected)
}

async fn remove(redis: &RedisTier, key: &[u8]) -> Result<(), TierError> {
    redis.delete_many(&[key]).await.pop().ok_or(TierError::Unexpected)?.map(|_| ())
}

/// Returns a random number that is not 0.
pub(crate) fn random() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Each state has keys of its own; the first come from the operating system.
    RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_the_news_is_not_kept() {
        let versions = KnownVersions::default();
        let epoch = versions.locked().epoch;
        versions.keep(epoch, &HashMap::from([(None, 7), (Some(1), 8)]));
        assert_eq!(versions.generation(), Some(7));
        versions.forget_tag(1);
        versions.keep(epoch, &HashMap::from([(Some(1), 8)]));
        assert_eq!(versions.locked().tags.get(&1), None);
        versions.forget();
        assert_eq!(versions.generation(), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let versions = KnownVersions::default();
        for tag in 0..3 * MOST_KEPT as u64 {
            let epoch = versions.locked().epoch;
            versions.keep(epoch, &HashMap::from([(Some(tag), 1)]));
        }
        assert!(versions.locked().tags.len() <= MOST_KEPT);
    }

    #[test]
    fn only_eight_bytes_are_a_version() {
        assert_eq!(version_of(&7_u64.to_le_bytes()), Some(7));
        for strange in [&b""[..], b"12", b"123456789", &[0; 8]] {
            assert_eq!(version_of(strange), None);
        }
        assert_ne!(random(), random());
    }
}
