//! The engine: a sharded table for each namespace and type of value, with deadlines,
//! within one capacity for all.

mod entry;
mod grants;
mod key;
mod shard;
mod store;

use std::time::Duration;

pub(crate) use self::{
    entry::{Entry, Keep, Life},
    grants::{Budget, Grants, shares},
    key::{KeyHasher, KeyRef, ShortRef, Sought, heap_size},
    shard::{Leaving, Left, enough_for},
    store::{Any, Garbage, Inserted, Store},
};

/// A point of the clock's monotonic time, in nanoseconds since its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Now(pub(crate) u64);

impl Now {
    /// Returns whole milliseconds since the clock's origin.
    #[inline]
    pub(crate) const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
