//! One table of values of one type, sharded, with what its grants allow.

use std::{
    any,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Budget, Entry, Keep, KeyHasher, KeyRef, Life, Now, Sought, heap_size,
    key::TableKey,
    shard::{Holds, Leaving, Left, Shard, Table, enough_for, heaviest},
};
use crate::{
    flights::{Flights, Landed},
    key::sampling_hash,
    listing::MAX_PREVIEW,
    namespace::Namespace,
    statistics::Event,
};

/// What a shard may weigh at least, where the namespace may weigh that much: so
/// values of almost that size find room however many shards there are.
const SMALLEST_PART: u64 = 1024 * 1024;

/// The steps in which grants grow: by half of what there is, within these.
const SMALLEST_STEP: u64 = 4 * 1024;
const LARGEST_STEP: u64 = 1024 * 1024;

/// How much a shard gives back under one hold of its lock.
const GIVEN_AT_ONCE: u64 = 256 * 1024;

/// How many entries are looked at under one hold of a shard's lock when all are.
const SEEN_AT_ONCE: usize = 8 * 1024;

/// One table of values of one type.
pub(crate) struct Store<V> {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) hasher: KeyHasher,
    /// The loads of its keys that are under way.
    pub(crate) flights: Arc<Flights<Landed<V>>>,
    budget: Arc<Budget>,
    shards: Box<[Shard<V>]>,
    pub(crate) preview: OnceLock<fn(&V) -> String>,
    pub(crate) digest: OnceLock<fn(&V) -> u32>,
}

/// What came of an insertion. To be dropped outside of any lock.
pub(crate) struct Inserted<V> {
    /// Whether the table did not get the room that it asked for.
    pub(crate) hungry: bool,
    /// Whether the entry is there. One that replaces a lighter one may be the first to
    /// leave for the room that it needs.
    pub(crate) kept: bool,
    pub(crate) leaving: Leaving<V>,
}

/// What left a store, to be dropped outside of any lock.
pub(crate) type Garbage = Vec<Box<dyn any::Any + Send>>;

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its place in the order of the list.
    pub(crate) order: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) bytes: u64,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) preview: Option<String>,
}

/// What can be done with a store whatever the type of its values.
pub(crate) trait Any: Send + Sync {
    fn as_any(self: Arc<Self>) -> Arc<dyn any::Any + Send + Sync>;
    fn namespace(&self) -> &Arc<Namespace>;
    /// Returns what it holds, the bytes of the shards themselves among them.
    fn holds(&self) -> Holds;
    /// Returns what an entry counts for in [`Holds::weight`] beside its heap.
    fn overhead(&self) -> u64;
    /// Removes a key, and overrules its load; returns whether a living value was
    /// there, and what was.
    fn invalidate(&self, encoded: &[u8], now: Now) -> (bool, Option<Box<dyn any::Any + Send>>);
    fn key_ref<'a>(&self, encoded: &'a [u8]) -> KeyRef<'a>;
    /// Removes what is dead, and gives back room that nothing fills; returns how many were expired.
    fn purge(&self, now: Now) -> u64;
    /// Removes everything; returns how many living entries that were. They count as `event`.
    fn clear(&self, event: Event, now: Now) -> u64;
    /// Returns what it may weigh by now.
    fn capacity(&self) -> u64;
    /// Raises what the shard of a hash may weigh, as far as that is granted: by up to `room`
    /// to its part, and in any case to what an entry of `weight` needs. Returns how much it
    /// lacks for that entry.
    fn grow(&self, hash: u64, room: u64, weight: u64) -> u64;
    /// Gives back up to `room`, but nothing of the shard of the hash `except`; returns how much it was.
    fn shrink(&self, room: u64, except: Option<u64>, now: Now, garbage: &mut Garbage) -> u64;
    /// Lists at most about `limit` living entries whose keys begin with `prefix`, after
    /// a place in the order; keys of one place are never parted.
    fn list(&self, prefix: &[u8], after: Option<u64>, limit: usize, now: Now) -> Vec<Listed>;
}

impl<V> Store<V> {
    pub(crate) fn new(namespace: Arc<Namespace>, hasher: KeyHasher, budget: Arc<Budget>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let wanted = (threads as u64 * 4).next_power_of_two().min(64);
        let affordable = (namespace.grants.limit() / SMALLEST_PART).max(1);
        // The largest power of two that is affordable.
        let shards = wanted.min(1 << affordable.ilog2());
        let shards = (0..shards).map(|_| Shard::new()).collect();
        let flights = Arc::new(Flights::new());
        Self { namespace, hasher, flights, budget, shards, preview: OnceLock::new(), digest: OnceLock::new() }
    }

    /// Returns what an entry weighs beside its heap: its place in the tables. With
    /// half as many remembered evictions as entries, each of which takes a place as
    /// well, and slabs that double as they grow, an entry really takes 1.5 to 3 places,
    /// and 8 to 17 bytes of the map.
    pub(crate) const fn overhead() -> u64 {
        const LINKS: usize = 16; // what the engine keeps beside key and entry
        (2 * (size_of::<TableKey>() + size_of::<Entry<V>>() + LINKS)) as u64
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<V> {
        &self.shards[self.place(hash)]
    }

    /// Returns which of the shards has the keys of a hash.
    #[inline]
    pub(crate) fn place(&self, hash: u64) -> usize {
        // As quick_cache does: the bits in the middle, which the maps use least.
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is asked for")]
        let index = hash.rotate_right(32) as usize;
        index & (self.shards.len() - 1)
    }

    /// Looks a key up: `look` judges the entry under the shard's lock.
    #[inline]
    pub(crate) fn read<T>(&self, key: &impl Sought, look: impl FnOnce(&Entry<V>) -> T) -> Option<T> {
        self.shard(Sought::hash(key)).read().get(key).map(look)
    }

    /// Looks a key up without telling the eviction policy.
    pub(crate) fn peek<T>(&self, key: &KeyRef<'_>, look: impl FnOnce(&Entry<V>) -> T) -> Option<T> {
        self.shard(key.hash).read().peek(key).map(look)
    }

    #[inline]
    pub(crate) fn life(&self, entry: &Entry<V>, now: Now) -> Life {
        entry.condition(now, self.namespace.generation(), &self.namespace.tags)
    }

    /// Makes the entry of a value that owns `heap` bytes, and its key; `None` when it
    /// is heavier than the namespace admits, or than anything that we can hold.
    pub(crate) fn entry(
        &self,
        key: &KeyRef<'_>,
        value: Option<V>,
        keep: Keep,
        heap: usize,
        now: Now,
    ) -> Option<(TableKey, Entry<V>)> {
        let tags = keep.tags.as_ref().map_or(0, |tags| tags.heap_size());
        let heap = (heap as u64).saturating_add((heap_size(key.bytes) + tags) as u64);
        let beside = key.bytes.len() - heap_size(key.bytes) + size_of::<V>();
        if heap.saturating_add(beside as u64) > self.namespace.settings.heaviest() {
            return None;
        }
        let weight = u32::try_from(Self::overhead().saturating_add(heap)).ok()?;
        Some((key.to_table(), Entry::new(value, keep, now, weight)))
    }

    /// Stores an entry, or gives it back when there is no room for it; what had been
    /// stored under its key stays then.
    pub(crate) fn insert(&self, key: &KeyRef<'_>, stored: Left<V>, now: Now) -> Result<Inserted<V>, Left<V>> {
        let weight = stored.1.weight();
        let mut table = self.shard(key.hash).write();
        let hungry = self.make_room(&mut table, weight);
        if weight > table.admits() {
            return Err(stored);
        }
        let leaving = table.insert(stored.0, stored.1);
        let is_own = |left: &&Left<V>| *left.0.bytes() == *key.bytes;
        let own = leaving.iter().filter(is_own).count();
        let kept = own == 0 || table.peek(key).is_some();
        drop(table);
        let mut met = 0;
        for left in leaving.iter() {
            met += usize::from(is_own(&left));
            match (is_own(&left), kept) {
                // Its own living predecessor was replaced, not evicted.
                (true, true) => self.count_gone(&left.1, now, None),
                // The entry itself, behind its predecessor if it had one.
                (true, false) if met == own => {}
                _ => self.count_gone(&left.1, now, Some(Event::Eviction)),
            }
        }
        Ok(Inserted { hungry, kept, leaving })
    }

    /// Returns whether an entry of that weight would be admitted, given all the room that
    /// one shard may have.
    pub(crate) fn may_admit(&self, weight: u64) -> bool {
        weight <= heaviest(self.most())
    }

    /// Returns the most that one shard may weigh.
    fn most(&self) -> u64 {
        let limit = self.namespace.grants.limit();
        (limit / self.shards.len() as u64).max(limit.min(SMALLEST_PART))
    }

    /// Raises what the shard may weigh so that `weight` more fits, if that is granted.
    /// Returns whether less was granted than wanted.
    fn make_room(&self, table: &mut Table<V>, weight: u64) -> bool {
        let capacity = table.capacity();
        if table.weight() + weight <= table.admits() {
            return false;
        }
        let limit = self.namespace.grants.limit();
        // Shards grow alike, but for the sake of a value that is heavy beside its part.
        let fair = limit / self.shards.len() as u64;
        let enough = enough_for(weight);
        let needed = if weight > heaviest(capacity.max(fair)) { enough } else { 0 };
        let step = (capacity / 2).clamp(SMALLEST_STEP, LARGEST_STEP).max(enough);
        let wanted = (capacity + step).min(fair).max(needed);
        if wanted <= capacity || wanted > self.most() {
            return false;
        }
        let taken = self.namespace.grants.take(&self.budget, wanted - capacity);
        if taken > 0 {
            table.grow(capacity + taken, weight);
        }
        taken < wanted - capacity
    }

    /// Removes a key and returns what was there: to be counted by the caller, and
    /// dropped outside of any lock.
    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Left<V>> {
        self.shard(key.hash).write().remove(key)
    }

    /// Removes a key if its entry is dead by now, and counts it. Of several who see
    /// it die, one removes it; a fresh value may have come since.
    #[cold]
    pub(crate) fn bury(&self, key: &KeyRef<'_>, now: Now) -> bool {
        let dead = self.shard(key.hash).write().remove_if(key, |entry| self.life(entry, now).is_dead());
        if let Some((_, entry)) = &dead {
            self.count_gone(entry, now, None);
        }
        dead.is_some()
    }

    /// Counts an entry that left: by its death, or, alive, as `otherwise` says.
    pub(crate) fn count_gone(&self, entry: &Entry<V>, now: Now, otherwise: Option<Event>) {
        let event = match self.life(entry, now) {
            Life::Fresh | Life::Stale => otherwise,
            Life::Expired => Some(Event::Expiration),
            Life::Flushed => Some(Event::Invalidation),
            Life::Untagged => Some(Event::TagInvalidated),
        };
        if let Some(event) = event {
            self.namespace.counters.count(event);
        }
    }

    /// Looks at every entry of a shard, not too many under one hold of its lock. An
    /// entry that is there all the time is seen; any entry may be seen twice.
    fn each(shard: &Shard<V>, mut look: impl FnMut(&TableKey, &Entry<V>)) {
        let (mut seen, mut departed) = (0_usize, None);
        loop {
            let table = shard.read();
            // What left since may have been in front of us, and the rest moved up.
            let back = table.departures() - departed.unwrap_or(table.departures());
            departed = Some(table.departures());
            seen = seen.saturating_sub(back);
            let (before, most) = (seen, SEEN_AT_ONCE + back);
            for (key, entry) in table.entries().skip(seen).take(most) {
                look(key, entry);
                seen += 1;
            }
            if seen < before + most {
                return;
            }
        }
    }

    /// Gives back what shards may weigh and do not, half as much again aside.
    fn give_back_idle(&self) {
        for shard in &self.shards {
            let mut table = shard.write();
            let (capacity, weight) = (table.capacity(), table.weight());
            let kept = if weight == 0 { 0 } else { weight + weight / 2 + SMALLEST_STEP };
            if kept < capacity {
                let left = table.shrink(kept);
                drop(table);
                debug_assert!(left.is_empty(), "more was kept than it weighs");
                self.namespace.grants.give(&self.budget, capacity - kept);
            }
        }
    }

    /// Takes up to `room` from the shard that has the most to give.
    fn shrink_one(&self, room: u64, except: Option<u64>) -> (u64, Vec<Left<V>>) {
        let spared = except.map(|hash| std::ptr::from_ref(self.shard(hash)));
        let candidates = self.shards.iter().filter(|shard| Some(std::ptr::from_ref(*shard)) != spared);
        // What is empty goes first.
        let fullness = |shard: &&Shard<V>| {
            let table = shard.read();
            let idle = table.capacity() - table.weight();
            (if idle >= SMALLEST_STEP { idle } else { 0 }, table.capacity())
        };
        let Some(shard) = candidates.max_by_key(fullness) else { return (0, Vec::new()) };
        let mut table = shard.write();
        let capacity = table.capacity();
        let idle = capacity - table.weight();
        let most = if idle >= SMALLEST_STEP { idle } else { GIVEN_AT_ONCE };
        let given = room.min(most).min(capacity);
        let left = table.shrink(capacity - given);
        drop(table);
        self.namespace.grants.give(&self.budget, given);
        (given, left)
    }
}

impl<V: Clone + Send + Sync + 'static> Any for Store<V> {
    fn as_any(self: Arc<Self>) -> Arc<dyn any::Any + Send + Sync> {
        self
    }

    fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    fn holds(&self) -> Holds {
        self.shards.iter().fold(Holds::default(), |sum, shard| {
            let holds = shard.read().holds();
            Holds {
                entries: sum.entries + holds.entries,
                weight: sum.weight + holds.weight,
                tables: sum.tables + holds.tables,
            }
        })
    }

    fn overhead(&self) -> u64 {
        Self::overhead()
    }

    fn key_ref<'a>(&self, encoded: &'a [u8]) -> KeyRef<'a> {
        KeyRef::new(self.hasher.hash(encoded), encoded)
    }

    fn invalidate(&self, encoded: &[u8], now: Now) -> (bool, Option<Box<dyn any::Any + Send>>) {
        let key = self.key_ref(encoded);
        let removed = self.flights.overrule(key.in_flight(), || self.remove(&key));
        let Some((key, entry)) = removed else { return (false, None) };
        self.count_gone(&entry, now, Some(Event::Invalidation));
        let was_there = entry.value.is_some() && !self.life(&entry, now).is_dead();
        (was_there, Some(Box::new((key, entry))))
    }

    fn purge(&self, now: Now) -> u64 {
        let mut expired = 0;
        for shard in &self.shards {
            let mut dead = Vec::new();
            Self::each(shard, |key, entry| {
                if self.life(entry, now).is_dead() {
                    dead.push(key.clone());
                }
            });
            for key in dead {
                let gone = shard.write().remove_if(&key.as_ref(), |entry| self.life(entry, now).is_dead());
                if let Some((_, entry)) = gone {
                    expired += u64::from(self.life(&entry, now) == Life::Expired);
                    self.count_gone(&entry, now, None);
                }
            }
        }
        self.give_back_idle();
        expired
    }

    fn clear(&self, event: Event, now: Now) -> u64 {
        let mut alive = 0;
        for shard in &self.shards {
            let mut table = shard.write();
            let emptied = table.empty();
            drop(table);
            for (_, entry) in emptied.into_entries() {
                alive += u64::from(!self.life(&entry, now).is_dead());
                self.count_gone(&entry, now, Some(event));
            }
        }
        self.give_back_idle();
        alive
    }

    fn capacity(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().capacity()).sum()
    }

    fn grow(&self, hash: u64, room: u64, weight: u64) -> u64 {
        let mut table = self.shard(hash).write();
        let capacity = table.capacity();
        let part = self.namespace.grants.limit() / self.shards.len() as u64;
        let enough = enough_for(weight);
        let wanted = part.min(capacity.saturating_add(room)).max(enough.min(self.most()));
        let taken = self.namespace.grants.take(&self.budget, wanted.saturating_sub(capacity));
        if taken > 0 {
            table.grow(capacity + taken, weight);
        }
        enough.saturating_sub(table.capacity())
    }

    fn shrink(&self, room: u64, except: Option<u64>, now: Now, garbage: &mut Garbage) -> u64 {
        let mut given = 0;
        while given < room {
            let (more, left) = self.shrink_one(room - given, except);
            if more == 0 {
                break;
            }
            for (_, entry) in &left {
                self.count_gone(entry, now, Some(Event::Eviction));
            }
            garbage.push(Box::new(left));
            given += more;
        }
        given
    }

    fn list(&self, prefix: &[u8], after: Option<u64>, limit: usize, now: Now) -> Vec<Listed> {
        let mut listed: Vec<Listed> = Vec::new();
        // Sorts, and keeps what belongs to the page, with all that is at its last place.
        let settle = |listed: &mut Vec<Listed>| {
            listed.sort_unstable_by(|one, other| (one.order, &one.key).cmp(&(other.order, &other.key)));
            listed.dedup_by(|one, other| one.key == other.key);
            if let Some(last) = listed.get(limit.saturating_sub(1)).map(|last| last.order) {
                listed.truncate(listed.partition_point(|key| key.order <= last));
            }
        };
        for shard in &self.shards {
            Self::each(shard, |key, entry| {
                let Some(bare) = key.bytes().strip_prefix(prefix) else { return };
                let order = sampling_hash(bare);
                if after.is_none_or(|after| order > after) && !self.life(entry, now).is_dead() {
                    let beside = key.bytes().len() - heap_size(key.bytes()) + size_of::<V>();
                    listed.push(Listed {
                        order,
                        key: bare.to_vec(),
                        bytes: entry.weight() - Self::overhead() + beside as u64,
                        expires_in: entry.expires_in(now),
                        preview: None,
                    });
                    if listed.len() > 4 * limit + 64 {
                        settle(&mut listed);
                    }
                }
            });
        }
        settle(&mut listed);
        if let Some(preview) = self.preview.get() {
            for key in &mut listed {
                let whole = [prefix, &key.key].concat();
                let found = self.key_ref(&whole);
                // Formatted outside of the lock: what the formatter does is not ours.
                let value = self.peek(&found, |entry| entry.value.clone()).flatten();
                key.preview = value.map(|value| preview(&value).chars().take(MAX_PREVIEW).collect());
            }
        }
        listed
    }
}
