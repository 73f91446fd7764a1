//! One namespace, for values of one type.

mod load;

pub use load::Loaded;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use crate::{
    KeyPart,
    caches::Shared,
    engine::{ENTRY_OVERHEAD, Engine, Entry, Held, KeyRef, Leaving, StoredKey, deadline},
    key::KeyEncoder,
    namespace::Namespace,
    size::ARC_HEADER,
    statistics::Event,
};

/// One namespace, for values of one type. Clones are the same namespace.
///
/// A key is any [`KeyPart`]: an id, a text, a tuple of arguments. It is compared
/// whole. A hit clones the value, allocates nothing for keys up to 64 bytes, and
/// takes one shared lock of the engine's shard.
///
/// ```
/// use std::sync::Arc;
/// use veritas_cache::{CacheOptions, Caches};
/// use veritas_model::SystemClock;
///
/// let caches = Caches::new(CacheOptions::default(), Arc::new(SystemClock::new()));
/// let names = caches.namespace::<String>("user_names");
/// assert_eq!(names.get(&7), None);
/// names.set(&7, "Ada".to_owned());
/// assert_eq!(names.get(&7).as_deref(), Some("Ada"));
/// ```
pub struct Cache<V> {
    shared: Arc<Shared>,
    namespace: Arc<Namespace>,
    id: u32,
    prefix: Box<[u8]>,
    ttl: Duration,
    heap_size: fn(&V) -> usize,
}

/// A value, and what it counts for while it lives.
struct Slot<V> {
    namespace: Arc<Namespace>,
    bytes: u64,
    value: V,
}

impl<V: Send + Sync + 'static> Held for Slot<V> {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<V> Drop for Slot<V> {
    fn drop(&mut self) {
        self.namespace.loses(self.bytes);
    }
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        namespace: Arc<Namespace>,
        id: u32,
        prefix: Box<[u8]>,
        ttl: Duration,
        heap_size: fn(&V) -> usize,
    ) -> Self {
        Self { shared, namespace, id, prefix, ttl, heap_size }
    }

    /// Sets how long what is stored through this handle lives.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Returns the name under which it is counted.
    pub fn name(&self) -> &str {
        &self.namespace.name
    }

    /// Looks a key up. An entry whose time is over is a miss, and is removed.
    #[inline]
    pub fn get<K: KeyPart + ?Sized>(&self, key: &K) -> Option<V> {
        self.look_up(&self.key_ref(&self.encode(key)))
    }

    /// Looks up many keys; the answers are in their order. Each key is one look-up.
    pub fn get_many<K: KeyPart>(&self, keys: &[K]) -> Vec<Option<V>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Stores a value for the usual time; returns whether it was stored. A refused
    /// value (see [`Self::set_with_ttl`]) still removes what was there.
    pub fn set<K: KeyPart + ?Sized>(&self, key: &K, value: V) -> bool {
        self.set_with_ttl(key, value, self.ttl)
    }

    /// Stores a value that dies exactly `ttl` from now; returns whether it was
    /// stored. It is refused, and not counted as a set, when `ttl` is 0 or when it
    /// is heavier than the engine admits (always so with capacity 0); what was
    /// stored under the key before is removed all the same, being outdated.
    ///
    /// A load of the key that is under way will not overwrite it.
    pub fn set_with_ttl<K: KeyPart + ?Sized>(&self, key: &K, value: V, ttl: Duration) -> bool {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let (stored, left) = self.shared.flights.overrule(key, || self.store(key, value, ttl));
        drop(left);
        stored
    }

    /// Stores many values; returns how many were stored.
    pub fn set_many<K: KeyPart>(&self, entries: impl IntoIterator<Item = (K, V)>) -> usize {
        entries.into_iter().filter_map(|(key, value)| self.set(&key, value).then_some(())).count()
    }

    /// Removes a key; returns whether a live value was there. A load of the key
    /// that is under way will not be stored.
    pub fn delete<K: KeyPart + ?Sized>(&self, key: &K) -> bool {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let Some(removed) = self.shared.flights.overrule(key, || self.shared.engine.remove(&key)) else {
            return false;
        };
        let live = !(removed.may_expire() && removed.is_expired(self.shared.now()));
        self.namespace.counters.count(if live { Event::Delete } else { Event::Expiration });
        live
    }

    /// Removes many keys; returns how many were there.
    pub fn delete_many<K: KeyPart>(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| self.delete(*key)).count()
    }

    /// Removes every entry of this namespace (and type) and returns how many; loads
    /// under way will not be stored. Cost: looks at every entry of all namespaces.
    pub fn clear(&self) -> u64 {
        let doomed = |key: &StoredKey| key.namespace == self.id && key.bytes.starts_with(&self.prefix);
        self.shared.flights.overrule_all(doomed);
        let removed = self.shared.engine.remove_all(|key, _| doomed(key)).len() as u64;
        self.namespace.counters.count_n(Event::Delete, removed);
        removed
    }

    #[inline]
    fn encode<K: KeyPart + ?Sized>(&self, key: &K) -> KeyEncoder {
        let mut encoder = KeyEncoder::new();
        if !self.prefix.is_empty() {
            encoder.push(&self.prefix);
        }
        key.encode(&mut encoder);
        encoder
    }

    #[inline]
    fn key_ref<'a>(&self, encoded: &'a KeyEncoder) -> KeyRef<'a> {
        KeyRef { namespace: self.id, bytes: encoded.as_bytes() }
    }

    /// Looks a key up and counts the look-up.
    #[inline]
    fn look_up(&self, key: &KeyRef<'_>) -> Option<V> {
        let value = self.engine().get(key).and_then(|entry| self.live(key, &entry));
        self.namespace.counters.count(if value.is_some() { Event::Hit } else { Event::Miss });
        value
    }

    /// Looks a key up and counts nothing.
    fn peek(&self, key: &KeyRef<'_>) -> Option<V> {
        self.engine().peek(key).and_then(|entry| self.live(key, &entry))
    }

    #[inline]
    fn live(&self, key: &KeyRef<'_>, entry: &Entry) -> Option<V> {
        if entry.may_expire() && self.remove_if_expired(key, entry) {
            return None;
        }
        entry.held.as_any().downcast_ref::<Slot<V>>().map(|slot| slot.value.clone())
    }

    fn remove_if_expired(&self, key: &KeyRef<'_>, entry: &Entry) -> bool {
        let now = self.shared.now();
        let expired = entry.is_expired(now);
        // Of several who see it die, one removes it. A fresh value may have come since.
        if expired && self.engine().remove_expired(key, now).is_some() {
            self.namespace.counters.count(Event::Expiration);
        }
        expired
    }

    /// Stores a value; returns whether it was, and what left the engine for it:
    /// to be dropped outside of any lock.
    fn store(&self, key: KeyRef<'_>, value: V, ttl: Duration) -> (bool, (Leaving, Option<Entry>)) {
        let bytes = key.bytes.len() + ARC_HEADER + size_of::<Slot<V>>() + (self.heap_size)(&value);
        let bytes = bytes as u64;
        let weight = ENTRY_OVERHEAD.saturating_add(bytes);
        if ttl.is_zero() || !self.engine().admits(weight) {
            let outdated = self.engine().remove(&key);
            if outdated.is_some() {
                self.namespace.counters.count(Event::Eviction);
            }
            return (false, (Leaving::default(), outdated));
        }
        self.namespace.gains(bytes);
        let slot = Slot { namespace: Arc::clone(&self.namespace), bytes, value };
        let entry = Entry::new(deadline(self.shared.now(), ttl), weight, Arc::new(slot));
        let leaving = self.engine().insert(key.to_stored(), entry);
        self.namespace.counters.count(Event::Set);
        for (evicted, entry) in leaving.entries() {
            // Its own predecessor was replaced, not evicted.
            if evicted.namespace != key.namespace || *evicted.bytes != *key.bytes {
                entry.held.namespace().counters.count(Event::Eviction);
            }
        }
        (true, (leaving, None))
    }

    #[inline]
    fn engine(&self) -> &Engine {
        &self.shared.engine
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            namespace: Arc::clone(&self.namespace),
            id: self.id,
            prefix: self.prefix.clone(),
            ttl: self.ttl,
            heap_size: self.heap_size,
        }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.namespace.name)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
