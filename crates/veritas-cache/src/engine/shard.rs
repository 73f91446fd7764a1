//! One shard of a table: `quick_cache` behind a lock of ours.
//!
//! The lock is ours so that a look-up can judge an entry in place, clone only the
//! value, and leave the rest; so that what is evicted is dropped outside of it; and so
//! that each shard knows what its tables really take.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, unsync};

use super::{
    entry::Entry,
    key::{Brought, KeyRef, Sought, TableKey},
};

/// The part of its capacity that `quick_cache` gives to what was hit before; nothing
/// heavier than that part is admitted.
const HOT: f64 = 0.97;

/// A table is made anew, with another expectation of its entries' weight, only
/// while it has fewer entries than this: that takes less than a millisecond.
const MOST_MOVED: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct ByWeight;

impl<V> Weighter<TableKey, Entry<V>> for ByWeight {
    #[inline]
    fn weight(&self, _: &TableKey, entry: &Entry<V>) -> u64 {
        entry.weight()
    }
}

/// An entry that left a table, with its key. To be counted, and dropped, outside of
/// any lock: what a value's `Drop` does is not ours.
pub(crate) type Left<V> = (TableKey, Entry<V>);

/// Takes what leaves a table out of it.
struct HandOut<V> {
    /// What leaves while nobody collects it: when a capacity is lowered.
    unclaimed: Arc<Mutex<Vec<Left<V>>>>,
}

/// What leaves during one insertion. Mostly it is one entry at most.
pub(crate) struct Leaving<V> {
    collects: bool,
    first: Option<Left<V>>,
    others: Vec<Left<V>>,
}

impl<V> Default for Leaving<V> {
    fn default() -> Self {
        Self { collects: false, first: None, others: Vec::new() }
    }
}

impl<V> Leaving<V> {
    pub(crate) fn push(&mut self, left: Left<V>) {
        if self.first.is_none() {
            self.first = Some(left);
        } else {
            self.others.push(left);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Left<V>> {
        self.first.iter().chain(&self.others)
    }
}

impl<V> Lifecycle<TableKey, Entry<V>> for HandOut<V> {
    type RequestState = Leaving<V>;

    fn on_evict(&self, leaving: &mut Leaving<V>, key: TableKey, entry: Entry<V>) {
        if leaving.collects {
            leaving.push((key, entry));
        } else {
            self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner).push((key, entry));
        }
    }
}

type Cache<V> = unsync::Cache<TableKey, Entry<V>, ByWeight, Brought, HandOut<V>>;

/// One shard. Apart from its neighbours, so that their locks do not disturb each other.
#[repr(align(128))]
pub(crate) struct Shard<V> {
    table: RwLock<Table<V>>,
}

/// What a shard holds, to be used under its lock.
pub(crate) struct Table<V> {
    cache: Cache<V>,
    unclaimed: Arc<Mutex<Vec<Left<V>>>>,
    /// The heaviest entry that `cache` admits. It does not tell, so its arithmetic is followed.
    admits: u64,
    /// The weight of an entry that the number of remembered evictions rests on.
    expected: u64,
    /// How many evicted keys `cache` remembers. It does not tell either.
    remembers: u64,
    /// The size of a place in the slab; 0 before the first entry.
    place: usize,
    /// The most places that were in use at a time: a slab never shrinks.
    places: usize,
    /// How many entries left their place so far: whoever walks the places goes back that far.
    departures: usize,
}

/// What a shard holds and takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    pub(crate) entries: u64,
    pub(crate) weight: u64,
    /// Bytes of the tables, as they were asked of the allocator.
    pub(crate) tables: u64,
}

impl<V> Shard<V> {
    pub(crate) fn new() -> Self {
        Self { table: RwLock::new(Table::new(0, 1)) }
    }

    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table<V>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Table<V>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the heaviest entry that a table of `capacity` admits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the same arithmetic as the engine's"
)]
pub(crate) fn heaviest(capacity: u64) -> u64 {
    ((capacity as f64 * HOT) as u64).clamp(capacity.min(1), capacity)
}

/// Returns the least capacity with which a table admits an entry of `weight`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rounded, and put right below"
)]
pub(crate) fn enough_for(weight: u64) -> u64 {
    let from = ((weight as f64 / HOT) as u64).saturating_sub(1);
    (from..from + 4).find(|capacity| heaviest(*capacity) >= weight).unwrap_or(from + 4)
}

impl<V> Table<V> {
    fn new(capacity: u64, expected: u64) -> Self {
        let unclaimed = Arc::default();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(capacity / expected.max(1)).unwrap_or(usize::MAX))
            .weight_capacity(capacity)
            .hot_allocation(HOT)
            .build()
            .unwrap_or_else(|_| unreachable!("both required options are set"));
        let hand_out = HandOut { unclaimed: Arc::clone(&unclaimed) };
        let cache = Cache::with_options(options, ByWeight, Brought, hand_out);
        let admits = heaviest(capacity);
        let remembers = capacity / expected.max(1) / 2;
        Self { cache, unclaimed, admits, expected, remembers, place: 0, places: 0, departures: 0 }
    }

    #[inline]
    pub(crate) fn get(&self, key: &impl Sought) -> Option<&Entry<V>> {
        self.cache.get(key)
    }

    /// Reads without telling the eviction policy.
    pub(crate) fn peek(&self, key: &KeyRef<'_>) -> Option<&Entry<V>> {
        self.cache.peek(key)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }

    /// Returns the heaviest entry that it admits.
    pub(crate) fn admits(&self) -> u64 {
        self.admits
    }

    /// Raises the capacity, for the sake of an entry of `weight`.
    ///
    /// `quick_cache` remembers half as many evicted keys as it expects entries. We
    /// know what entries weigh only once there are some: while they are few, a table
    /// whose expectation was wrong is made anew. So is one whose hot part, or whose memory of
    /// evicted keys, is worn: both are rounded down at each change of the capacity, and never
    /// up. (A table that began with room for one entry would never remember any.)
    pub(crate) fn grow(&mut self, capacity: u64, weight: u64) {
        let entries = self.cache.len();
        let mean = if entries == 0 { weight } else { self.cache.weight() / entries as u64 }.max(1);
        let expected = self.expected;
        let wrong = mean > expected.saturating_mul(3) / 2 || expected > mean.saturating_mul(3) / 2;
        let least = heaviest(capacity);
        let is_forgetful = self.would_remember(capacity) < capacity / mean / 2 * 7 / 8;
        let admitted = self.would_admit(capacity);
        let is_worn = is_forgetful || admitted < least - least / 256 || admitted < weight.min(least);
        // What weighs more than a new table admits can stay in this one only.
        let fits = || self.cache.iter().all(|(_, entry)| entry.weight() <= least);
        if entries == 0 || ((wrong || is_worn) && entries <= MOST_MOVED && fits()) {
            let mut before = self.replace(Self::new(capacity, mean));
            for (key, entry) in before.cache.drain() {
                // All of it fits: the capacity is larger than it was, and admits each.
                self.insert(key, entry);
            }
        } else {
            self.set_capacity(capacity);
        }
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.admits = self.would_admit(capacity);
        self.remembers = self.would_remember(capacity);
        self.cache.set_capacity(capacity);
    }

    /// Returns what it would admit with another capacity, as `quick_cache` reckons.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the same arithmetic as the engine's"
    )]
    fn would_admit(&self, capacity: u64) -> u64 {
        if self.capacity() == 0 {
            return heaviest(capacity);
        }
        let share = self.admits as f64 / self.capacity() as f64;
        ((capacity as f64 * share) as u64).clamp(capacity.min(1), capacity)
    }

    /// Returns how many evicted keys it would remember with another capacity, as `quick_cache` reckons.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the same arithmetic as the engine's"
    )]
    fn would_remember(&self, capacity: u64) -> u64 {
        if self.capacity() == 0 {
            return self.remembers;
        }
        (self.remembers as f64 * (capacity as f64 / self.capacity() as f64)) as u64
    }

    /// Lowers the capacity and returns what had to leave for it.
    pub(crate) fn shrink(&mut self, capacity: u64) -> Vec<Left<V>> {
        self.set_capacity(capacity);
        let left = std::mem::take(&mut *self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner));
        self.departures += left.len();
        left
    }

    /// Stores, and returns what had to leave for it: also its own predecessor.
    pub(crate) fn insert(&mut self, key: TableKey, entry: Entry<V>) -> Leaving<V> {
        let mut leaving = Leaving { collects: true, ..Leaving::default() };
        self.cache.insert_with_lifecycle(key, entry, &mut leaving);
        let used = self.cache.memory_used().entries;
        if self.place == 0 {
            self.place = used;
        }
        self.places = self.places.max(used / self.place.max(1));
        self.departures += leaving.iter().count();
        leaving
    }

    pub(crate) fn remove(&mut self, key: &KeyRef<'_>) -> Option<Left<V>> {
        let removed = self.cache.remove(key);
        self.departures += usize::from(removed.is_some());
        removed
    }

    pub(crate) fn remove_if(
        &mut self,
        key: &KeyRef<'_>,
        doomed: impl FnOnce(&Entry<V>) -> bool,
    ) -> Option<Left<V>> {
        let removed = self.cache.remove_if(key, doomed);
        self.departures += usize::from(removed.is_some());
        removed
    }

    /// Empties the table, keeping its capacity; what it held is in the one returned,
    /// to be dropped outside of the lock.
    pub(crate) fn empty(&mut self) -> Self {
        self.replace(Self::new(self.cache.capacity(), self.expected))
    }

    fn replace(&mut self, mut by: Self) -> Self {
        by.departures = self.departures + self.cache.len();
        std::mem::replace(self, by)
    }

    pub(crate) fn departures(&self) -> usize {
        self.departures
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&TableKey, &Entry<V>)> {
        self.cache.iter()
    }

    pub(crate) fn into_entries(mut self) -> Vec<Left<V>> {
        self.cache.drain().collect()
    }

    pub(crate) fn holds(&self) -> Holds {
        Holds {
            entries: self.cache.len() as u64,
            weight: self.cache.weight(),
            tables: (self.cache.memory_used().map + allocated(self.places, self.place) * self.place) as u64,
        }
    }
}

/// Returns how many places a slab has allocated that had `used` of `size` bytes in
/// use: it grows as a `Vec` does, by doubling, from four (one, if they are large).
fn allocated(used: usize, size: usize) -> usize {
    let least = if size <= 1_024 { 4 } else { 1 };
    if used == 0 { 0 } else { used.next_power_of_two().max(least) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Keep, KeyHasher, Now};

    fn entry(weight: u32) -> Entry<u64> {
        Entry::new(Some(7), Keep::default(), Now(0), weight)
    }

    fn key(hasher: &KeyHasher, id: u64) -> TableKey {
        let bytes = id.to_be_bytes();
        KeyRef::new(hasher.hash(&bytes), &bytes).to_table()
    }

    #[test]
    fn a_table_that_grows_loses_nothing() {
        let hasher = KeyHasher::default();
        let mut table = Table::new(0, 1);
        let mut held = 0_u64;
        for id in 0..10_000 {
            // The first ones are heavier than the rest.
            let weight = if id < 10 { 5_000 } else { 100 };
            if table.weight() + u64::from(weight) > heaviest(table.capacity()) {
                table.grow(table.capacity() * 3 / 2 + 16_384, weight.into());
            }
            assert!(table.insert(key(&hasher, id), entry(weight)).iter().next().is_none());
            held += u64::from(weight);
            assert_eq!((table.holds().entries, table.weight()), (id + 1, held));
        }
        assert!((70..170).contains(&table.expected), "{}", table.expected);
    }

    #[test]
    fn a_table_that_shrinks_hands_out_what_leaves() {
        let hasher = KeyHasher::default();
        let mut table = Table::new(0, 1);
        table.grow(10_000, 100);
        (0..50).for_each(|id| drop(table.insert(key(&hasher, id), entry(100))));
        let left = table.shrink(2_000);
        assert_eq!((left.len(), table.weight()), (30, 2_000));
        assert_eq!(table.shrink(0).len(), 20);
        assert_eq!(table.empty().into_entries().len(), 0);
    }

    #[test]
    fn a_table_that_grows_anew_loses_nothing_that_is_as_heavy_as_itself() {
        let hasher = KeyHasher::default();
        let mut table = Table::new(0, 1);
        table.grow(100_000, 100);
        drop(table.insert(key(&hasher, 1), entry(95_000)));
        assert!(table.shrink(95_000).is_empty());
        // Its expectation is wrong, and 97 % of this are less than the entry weighs.
        table.grow(97_000, 100);
        assert_eq!((table.holds().entries, table.weight()), (1, 95_000));
    }

    #[test]
    fn what_is_enough_for_a_weight_is_the_least_that_is() {
        for weight in (0..5_000).chain([740, 1 << 20, 123_456_789, u64::from(u32::MAX)]) {
            let capacity = enough_for(weight);
            assert!(heaviest(capacity) >= weight, "{weight}: {capacity}");
            assert!(capacity == 0 || heaviest(capacity - 1) < weight, "{weight}: {capacity}");
        }
    }

    #[test]
    fn a_worn_table_that_grows_for_the_sake_of_an_entry_admits_it() {
        let hasher = KeyHasher::default();
        let mut table = Table::new(0, 1);
        table.grow(10_000, 3_000);
        drop(table.insert(key(&hasher, 1), entry(3_000)));
        for step in 0..1_000 {
            assert!(table.shrink(3_001 + step % 97).is_empty());
            let weight = 5_000 + step % 1_013;
            table.grow(enough_for(weight), weight);
            assert!(table.admits() >= weight, "{step}: {} of {weight}", table.admits());
        }
    }

    #[test]
    fn what_a_table_admits_is_stored_however_often_it_shrank_and_grew() {
        let hasher = KeyHasher::default();
        let mut table = Table::new(0, 1);
        table.grow(10_000, 3_000);
        drop(table.insert(key(&hasher, 1), entry(3_000)));
        for step in 0..1_000 {
            assert!(table.shrink(3_001 + step % 97).is_empty());
            table.grow(10_000, 3_000);
        }
        assert!(table.admits() >= 9_600, "{}", table.admits());
        let heavy = u32::try_from(table.admits()).unwrap();
        drop(table.insert(key(&hasher, 2), entry(heavy)));
        let bytes = 2_u64.to_be_bytes();
        assert!(table.peek(&KeyRef::new(hasher.hash(&bytes), &bytes)).is_some());
    }
}
