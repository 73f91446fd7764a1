//! Reads: frames out of Redis, and what of them can be believed.

use std::time::Duration;

use serde::de::DeserializeOwned;
use veritas_cache::{Loaded, TagVersion};

use super::{
    Tiers,
    cache::tag_name,
    lease::is_marker,
    space::Space,
    versions::{self, Versions},
};
use crate::{
    TierError,
    frame::{self, Expected, Frame},
    key::{self, LONGEST_RAW},
};

/// How many last bytes of what stands under a key tell it from all else: a frame's
/// checksum, or the end of a lease's token.
pub(crate) const SEAL: usize = 8;

/// What stands under a key.
#[derive(Debug)]
pub(crate) enum Standing<V> {
    /// A value, or the news that there is none.
    Found(Found<V>),
    /// The lease of someone who loads it; its seal.
    Loading([u8; SEAL]),
    /// A value whose time or whose versions are over; its seal.
    Dead([u8; SEAL]),
    /// Nothing that could be believed.
    Nothing,
}

impl<V> Standing<V> {
    /// Makes a stale value a dead one: for look-ups that would not refresh it.
    pub(super) fn fresh(self) -> Self {
        match self {
            Self::Found(found) if found.fresh.is_zero() => Self::Dead(found.seal),
            other => other,
        }
    }
}

/// A value that came out of Redis.
#[derive(Debug)]
pub(crate) struct Found<V> {
    /// `None` is a remembered absence.
    pub(crate) value: Option<V>,
    /// How long it is fresh yet; zero when it is stale.
    pub(crate) fresh: Duration,
    /// How long it may be served after that.
    pub(crate) stale: Duration,
    pub(crate) cost: Duration,
    tags: Vec<u64>,
    pub(crate) seal: [u8; SEAL],
    /// Bytes of the frame.
    pub(crate) length: usize,
}

impl<V> Found<V> {
    /// Makes it what the process keeps: no longer than here, if changes reach us, else briefly.
    pub(crate) fn into_loaded(self, tiers: &Tiers, space: &Space, canonical: &[u8]) -> Loaded<V> {
        let coherent = tiers.hears_of(space);
        let most = if coherent { Duration::MAX } else { tiers.redis.options().untracked_ttl };
        let mut loaded = Loaded::from(self.value);
        loaded.ttl = Some(self.fresh.min(most));
        loaded.stale = Some(self.stale.min(most.saturating_sub(self.fresh)));
        loaded.cost = (!self.cost.is_zero()).then_some(self.cost);
        loaded.tags = local_tags(&self.tags, canonical);
        loaded.from_tier = true;
        loaded
    }
}

/// Returns the tags that an entry bears in the process: its own, and the hash of a
/// key that is too long to stand in an invalidation.
pub(crate) fn local_tags(tags: &[u64], canonical: &[u8]) -> Vec<TagVersion> {
    let long = (canonical.len() > LONGEST_RAW).then(|| key::hashed_tag(&key::hashed(canonical)));
    tags.iter().copied().chain(long).map(|tag| TagVersion::of(&tag_name(tag))).collect()
}

/// What is to be read: the canonical key and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) canonical: &'a [u8],
    pub(crate) key: &'a [u8],
}

/// Counts what a look-up found.
pub(crate) fn count<V>(space: &Space, standing: &Result<Standing<V>, TierError>) {
    match standing {
        Ok(Standing::Found(found)) => space.counters.hit(found.length),
        _ => space.counters.miss(),
    }
}

impl Tiers {
    /// Reads what stands under one key.
    pub(crate) async fn read<V: DeserializeOwned>(
        &self,
        space: &Space,
        wanted: Wanted<'_>,
    ) -> Result<Standing<V>, TierError> {
        self.read_many(space, &[wanted]).await.pop().unwrap_or(Err(TierError::Unexpected))
    }

    /// Reads what stands under keys, in their order, in one round trip when the
    /// versions of the tags are known. Counts errors, and counts and removes what
    /// cannot be read; hits and misses are counted by [`count`].
    pub(crate) async fn read_many<V: DeserializeOwned>(
        &self,
        space: &Space,
        wanted: &[Wanted<'_>],
    ) -> Vec<Result<Standing<V>, TierError>> {
        self.settle().await;
        self.time.refresh(&self.redis, &*self.clock).await;
        // Before the question and after the answer: what is made good between them was read too early.
        let suspect: Option<Vec<bool>> = (self.pending.len() > 0)
            .then(|| wanted.iter().map(|wanted| self.pending.covers(space, wanted.key)).collect());
        let known = space.versions.generation();
        let generation_key = space.keys.generation();
        let mut keys: Vec<&[u8]> = Vec::with_capacity(wanted.len() + 1);
        // Not known, it is asked for in the same trip, in front of the values.
        if known.is_none() {
            keys.push(&generation_key);
        }
        keys.extend(wanted.iter().map(|wanted| wanted.key));
        let mut answers = self.redis.get_many(&keys).await;
        let mut generation = known;
        if known.is_none() && !answers.is_empty() {
            generation = answers.remove(0).ok().flatten().as_deref().and_then(versions::version_of);
        }
        let mut standings = Vec::with_capacity(wanted.len());
        let mut unreadable: Vec<&[u8]> = Vec::new();
        for (index, (wanted, answer)) in wanted.iter().zip(answers).enumerate() {
            let was_suspect = suspect.as_ref().is_some_and(|suspect| suspect[index]);
            let standing = match answer {
                Ok(None) => Ok(Standing::Nothing),
                Ok(Some(_)) if was_suspect || self.pending.covers(space, wanted.key) => {
                    Err(TierError::Unavailable)
                }
                Ok(Some(bytes)) => match self.judge(space, *wanted, &bytes, generation).await {
                    Ok(Some(standing)) => Ok(standing),
                    Ok(None) => {
                        space.counters.corrupted();
                        unreadable.push(wanted.key);
                        Ok(Standing::Nothing)
                    }
                    Err(error) => Err(error),
                },
                Err(TierError::WrongType) => {
                    space.counters.corrupted();
                    unreadable.push(wanted.key);
                    Ok(Standing::Nothing)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &standing {
                space.counters.failed(*error);
            }
            standings.push(standing);
        }
        if !unreadable.is_empty() {
            // Should that fail, the next look-up finds it again.
            drop(self.redis.delete_many(&unreadable).await);
        }
        standings
    }

    /// Decides what bytes are worth. `None`: they are to be removed.
    async fn judge<V: DeserializeOwned>(
        &self,
        space: &Space,
        wanted: Wanted<'_>,
        bytes: &[u8],
        generation: Option<u64>,
    ) -> Result<Option<Standing<V>>, TierError> {
        if let Some(seal) = is_marker(bytes) {
            return Ok(Some(Standing::Loading(seal)));
        }
        let expected = Expected {
            schema: space.options.namespace.schema,
            key: wanted.canonical,
            max_value: space.options.max_value(),
        };
        let Ok(Frame { stamp, value }) = frame::decode(bytes, expected) else { return Ok(None) };
        let Some(seal) = bytes.last_chunk::<SEAL>() else { return Ok(None) };
        let now_ms = self.now_ms();
        if now_ms >= stamp.deadline_ms || !self.is_in_force(space, &stamp, generation).await? {
            return Ok(Some(Standing::Dead(*seal)));
        }
        let value = match value {
            None => None,
            Some(encoded) => match stamp.codec.decode(&encoded) {
                Ok(value) => Some(value),
                Err(_) => return Ok(None),
            },
        };
        // A frame that claims to live longer than it was made for is believed no longer than that.
        let whole = stamp.deadline_ms.saturating_sub(stamp.stored_at_ms);
        let left = stamp.deadline_ms.saturating_sub(now_ms).min(whole);
        let fresh = stamp.fresh_until_ms.saturating_sub(now_ms).min(left);
        Ok(Some(Standing::Found(Found {
            value,
            fresh: Duration::from_millis(fresh),
            stale: Duration::from_millis(left - fresh),
            cost: Duration::from_micros(u64::from(stamp.cost_us)),
            tags: stamp.tags.iter().map(|tag| tag.tag).collect(),
            seal: *seal,
            length: bytes.len(),
        })))
    }

    /// Returns whether the versions of a frame are those of now.
    async fn is_in_force(
        &self,
        space: &Space,
        stamp: &frame::Stamp,
        generation: Option<u64>,
    ) -> Result<bool, TierError> {
        // A namespace without a version has never had a value: whatever this is, it is older.
        if generation != Some(stamp.generation) {
            return Ok(false);
        }
        if stamp.tags.is_empty() {
            return Ok(true);
        }
        let tags: Vec<u64> = stamp.tags.iter().map(|tag| tag.tag).collect();
        let Versions { tags, .. } = space.versions.resolve(&self.redis, &space.keys, &tags).await?;
        Ok(tags.iter().zip(&stamp.tags).all(|(version, stamp)| *version == stamp.version))
    }
}
