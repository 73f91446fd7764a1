//! The engine: `quick_cache` with deadlines, and an account of what leaves it.

use std::{any::Any, sync::Arc};

use quick_cache::{
    DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter, sync::Cache as QuickCache,
};
use veritas_model::{Bytes, Monotonic};

use crate::namespace::Namespace;

/// Bytes of the engine's own tables per entry, for the limit: what
/// `memory_used` said per entry between two doublings of the tables, for keys
/// and entries of our size (the test `the_overhead_of_an_entry_is_calibrated`
/// repeats the measurement).
pub(crate) const ENTRY_OVERHEAD: u64 = 128;

/// A shard gets at least this much, so that values of a megabyte find a place.
const SMALLEST_SHARD: u64 = 1024 * 1024;

/// A deadline that never comes.
const NEVER: u64 = u64::MAX;

/// A key as it is stored: whole, so that no collision of hashes can answer for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoredKey {
    pub(crate) namespace: u32,
    pub(crate) bytes: Box<[u8]>,
}

/// A key to look up. Hashes as [`StoredKey`] does.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct KeyRef<'a> {
    pub(crate) namespace: u32,
    pub(crate) bytes: &'a [u8],
}

impl KeyRef<'_> {
    pub(crate) fn to_stored(self) -> StoredKey {
        StoredKey { namespace: self.namespace, bytes: self.bytes.into() }
    }
}

impl Equivalent<StoredKey> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &StoredKey) -> bool {
        self.namespace == key.namespace && *self.bytes == *key.bytes
    }
}

/// A value of any type, and whose it is.
pub(crate) trait Held: Send + Sync {
    fn namespace(&self) -> &Namespace;
    fn as_any(&self) -> &dyn Any;
}

/// What the engine holds under a key. Cloned at each hit: one reference count.
#[derive(Clone)]
pub(crate) struct Entry {
    deadline: u64,
    weight: u64,
    pub(crate) held: Arc<dyn Held>,
}

impl Entry {
    pub(crate) fn new(deadline: u64, weight: u64, held: Arc<dyn Held>) -> Self {
        Self { deadline, weight, held }
    }

    #[inline]
    pub(crate) fn may_expire(&self) -> bool {
        self.deadline != NEVER
    }

    /// Returns whether the entry's time is over: from its deadline on.
    #[inline]
    pub(crate) fn is_expired(&self, now: Monotonic) -> bool {
        self.may_expire() && nanos(now) >= self.deadline
    }
}

/// Returns the deadline of what is stored at `now` to live for `ttl`: it saturates at never.
pub(crate) fn deadline(now: Monotonic, ttl: std::time::Duration) -> u64 {
    nanos(now.plus(ttl))
}

/// Nanoseconds since the clock's origin, saturating after 584 years.
#[inline]
fn nanos(at: Monotonic) -> u64 {
    u64::try_from(at.since_origin().as_nanos()).unwrap_or(NEVER)
}

#[derive(Debug, Clone, Copy)]
struct ByWeight;

impl Weighter<StoredKey, Entry> for ByWeight {
    #[inline]
    fn weight(&self, _: &StoredKey, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// Hands out what leaves the engine during an insertion, so that it is counted
/// and dropped after the shard's lock is released: a value's `Drop` is not ours.
#[derive(Debug, Clone, Copy)]
struct HandOut;

/// What left the engine during one insertion. Mostly it is one entry.
#[derive(Default)]
pub(crate) struct Leaving {
    first: Option<(StoredKey, Entry)>,
    others: Vec<(StoredKey, Entry)>,
}

impl Leaving {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &(StoredKey, Entry)> {
        self.first.iter().chain(&self.others)
    }
}

impl Lifecycle<StoredKey, Entry> for HandOut {
    type RequestState = Leaving;

    fn on_evict(&self, leaving: &mut Leaving, key: StoredKey, entry: Entry) {
        if leaving.first.is_none() {
            leaving.first = Some((key, entry));
        } else {
            leaving.others.push((key, entry));
        }
    }
}

type Tables = QuickCache<StoredKey, Entry, ByWeight, DefaultHashBuilder, HandOut>;

/// The engine of all namespaces together.
pub(crate) struct Engine {
    tables: Tables,
    heaviest: u64,
}

impl Engine {
    pub(crate) fn new(capacity: Bytes) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let wanted = (threads * 4).next_power_of_two() as u64;
        let affordable = (capacity.get() / SMALLEST_SHARD).max(1);
        // The largest power of two that is affordable.
        let shards = wanted.min(1 << affordable.ilog2());
        // The engine divides rounding up; the limit is hard, so we round down first.
        let capacity = capacity.get() / shards * shards;
        let entries = usize::try_from(capacity / (2 * ENTRY_OVERHEAD)).unwrap_or(usize::MAX);
        let shard_count = usize::try_from(shards).unwrap_or(1);
        let options = OptionsBuilder::new()
            .shards(shard_count)
            // The engine halves the number of shards until each expects 32 entries.
            .estimated_items_capacity(entries.max(32 * shard_count))
            .weight_capacity(capacity)
            .build()
            .unwrap_or_else(|_| unreachable!("both required options are set"));
        let tables = Tables::with_options(options, ByWeight, DefaultHashBuilder::default(), HandOut);
        // What the engine's own admission refuses (its hot part is 97 %), refused
        // by us before, so that a refused set is seen.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the same arithmetic as the engine's"
        )]
        let heaviest = (tables.shard_capacity() as f64 * 0.97) as u64;
        Self { tables, heaviest }
    }

    /// Returns whether an entry of that weight finds a place at all.
    pub(crate) fn admits(&self, weight: u64) -> bool {
        weight <= self.heaviest
    }

    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Entry> {
        self.tables.get(key)
    }

    /// Reads without telling the eviction policy.
    pub(crate) fn peek(&self, key: &KeyRef<'_>) -> Option<Entry> {
        self.tables.peek(key)
    }

    /// Stores and returns what had to leave for it. Drop that outside of any lock.
    pub(crate) fn insert(&self, key: StoredKey, entry: Entry) -> Leaving {
        let mut leaving = Leaving::default();
        self.tables.insert_with_lifecycle(key, entry, &mut leaving);
        leaving
    }

    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Entry> {
        self.tables.remove(key).map(|(_, entry)| entry)
    }

    pub(crate) fn remove_expired(&self, key: &KeyRef<'_>, now: Monotonic) -> Option<Entry> {
        self.tables.remove_if(key, |entry| entry.is_expired(now)).map(|(_, entry)| entry)
    }

    /// Removes every entry that `doomed` picks, and returns them. Looks at all
    /// entries, one shard at a time, and allocates for those it removes.
    pub(crate) fn remove_all(&self, doomed: impl Fn(&StoredKey, &Entry) -> bool) -> Vec<Entry> {
        let keys: Vec<StoredKey> =
            self.tables.iter().filter(|(key, entry)| doomed(key, entry)).map(|(key, _)| key).collect();
        keys.iter()
            .filter_map(|key| self.tables.remove_if(key, |entry| doomed(key, entry)))
            .map(|(_, entry)| entry)
            .collect()
    }

    /// Returns the bytes of the engine's own tables, as allocated.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.tables.memory_used().total() as u64
    }

    #[cfg(test)]
    pub(crate) fn weight(&self) -> u64 {
        self.tables.weight()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tables.len()
    }
}
