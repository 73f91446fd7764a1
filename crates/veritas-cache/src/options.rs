//! Options of the cache: how much it holds, for how long, under how many names.

use std::{num::NonZeroUsize, time::Duration};

use veritas_model::Bytes;

/// How much the caches hold together, for how long, and under how many names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// What all entries together may weigh: keys, values and our own overhead. A
    /// hard limit on weights; 0 stores nothing. Default 64 MiB. Our overhead is
    /// weighed at 128 bytes an entry, so that a full cache really takes within 15 %
    /// of this, as [`Caches::memory`](crate::Caches::memory) tells.
    ///
    /// It is divided evenly among the engine's shards (at least 1 MiB each), and a
    /// value heavier than 97 % of its shard's part is refused.
    pub capacity: Bytes,
    /// How long an entry lives when nobody says otherwise. 0 stores nothing; a
    /// time beyond the clock's range is for ever. Default 300 s.
    pub default_ttl: Duration,
    /// How many namespaces have statistics of their own; whatever is opened beyond
    /// that is counted together under [`OVERFLOW`](crate::OVERFLOW) and cached all
    /// the same. Default 1024.
    pub max_namespaces: NonZeroUsize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            capacity: Bytes::new(64 * 1024 * 1024),
            default_ttl: Duration::from_mins(5),
            max_namespaces: NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN),
        }
    }
}
