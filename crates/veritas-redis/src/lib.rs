//! Redis: the second tier of the caches, two-tier caches, and the view of a server.
//!
//! What it does: keeps encoded values in one Redis, behind Sentinels, or in a Redis Cluster (Valkey as well), with
//! every call answered within its deadline whatever the servers do; hears what other processes change, so that
//! values may be kept decoded in this one; loads a key once for all processes; and tells how a server fares.
//!
//! What it does *not*: fail an application because Redis fails, retry a write, serve replicas, or
//! decode what another key, schema or hand has written. It starts one thread, `veritas-redis`, for each
//! [`RedisTier`]; a process that forks must connect after it. `docs/decisions/0007-our-own-connections-to-redis.md` says why.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use veritas_model::SystemClock;
//! use veritas_redis::{RedisOptions, RedisTier, SetEntry};
//!
//! let options = RedisOptions::parse("redis-cluster://one:6379,two:6379")?;
//! let tier = RedisTier::connect(options, Arc::new(SystemClock::new()))?;
//! let entry = SetEntry { key: b"veritas:greeting", value: b"hello", ttl: Some(Duration::from_secs(60)) };
//! if tier.set_blocking(entry).is_ok() {
//!     assert_eq!(tier.get_blocking(b"veritas:greeting"), Ok(Some(b"hello".to_vec())));
//! }
//! // Without a server both are errors, after 50 ms at most, and soon after that at once.
//! # Ok::<(), veritas_redis::RedisError>(())
//! ```

mod breaker;
mod codec;
mod counters;
mod error;
mod frame;
mod inspect;
mod key;
mod lease;
mod link;
mod listing;
mod memory;
mod options;
mod second_tier;
pub mod server;
mod tier;
mod tiered;
mod tracking;
mod wait;

pub use codec::Codec;
pub use counters::TierCounters;
pub use error::{Code, RedisError, TierError};
#[doc(hidden)]
pub use frame::fuzz_frame;
pub use inspect::{ScanCursor, ScanPage};
pub use lease::{Lease, Watch, Woken};
#[cfg(feature = "tls")]
pub use options::Certificates;
pub use options::{BreakerOptions, Endpoint, RedisOptions, Topology};
pub use tier::{RedisTier, SetEntry};
pub use tiered::{LeaseOptions, StoreError, TieredCache, TieredCaches, TieredOptions};
pub use tracking::{Invalidation, LossReason};
