//! All caches of a process: one engine, one limit, many namespaces.

use std::{
    any::TypeId,
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use veritas_model::{Bytes, Clock, Monotonic, Provenance};

use crate::{
    Cache, CacheMemory, CacheOptions, CacheStatistics, HeapSize, NamespaceMemory, engine::Engine,
    flight::Flights, key::KeyEncoder, namespace::Namespace, statistics::Event,
};

/// The name under which namespaces beyond the limit are counted together.
pub const OVERFLOW: &str = "(overflow)";

/// The engine's number for namespaces beyond the limit: their keys start with their name instead.
const OVERFLOW_ID: u32 = 0;

/// What the namespaces share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) flights: Flights,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Shared {
    pub(crate) fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }
}

#[derive(Default)]
struct Registry {
    by_name: BTreeMap<String, Arc<Namespace>>,
    /// Values of two types never meet, so a name has a number per type.
    ids: HashMap<(String, TypeId), u32>,
    overflowed: u64,
}

/// All caches of a process: one engine, one limit, many namespaces.
///
/// Everything may be called from any thread. Nothing here blocks but for the
/// short locks of the engine's shards.
pub struct Caches {
    options: CacheOptions,
    shared: Arc<Shared>,
    registry: Mutex<Registry>,
}

impl Caches {
    /// Makes caches that hold nothing yet.
    pub fn new(options: CacheOptions, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { engine: Engine::new(options.capacity), flights: Flights::new(), clock };
        Self { options, shared: Arc::new(shared), registry: Mutex::default() }
    }

    /// Opens the namespace `name` for values of type `V`, which are cloned out at
    /// each hit: put what is large behind an `Arc`.
    ///
    /// Opened twice, it is the same one. Two types under one name never see each
    /// other's values; their statistics are one row. Keep the handle: opening takes a lock.
    pub fn namespace<V: Clone + Send + Sync + HeapSize + 'static>(&self, name: &str) -> Cache<V> {
        self.namespace_sized(name, V::heap_size)
    }

    /// Opens a namespace for values that do not implement [`HeapSize`]: `heap_size`
    /// tells how many bytes of heap a value owns beyond its `size_of`.
    pub fn namespace_sized<V: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        heap_size: fn(&V) -> usize,
    ) -> Cache<V> {
        let kind = TypeId::of::<V>();
        let (namespace, id) = self.register(name, kind);
        let prefix = if id == OVERFLOW_ID { overflow_prefix(name, kind) } else { Box::default() };
        Cache::new(Arc::clone(&self.shared), namespace, id, prefix, self.options.default_ttl, heap_size)
    }

    fn register(&self, name: &str, kind: TypeId) -> (Arc<Namespace>, u32) {
        let mut registry = self.locked();
        let Registry { by_name, ids, overflowed } = &mut *registry;
        // The overflow row itself does not count towards the limit.
        let named = by_name.len() - usize::from(*overflowed > 0);
        if !by_name.contains_key(name) && named >= self.options.max_namespaces.get() {
            *overflowed += 1;
            let namespace =
                by_name.entry(OVERFLOW.to_owned()).or_insert_with(|| Arc::new(Namespace::new(OVERFLOW)));
            return (Arc::clone(namespace), OVERFLOW_ID);
        }
        let namespace = by_name.entry(name.to_owned()).or_insert_with(|| Arc::new(Namespace::new(name)));
        // A program has fewer than 2^32 types times namespaces: both are bounded.
        let next = u32::try_from(ids.len() + 1).unwrap_or(OVERFLOW_ID);
        let id = *ids.entry((name.to_owned(), kind)).or_insert(next);
        (Arc::clone(namespace), id)
    }

    /// Reads the statistics. Cost: a few microseconds a namespace.
    pub fn statistics(&self) -> CacheStatistics {
        let registry = self.locked();
        let rows = registry.by_name.iter().map(|(name, space)| (name.clone(), space.counters.read()));
        CacheStatistics::of(rows.collect(), registry.overflowed)
    }

    /// Zeroes the statistics; the entries stay.
    pub fn reset_statistics(&self) {
        self.locked().by_name.values().for_each(|namespace| namespace.counters.reset());
    }

    /// Reads what is held.
    pub fn memory(&self) -> CacheMemory {
        let registry = self.locked();
        let holds: Vec<(&String, (u64, u64))> =
            registry.by_name.iter().map(|(name, namespace)| (name, namespace.holds())).collect();
        let entries: u64 = holds.iter().map(|(_, (entries, _))| entries).sum();
        let (tables, table_bound) = self.shared.engine.table_bytes();
        let bytes = tables + holds.iter().map(|(_, (_, bytes))| bytes).sum::<u64>();
        let share = |part: u64| {
            let share = u128::from(tables) * u128::from(part) / u128::from(entries.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        CacheMemory {
            entries,
            bytes: Bytes::new(bytes),
            provenance: if holds.is_empty() { Provenance::Unavailable } else { Provenance::Estimated },
            error_bound: Bytes::new(bytes / 50 + 48 * entries + table_bound),
            namespaces: holds
                .iter()
                .map(|(name, (entries, bytes))| {
                    let bytes = Bytes::new(bytes + share(*entries));
                    ((*name).clone(), NamespaceMemory { entries: *entries, bytes })
                })
                .collect(),
        }
    }

    /// Removes every entry whose time is over and returns how many. An expired
    /// entry is never served, but it takes up room until it is looked up, evicted
    /// or purged. Cost: looks at every entry.
    pub fn purge_expired(&self) -> u64 {
        let now = self.shared.now();
        let removed = self.shared.engine.remove_all(|_, entry| entry.is_expired(now));
        for entry in &removed {
            entry.held.namespace().counters.count(Event::Expiration);
        }
        removed.len() as u64
    }

    fn locked(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Namespaces beyond the limit share a number, so their keys carry the name. The
/// type is carried as a hash: should two collide, the value's type is found to
/// differ and the look-up misses.
fn overflow_prefix(name: &str, kind: TypeId) -> Box<[u8]> {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    let mut prefix = KeyEncoder::new();
    prefix.text(name);
    prefix.push(&hasher.finish().to_be_bytes());
    prefix.as_bytes().into()
}
