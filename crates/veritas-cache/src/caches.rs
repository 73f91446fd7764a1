//! All caches of a process: one capacity, many namespaces.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use veritas_model::{Bytes, Clock};

use crate::{
    Access, AccessKind, Cache, CacheMemory, CacheOptions, CacheStatistics, HeapSize, KeyPage, KeyReading,
    Knob, ListError, MAX_PAGE, NamespaceOptions, NamespaceReading, SecondTier, Spawn, Tap, TierCounts,
    TuneError, Tuning,
    coarse::CoarseClock,
    key::{readable, sampling_hash},
    memory::Weighed,
    registry::{Shared, overflow_prefix},
    tap::Thresholds,
};

/// The name under which namespaces beyond the limit are counted together.
pub const OVERFLOW: &str = "(overflow)";

/// All caches of a process: one capacity, many namespaces.
///
/// Everything may be called from any thread. Nothing here blocks but for the
/// short locks of the engine's shards.
pub struct Caches {
    shared: Arc<Shared>,
}

impl Caches {
    /// Makes caches that hold nothing yet.
    pub fn new(options: CacheOptions, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared::new(options, CoarseClock::new(clock))) }
    }

    /// Opens the namespace `name` for values of type `V`, which are cloned out at
    /// each hit: put what is large behind an `Arc`.
    ///
    /// Opened twice, it is the same one. Two types under one name never see each
    /// other's values; their statistics are one row. Keep the handle: opening takes a lock.
    pub fn namespace<V: Clone + Send + Sync + HeapSize + 'static>(&self, name: &str) -> Cache<V> {
        self.namespace_with(name, NamespaceOptions::default())
    }

    /// Opens a namespace with options of its own. They count when it is first opened;
    /// of one beyond [`CacheOptions::max_namespaces`] only the time to live does.
    pub fn namespace_with<V: Clone + Send + Sync + HeapSize + 'static>(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Cache<V> {
        self.namespace_sized_with(name, options, V::heap_size)
    }

    /// Opens a namespace for values that do not implement [`HeapSize`]: `heap_size`
    /// tells how many bytes of heap a value owns beyond its `size_of`.
    pub fn namespace_sized<V: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        heap_size: fn(&V) -> usize,
    ) -> Cache<V> {
        self.namespace_sized_with(name, NamespaceOptions::default(), heap_size)
    }

    /// Opens a namespace with options of its own, for values that do not implement [`HeapSize`].
    pub fn namespace_sized_with<V: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        options: NamespaceOptions,
        heap_size: fn(&V) -> usize,
    ) -> Cache<V> {
        let ttl = options.ttl;
        let store = self.shared.open::<V>(name, options);
        let (prefix, ttl) =
            if store.namespace.name == OVERFLOW { (overflow_prefix(name), ttl) } else { (Vec::new(), None) };
        Cache::new(Arc::clone(&self.shared), store, prefix.into(), ttl, heap_size)
    }

    /// Registers a tier behind this one, so that readings tell of it.
    pub fn register_tier(&self, tier: Arc<dyn SecondTier>) {
        self.shared.registry().tiers.push(tier);
    }

    /// Returns the tiers that were registered.
    pub fn tiers(&self) -> Vec<Arc<dyn SecondTier>> {
        self.shared.registry().tiers.clone()
    }

    /// Reads the statistics. Cost: a few microseconds a namespace.
    pub fn statistics(&self) -> CacheStatistics {
        let registry = self.shared.registry();
        let rows = registry.by_name.iter().map(|(name, open)| (name.clone(), open.namespace.counters.read()));
        CacheStatistics::of(rows.collect(), registry.overflowed)
    }

    /// Zeroes the statistics; the entries stay. Those of other tiers are theirs to zero.
    pub fn reset_statistics(&self) {
        self.shared.registry().by_name.values().for_each(|open| open.namespace.counters.reset());
    }

    /// Reads what is held. Cost: a short lock of each shard.
    pub fn memory(&self) -> CacheMemory {
        let registry = self.shared.registry();
        let rows = registry.by_name.iter().map(|(name, open)| (name.clone(), Weighed::of(&open.stores)));
        CacheMemory::of(rows.collect())
    }

    /// Reads all that is known of each namespace, by name.
    pub fn namespaces(&self) -> Vec<NamespaceReading> {
        let registry = self.shared.registry();
        let tiers = registry.tiers.clone();
        let open: Vec<_> = registry
            .by_name
            .values()
            .map(|open| (Arc::clone(&open.namespace), Weighed::of(&open.stores)))
            .collect();
        drop(registry);
        let tiers: Vec<_> =
            tiers.iter().map(|tier| (tier.name().to_owned(), tier.condition(), tier.statistics())).collect();
        let readings = open.into_iter().map(|(namespace, held)| NamespaceReading {
            name: namespace.name.clone(),
            id: namespace.id,
            tuning: namespace.settings.tuning(),
            statistics: namespace.counters.read(),
            memory: held.memory(),
            granted: Bytes::new(namespace.grants.granted()),
            weight: Bytes::new(held.weight),
            load_cost: namespace.counters.load_cost(),
            hit_cost_ns: namespace.hit_cost_ns(),
            tiers: tiers
                .iter()
                .filter_map(|(name, condition, statistics)| {
                    let counts: TierCounts = *statistics.of(&namespace.name)?;
                    Some((name.clone(), condition.clone(), counts))
                })
                .collect(),
        });
        readings.collect()
    }

    /// Removes every entry whose time is over and returns how many. An expired
    /// entry is never served, but it takes up room until it is looked up, evicted
    /// or purged. What a flush or a tag has killed goes too, but is not counted here.
    /// Cost: looks at every entry; no shard is locked for more than some 8,000 of them.
    pub fn purge_expired(&self) -> u64 {
        let stores: Vec<_> =
            self.shared.registry().by_name.values().flat_map(|open| open.stores.clone()).collect();
        let now = self.shared.clock.exact();
        stores.iter().map(|store| store.purge(now)).sum()
    }

    /// Returns the options of a namespace that are in force, or `None` when it is not open.
    pub fn tuning(&self, name: &str) -> Option<Tuning> {
        self.shared.registry().by_name.get(name).map(|open| open.namespace.settings.tuning())
    }

    /// Turns a knob of a namespace and returns the knob that turns it back.
    ///
    /// A namespace that is not open yet gets it when it is opened, so that what was
    /// kept of an earlier run can be set before the application is up. One that is opened
    /// beyond [`CacheOptions::max_namespaces`] never gets it: tune [`OVERFLOW`].
    ///
    /// # Errors
    ///
    /// [`TuneError::OutOfRange`], and [`TuneError::TooMany`] when changes for 1,024 namespaces
    /// that are not open are kept already.
    pub fn tune(&self, name: &str, knob: &Knob) -> Result<Knob, TuneError> {
        self.shared.tune(name, knob)
    }

    /// Lists the keys of a namespace from `cursor` on (`None`: from the first), at
    /// most about `limit` (1 to [`MAX_PAGE`]) of them; see [`KeyPage`]. Values are shown only where
    /// [`Cache::with_preview`] registered how. Cost: looks at every entry of the namespace.
    ///
    /// # Errors
    ///
    /// [`ListError::UnknownNamespace`] and [`ListError::BadCursor`].
    pub fn keys(&self, name: &str, cursor: Option<&str>, limit: usize) -> Result<KeyPage, ListError> {
        let (mut index, mut after) = match cursor {
            None => (0, None),
            Some(cursor) => read_cursor(cursor).map(|(index, after)| (index, Some(after)))?,
        };
        let found = self.shared.registry().stores_of(name);
        let (stores, prefix) = found.ok_or(ListError::UnknownNamespace)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let now = self.shared.clock.exact();
        let mut page = KeyPage::default();
        while let Some(store) = stores.get(index) {
            let wanted = limit - page.keys.len();
            let listed = store.list(&prefix, after, wanted, now);
            let last = listed.last().map(|last| last.order);
            let full = listed.len() >= wanted;
            page.keys.extend(listed.into_iter().map(|listed| KeyReading {
                key: readable(&listed.key),
                bytes: listed.bytes,
                age: None,
                expires_in: listed.expires_in,
                preview: listed.preview,
            }));
            if full {
                page.next = last.map(|last| format!("{index:x}-{last:016x}"));
                break;
            }
            (index, after) = (index + 1, None);
        }
        Ok(page)
    }

    /// Drops a key that a peer changed, given as [`Cache::encoded_key`] returns it;
    /// returns whether a living value was there. A load of it that is under way will
    /// not be stored. It counts as an invalidation, not as a delete.
    pub fn invalidate(&self, name: &str, encoded_key: &[u8]) -> bool {
        let Some((stores, prefix)) = self.shared.registry().stores_of(name) else { return false };
        let whole = [&prefix, encoded_key].concat();
        let now = self.shared.clock.exact();
        let invalidated = stores.iter().map(|store| {
            let (was_there, garbage) = store.invalidate(&whole, now);
            drop(garbage);
            was_there
        });
        let was_there = invalidated.fold(false, |any, one| any | one);
        if let Some(store) = stores.first() {
            let (key, threshold) =
                (sampling_hash(encoded_key), store.namespace().tapped.load(Ordering::Relaxed));
            if threshold != 0 && key <= threshold {
                let (namespace, kind) = (store.namespace().id, AccessKind::Delete);
                self.shared.ring.write(&Access { namespace, key, kind, at_ms: now.millis() });
            }
        }
        was_there
    }

    /// Kills every entry of a namespace, and every load of it that is under way, in
    /// constant time: nothing is served any more, and the room is taken back when
    /// the dead are looked up, evicted or purged. Of a namespace beyond
    /// [`CacheOptions::max_namespaces`], all such namespaces are flushed together.
    pub fn flush(&self, name: &str) {
        let registry = self.shared.registry();
        let open = registry.by_name.get(name).or_else(|| registry.by_name.get(OVERFLOW));
        let Some(open) = open else { return };
        open.namespace.flush();
    }

    /// Kills every entry of a namespace that bears a tag, and every load under way
    /// that turns out to, in constant time (see [`Cache::set_tagged`]). They count as
    /// `tag_invalidated` when they are met.
    ///
    /// A namespace remembers the latest 2,048 to 4,096 tags that were invalidated.
    /// The older half of a full table is folded into one row, which stands for every tag
    /// that has none: what bears such a tag, and began before the latest of those
    /// that were folded, dies as well. So an entry may die too early, and none too late.
    pub fn invalidate_tag(&self, name: &str, tag: &str) {
        let registry = self.shared.registry();
        let open = registry.by_name.get(name).or_else(|| registry.by_name.get(OVERFLOW));
        let Some(namespace) = open.map(|open| Arc::clone(&open.namespace)) else { return };
        drop(registry);
        namespace.tags.invalidate(tag);
    }

    /// Sets what runs the futures that renew values in the background (see
    /// [`Cache::get_or_refresh_async`]); the first one counts. Returns whether it was
    /// this one.
    pub fn set_spawn(&self, spawn: Arc<dyn Spawn>) -> bool {
        self.shared.background.set_spawn(spawn)
    }

    /// Takes the tap: the stream of accesses, of which at most about `capacity` (rounded down to
    /// a power of two a thread) wait to be drained. There is one: taking it again takes it
    /// away from whoever had it, and its capacity is that of the first time.
    pub fn tap(&self, capacity: usize) -> Tap {
        Tap::new(Arc::clone(&self.shared) as Arc<dyn Thresholds>, capacity)
    }

    /// Returns what all entries together may weigh.
    pub fn capacity(&self) -> Bytes {
        self.shared.options.capacity
    }

    /// Returns how long an entry lives when nobody says otherwise.
    pub fn default_ttl(&self) -> Duration {
        self.shared.options.default_ttl
    }
}

fn read_cursor(cursor: &str) -> Result<(usize, u64), ListError> {
    let parts = cursor.split_once('-').ok_or(ListError::BadCursor)?;
    let is_ours = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_ours(parts.0) || !is_ours(parts.1) || parts.1.len() != 16 {
        return Err(ListError::BadCursor);
    }
    let index = usize::from_str_radix(parts.0, 16).map_err(|_| ListError::BadCursor)?;
    let after = u64::from_str_radix(parts.1, 16).map_err(|_| ListError::BadCursor)?;
    Ok((index, after))
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
