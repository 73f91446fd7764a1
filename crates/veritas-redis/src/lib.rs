//! Redis: the second tier of the caches, two-tier caches, and the view of a server.

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
