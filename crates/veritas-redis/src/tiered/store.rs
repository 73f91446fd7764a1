//! Stores: values into frames, and frames into Redis.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;

use super::{Tiers, pending::Outdated, server_time::millis, space::Space, versions::Versions};
use crate::{
    SetEntry, TierError,
    frame::{self, Stamp, TagStamp},
};

/// The longest life in Redis: what is meant to live longer is as good as for ever,
/// and the server refuses times that overflow its clock.
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 365 * 10);

/// Why a value was not stored in Redis. What stood under its key before is gone all
/// the same, or goes as soon as the server can be reached: it is outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum StoreError {
    /// The encoded value is longer than the namespace's `max_value`, or it has more than 255 tags.
    #[error("the value is longer than its namespace admits")]
    TooLarge,
    /// The value's `Serialize` fails in the namespace's codec.
    #[error("the value cannot be written in the codec of its namespace")]
    Unencodable,
    /// Its time to live is zero, or the namespace is bypassed.
    #[error("the value has no time to live")]
    NoTime,
    /// The server did not take it.
    #[error("redis did not store the value")]
    Tier(#[from] TierError),
}

/// What is to become a frame.
#[derive(Debug)]
pub(crate) struct Draft<'a, V> {
    pub(crate) canonical: &'a [u8],
    /// `None` is a remembered absence.
    pub(crate) value: Option<&'a V>,
    pub(crate) ttl: Duration,
    pub(crate) stale: Duration,
    pub(crate) cost: Duration,
    /// Hashes of tags, and how they stood when the load began.
    pub(crate) tags: &'a [u64],
    pub(crate) versions: &'a Versions,
}

impl Tiers {
    /// Makes a frame; returns it and how long it is to live.
    pub(crate) fn frame<V: Serialize>(
        &self,
        space: &Space,
        draft: &Draft<'_, V>,
    ) -> Result<(Vec<u8>, Duration), StoreError> {
        let options = &space.options;
        let life = draft.ttl.saturating_add(draft.stale).min(LONGEST_LIFE);
        if draft.ttl.is_zero() {
            return Err(StoreError::NoTime);
        }
        let value = match draft.value {
            None => None,
            Some(value) => Some(options.codec.encode(value).ok_or(StoreError::Unencodable)?),
        };
        let now_ms = self.now_ms();
        let stamp = Stamp {
            codec: options.codec,
            schema: options.namespace.schema,
            stored_at_ms: now_ms,
            fresh_until_ms: now_ms.saturating_add(millis(draft.ttl.min(LONGEST_LIFE))),
            deadline_ms: now_ms.saturating_add(millis(life)),
            cost_us: u32::try_from(draft.cost.as_micros()).unwrap_or(u32::MAX),
            generation: draft.versions.generation,
            tags: draft
                .tags
                .iter()
                .zip(&draft.versions.tags)
                .map(|(tag, version)| TagStamp { tag: *tag, version: *version })
                .collect(),
        };
        let bytes = frame::encode(
            &stamp,
            draft.canonical,
            value.as_deref(),
            options.compress_above(),
            options.max_value(),
        );
        bytes.map(|bytes| (bytes, life)).ok_or_else(|| {
            space.counters.too_large();
            StoreError::TooLarge
        })
    }

    /// Writes frames, in their order, one after another in few round trips. What is
    /// refused is noted as outdated.
    pub(crate) async fn write_many(
        self: &Arc<Self>,
        space: &Arc<Space>,
        frames: &[(Vec<u8>, Vec<u8>, Duration)],
    ) -> Vec<Result<(), TierError>> {
        let entries: Vec<SetEntry<'_>> = frames
            .iter()
            .map(|(key, value, life)| SetEntry {
                key,
                value,
                ttl: Some((*life).max(Duration::from_millis(1))),
            })
            .collect();
        let answers = self.redis.set_many(&entries).await;
        for ((key, value, _), answer) in frames.iter().zip(&answers) {
            match answer {
                Ok(()) => space.counters.set(value.len()),
                Err(error) => {
                    space.counters.failed(*error);
                    self.pending.note(space, Outdated::Key(key.clone()));
                }
            }
        }
        self.chase();
        answers
    }

    /// Removes keys, in their order; returns for each whether something was there.
    /// What fails is noted.
    pub(crate) async fn remove_many(
        self: &Arc<Self>,
        space: &Arc<Space>,
        keys: &[Vec<u8>],
    ) -> Vec<Result<bool, TierError>> {
        let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let answers = self.redis.delete_many(&wanted).await;
        for (key, answer) in keys.iter().zip(&answers) {
            match answer {
                Ok(true) => space.counters.deleted(),
                Ok(false) => {}
                Err(error) => {
                    space.counters.failed(*error);
                    self.pending.note(space, Outdated::Key(key.clone()));
                }
            }
        }
        self.chase();
        answers
    }
}
