//! Caching: an in-process cache with true statistics and measured memory.
//!
//! What it does: holds values under typed keys in named namespaces, all together
//! under one hard limit of bytes, a table for each namespace; lets entries die exactly at their deadline;
//! runs one load however many callers miss a key at once, in threads and in
//! futures of any runtime; counts every look-up exactly, over any number of
//! threads; and tells how many bytes it holds, with the bound of its error.
//!
//! What it does *not*: talk to Redis or to other processes, write to disk, or need a
//! runtime. It starts three threads at most, when they are first needed: one that
//! reads the clock for look-ups, and two that renew values in the background.
//!
//! The engine is `quick_cache` (a scan-resistant relative of Clock-PRO and
//! S3-FIFO); `docs/decisions/0002-quick-cache-as-the-engine.md` says why.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use veritas_cache::{CacheOptions, Caches};
//! use veritas_model::SystemClock;
//!
//! let caches = Caches::new(CacheOptions::default(), Arc::new(SystemClock::new()));
//! let contents = caches.namespace::<Arc<str>>("user_content").with_ttl(Duration::from_secs(60));
//!
//! // Runs the loader once, however many ask at the same time.
//! let load = || Ok::<_, std::io::Error>(Arc::from("the content"));
//! let content = contents.get_or_load(&("user", 123), load)?;
//! assert_eq!(contents.get(&("user", 123)), Some(content));
//!
//! let statistics = caches.statistics();
//! assert_eq!((statistics.hits, statistics.misses, statistics.sets), (1, 1, 1));
//! assert_eq!(caches.memory().entries, 1);
//! # Ok::<(), Arc<std::io::Error>>(())
//! ```

mod background;
mod cache;
mod caches;
mod coarse;
mod engine;
mod flights;
pub mod function;
mod key;
mod listing;
mod memory;
mod namespace;
mod options;
mod reading;
mod refresh;
mod registry;
pub mod server;
mod size;
mod slots;
mod statistics;
mod sync;
mod tags;
mod tap;
mod tier;
mod tuning;

pub use background::Spawn;
pub use cache::{Cache, Claim, Loaded};
pub use caches::{Caches, OVERFLOW};
pub use key::{Blob, CacheKey, KeyEncoder, KeyPart, readable, typed};
pub use listing::{KeyPage, KeyReading, ListError, MAX_PAGE, MAX_PREVIEW};
pub use memory::{CacheMemory, NamespaceMemory};
pub use options::{CacheOptions, NamespaceOptions};
pub use reading::NamespaceReading;
pub use size::HeapSize;
pub use statistics::{CacheStatistics, NamespaceStatistics};
pub use tags::TagVersion;
pub use tap::{Access, AccessKind, NamespaceId, Tap};
pub use tier::{SecondTier, TierCounts, TierMemory, TierNamespaceMemory, TierStatistics};
pub use tuning::{Knob, KnobName, TuneError, Tuning};
