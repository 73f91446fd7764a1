//! The engine: `quick_cache` with deadlines, and an account of what leaves it.

use std::{any::Any, sync::Arc};

use quick_cache::{
    DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter, sync::Cache as QuickCache,
};
use veritas_model::{Bytes, Monotonic};

use crate::namespace::Namespace;

/// What an entry weighs beside its key and value, for the limit: its place in the
/// engine's tables. The tables double as they grow, so an entry really takes 80 to
/// 160 bytes of them; this is the middle.
pub(crate) const ENTRY_OVERHEAD: u64 = 128;

/// What we expect an entry to weigh on average. The engine remembers half as many
/// evicted keys as it expects entries, and gives each of them a place: with a
/// smaller figure a full cache of small values outgrows its capacity by a third.
const EXPECTED_WEIGHT: u64 = 512;

/// The size of a place in the engine's slab (a test measures it).
const PLACE: u64 = 72;

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
        let entries = usize::try_from(capacity / EXPECTED_WEIGHT).unwrap_or(usize::MAX);
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

    /// Returns the bytes of the engine's own tables as allocated, and how far off
    /// that may be.
    ///
    /// The engine tells what its maps allocate and how many places of its slabs
    /// are in use. A slab grows as a `Vec` does, to the next power of two, and keys
    /// are spread evenly by their hashes, so a shard uses about as many places as
    /// the mean. Where the mean is too near a power of two to say on which side a
    /// shard is, the answer is the middle, and half the difference its bound.
    pub(crate) fn table_bytes(&self) -> (u64, u64) {
        let used = self.tables.memory_used();
        let shards = self.tables.num_shards() as u64;
        let (low, high) = allocated_places(used.entries as u64 / PLACE, shards);
        let bound = (high - low) * PLACE / 2;
        (used.map as u64 + low * PLACE + bound, bound)
    }
}

/// Returns the fewest and the most places that the slabs of all shards have
/// allocated, when `used` are in use: a shard is within four standard deviations
/// (of a Poisson distribution) of the mean.
fn allocated_places(used: u64, shards: u64) -> (u64, u64) {
    if used == 0 {
        return (0, 0);
    }
    let mean = used / shards;
    let spread = if shards == 1 { 0 } else { 4 * (mean.isqrt() + 1) };
    // A `Vec` of places starts with four.
    let low = if spread >= mean.max(1) { 0 } else { (mean - spread).next_power_of_two().max(4) };
    let high = (mean + spread).max(1).next_power_of_two().max(4);
    (shards * low, shards * high)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing(Namespace);

    impl Held for Nothing {
        fn namespace(&self) -> &Namespace {
            &self.0
        }

        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    fn insert(engine: &Engine, id: u32, weight: u64) {
        let key = StoredKey { namespace: id, bytes: Box::default() };
        drop(engine.insert(key, Entry::new(NEVER, weight, Arc::new(Nothing(Namespace::new(""))))));
    }

    #[test]
    fn a_place_is_as_large_as_we_say() {
        let engine = Engine::new(Bytes::new(1024 * 1024));
        insert(&engine, 1, 200);
        assert_eq!(engine.tables.memory_used().entries as u64, PLACE);
    }

    #[test]
    fn the_weight_stays_within_the_capacity() {
        for capacity in [0, 1, 1_000, 1_000_003, 20_000_000] {
            let engine = Engine::new(Bytes::new(capacity));
            for id in 0..3_000 {
                insert(&engine, id, 200 + u64::from(id) * 31 % 10_000);
                assert!(engine.tables.weight() <= capacity);
            }
            assert_eq!(engine.tables.is_empty(), capacity < 1_000);
        }
    }

    #[test]
    fn slabs_grow_as_vectors_do() {
        assert_eq!(allocated_places(0, 8), (0, 0));
        assert_eq!(allocated_places(100_000, 8), (8 * 16_384, 8 * 16_384));
        assert_eq!(allocated_places(65_536, 8), (8 * 8_192, 8 * 16_384));
        assert_eq!(allocated_places(3, 1), (4, 4));
        assert_eq!(allocated_places(3, 8), (0, 32));
    }
}
