//! Options of a tiered namespace: how its values stand in Redis, and how processes share a load.

use std::time::Duration;

use veritas_cache::NamespaceOptions;
use veritas_model::Bytes;

use crate::Codec;

/// The longest encoded value when the namespace does not say otherwise.
const DEFAULT_MAX_VALUE: Bytes = Bytes::new(8 * 1024 * 1024);

/// The longest value that a frame can hold: its length has four bytes.
const LONGEST: u64 = u32::MAX as u64;

/// What a namespace is like that is held in the process and in Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct TieredOptions {
    /// What it is like in the process. Its `ttl`, `stale`, `negative_ttl` and `jitter`
    /// count for Redis too; its `schema` is part of the keys there, and its `max_value`
    /// also limits the encoded value before compression (default there: 8 MiB).
    pub namespace: NamespaceOptions,
    /// How values are written. Default [`Codec::Postcard`].
    pub codec: Codec,
    /// Encoded values longer than this are compressed where that helps. Default 1 KiB.
    pub compress_above: Bytes,
    /// Whether the keys carry the namespace as a hash tag, so that a cluster keeps
    /// all of them on one node and batches need one round trip. Default false.
    pub hash_tag: bool,
    /// How processes share a load.
    pub lease: LeaseOptions,
}

/// How processes share a load: one of them holds a lease in Redis, the others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How long a lease lives without being renewed; it is renewed three times as
    /// often. So long the others wait for a process that died. Default 1 s.
    pub life: Duration,
    /// How long others wait before they load themselves, or twice as long as the
    /// namespace's loads take on average, whichever is longer. Default 2 s.
    pub patience: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { life: Duration::from_secs(1), patience: Duration::from_secs(2) }
    }
}

impl Default for TieredOptions {
    fn default() -> Self {
        Self {
            namespace: NamespaceOptions::default(),
            codec: Codec::default(),
            compress_above: Bytes::new(1024),
            hash_tag: false,
            lease: LeaseOptions::default(),
        }
    }
}

impl TieredOptions {
    pub(crate) fn max_value(&self) -> usize {
        let most = self.namespace.max_value.unwrap_or(DEFAULT_MAX_VALUE).get().min(LONGEST);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    pub(crate) fn compress_above(&self) -> usize {
        usize::try_from(self.compress_above.get()).unwrap_or(usize::MAX)
    }
}
