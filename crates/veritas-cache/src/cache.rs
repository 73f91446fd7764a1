//! One namespace, for values of one type.

mod claim;
mod load;
mod tagged;

pub use claim::Claim;
pub use load::Loaded;

use std::{fmt, sync::Arc, sync::atomic::Ordering, time::Duration};

use crate::{
    Access, AccessKind, KeyPart,
    engine::{
        Any as _, Entry, Garbage, Inserted, Keep, KeyRef, Leaving, Left, Life, Now, ShortRef, Sought, Store,
    },
    key::{KeyEncoder, sampling_hash},
    namespace::Namespace,
    registry::{Hungry, Shared},
    statistics::Event,
};

/// One hit in so many is timed.
const HITS_A_TIMING: u64 = 4_096;

/// One namespace, for values of one type. Clones are the same namespace.
///
/// A key is any [`KeyPart`]: an id, a text, a tuple of arguments. It is compared
/// whole. A hit clones the value under the shared lock of the engine's shard, and
/// allocates nothing for keys up to 64 bytes. So a value's `Clone` must not use
/// the cache that it is in, and is best cheap: put what is large behind an `Arc`.
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
    store: Arc<Store<V>>,
    /// What its keys begin with, where it shares its table with other names.
    prefix: Box<[u8]>,
    ttl: Option<Duration>,
    heap_size: fn(&V) -> usize,
}

/// What a look-up saw.
enum Seen<V> {
    Live(V),
    Dead,
    Other,
}

/// What came of storing. To be dropped outside of any lock: what left the engine is in it.
#[must_use]
struct Stored<V> {
    kept: bool,
    leaving: Leaving<V>,
    garbage: Garbage,
}

impl<V> Stored<V> {
    fn nothing() -> Self {
        Self { kept: false, leaving: Leaving::default(), garbage: Garbage::new() }
    }
}

/// A value that is to be stored, and what there is to say of it.
struct Prepared<V> {
    /// `None`: it is too heavy.
    entry: Option<Left<V>>,
    /// Whether it has a time to live.
    lives: bool,
    cost: Duration,
    digest: u32,
    now: Now,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        store: Arc<Store<V>>,
        prefix: Box<[u8]>,
        ttl: Option<Duration>,
        heap_size: fn(&V) -> usize,
    ) -> Self {
        Self { shared, store, prefix, ttl, heap_size }
    }

    /// Sets how long what is stored through this handle lives, exactly: without
    /// jitter. A time to live that is tuned later goes before it.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Registers how the values of this namespace are shown where its keys are
    /// listed: without, values are never shown. The first registration counts; at most
    /// [`MAX_PREVIEW`](crate::MAX_PREVIEW) characters are kept of what it returns.
    #[must_use]
    pub fn with_preview(self, preview: fn(&V) -> String) -> Self {
        self.store.preview.get_or_init(|| preview);
        self
    }

    /// Registers how a value is hashed for whoever analyses how often values change;
    /// the same value must give the same hash, and never 0. The first registration counts.
    #[must_use]
    pub fn with_digest(self, digest: fn(&V) -> u32) -> Self {
        self.store.digest.get_or_init(|| digest);
        self
    }

    /// Returns the name under which it is counted.
    pub fn name(&self) -> &str {
        &self.namespace().name
    }

    /// Encodes a key: the parts alone, without the namespace, as
    /// [`Caches::invalidate`](crate::Caches::invalidate) takes them.
    pub fn encoded_key<K: KeyPart + ?Sized>(&self, key: &K) -> Vec<u8> {
        self.encode(key).as_bytes()[self.prefix.len()..].to_vec()
    }

    /// Looks a key up. An entry whose time is over is a miss, and is removed.
    #[inline]
    pub fn get<K: KeyPart + ?Sized>(&self, key: &K) -> Option<V> {
        if self.prefix.is_empty()
            && let Some(short) = key.short()
        {
            // All integers are known to have two words at most.
            if let Some(key) = ShortRef::<2>::of(short, &self.store.hasher) {
                return self.look_up(&key);
            }
            if let Some(key) = ShortRef::<3>::of(short, &self.store.hasher) {
                return self.look_up(&key);
            }
        }
        self.get_encoded(key)
    }

    /// Looks up a key that is encoded in memory. Apart, so that short keys need not carry that along.
    #[inline(never)]
    fn get_encoded<K: KeyPart + ?Sized>(&self, key: &K) -> Option<V> {
        // Encoded where it stays: moving what was just written would wait for it.
        let mut encoded = KeyEncoder::new();
        self.encode_into(key, &mut encoded);
        self.look_up(&self.key_ref(&encoded))
    }

    /// Looks up many keys; the answers are in their order. Each key is one look-up.
    pub fn get_many<K: KeyPart>(&self, keys: &[K]) -> Vec<Option<V>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Stores a value for the usual time; returns whether it was stored. A refused
    /// value (see [`Self::set_with_ttl`]) still removes what was there.
    pub fn set<K: KeyPart + ?Sized>(&self, key: &K, value: V) -> bool {
        let encoded = self.encode(key);
        let key = self.key_ref(&encoded);
        let ttl = self.namespace().settings.jittered_ttl(self.ttl, self.sampling_hash(&key));
        self.set_encoded(key, value, ttl)
    }

    /// Stores a value that dies exactly `ttl` from now; returns whether it was
    /// stored. It is refused, and not counted as a set, when `ttl` is 0, when it
    /// is heavier than there can be room for (always so with capacity 0) or than
    /// [`NamespaceOptions::max_value`](crate::NamespaceOptions::max_value), or while
    /// the namespace is bypassed; what was stored under the key before is removed all
    /// the same, being outdated.
    ///
    /// A load of the key that is under way will not overwrite it.
    pub fn set_with_ttl<K: KeyPart + ?Sized>(&self, key: &K, value: V, ttl: Duration) -> bool {
        let encoded = self.encode(key);
        self.set_encoded(self.key_ref(&encoded), value, ttl)
    }

    fn set_encoded(&self, key: KeyRef<'_>, value: V, ttl: Duration) -> bool {
        let settings = &self.namespace().settings;
        let generation = self.namespace().generation();
        let keep = Keep { ttl, stale: settings.stale(), generation, ..Keep::default() };
        self.overrule(&key, Some(value), keep)
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
        let removed = self.store.flights.overrule(key.in_flight(), || self.store.remove(&key));
        let now = self.shared.clock.exact();
        self.tap(&key, now, || AccessKind::Delete);
        let Some((_, removed)) = removed else { return false };
        self.store.count_gone(&removed, now, Some(Event::Delete));
        removed.value.is_some() && !self.store.life(&removed, now).is_dead()
    }

    /// Removes many keys; returns how many were there.
    pub fn delete_many<K: KeyPart>(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| self.delete(*key)).count()
    }

    /// Removes every entry of this namespace (and type) and returns how many living
    /// ones there were; loads under way will not be stored. Cost: drops every entry;
    /// [`Caches::flush`](crate::Caches::flush) takes constant time. Beyond
    /// [`CacheOptions::max_namespaces`](crate::CacheOptions::max_namespaces), where
    /// names share tables, all of them (of this type) are cleared.
    pub fn clear(&self) -> u64 {
        self.store.flights.overrule_all();
        self.store.clear(Event::Delete, self.shared.clock.exact())
    }

    #[inline]
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.store.namespace
    }

    #[inline]
    fn encode<K: KeyPart + ?Sized>(&self, key: &K) -> KeyEncoder {
        let mut encoder = KeyEncoder::new();
        self.encode_into(key, &mut encoder);
        encoder
    }

    #[inline]
    fn encode_into<K: KeyPart + ?Sized>(&self, key: &K, encoder: &mut KeyEncoder) {
        if !self.prefix.is_empty() {
            encoder.push(&self.prefix);
        }
        key.encode(encoder);
    }

    #[inline]
    fn key_ref<'a>(&self, encoded: &'a KeyEncoder) -> KeyRef<'a> {
        KeyRef::of(encoded, &self.store.hasher)
    }

    /// Looks a key up and counts the look-up.
    #[inline]
    fn look_up(&self, key: &impl Sought) -> Option<V> {
        let now = self.shared.clock.now();
        if self.namespace().settings.is_bypassed() {
            return key.spelled(|key| self.missed(key, now));
        }
        match self.store.read(key, |entry| self.see(entry, now)) {
            Some(Seen::Live(value)) => {
                self.hit(key, now);
                Some(value)
            }
            Some(Seen::Dead) => key.spelled(|key| {
                self.store.bury(key, now);
                self.missed(key, now)
            }),
            Some(Seen::Other) | None => key.spelled(|key| self.missed(key, now)),
        }
    }

    #[inline]
    fn see(&self, entry: &Entry<V>, now: Now) -> Seen<V> {
        match (self.store.life(entry, now), &entry.value) {
            (Life::Fresh, Some(value)) => Seen::Live(value.clone()),
            // To be served, but not to who only asks for what is there and fresh.
            (Life::Fresh | Life::Stale, _) => Seen::Other,
            _ => Seen::Dead,
        }
    }

    /// Counts a look-up that hit.
    #[inline]
    fn hit(&self, key: &impl Sought, now: Now) {
        let hits = self.namespace().counters.add(Event::Hit, 1);
        self.tap(key, now, || AccessKind::Hit);
        if hits.is_multiple_of(HITS_A_TIMING) {
            key.spelled(|key| self.time_a_hit(key));
        }
    }

    /// Counts a look-up that missed.
    #[inline(never)]
    fn missed(&self, key: &KeyRef<'_>, now: Now) -> Option<V> {
        let namespace = self.namespace();
        namespace.counters.count(Event::Miss);
        if namespace.settings.is_bypassed() {
            namespace.counters.count(Event::Bypassed);
        }
        self.tap(key, now, || AccessKind::Miss);
        None
    }

    /// Shows an access to whoever listens, if its key is among those asked for.
    #[inline]
    fn tap(&self, key: &impl Sought, now: Now, kind: impl FnOnce() -> AccessKind) {
        let threshold = self.namespace().tapped.load(Ordering::Relaxed);
        if threshold != 0 {
            let hash = key.sampling_hash(self.prefix.len());
            if hash <= threshold {
                self.show(hash, now, kind());
            }
        }
    }

    #[inline(never)]
    fn show(&self, key: u64, now: Now, kind: AccessKind) {
        let namespace = self.namespace().id;
        self.shared.ring.write(&Access { namespace, key, kind, at_ms: now.millis() });
    }

    #[inline]
    fn sampling_hash(&self, key: &KeyRef<'_>) -> u64 {
        sampling_hash(&key.bytes[self.prefix.len()..])
    }

    /// Times a look-up of a key that was just looked up.
    #[cold]
    fn time_a_hit(&self, key: &KeyRef<'_>) {
        let clock = &self.shared.clock;
        if !clock.runs_by_itself() {
            return;
        }
        let started = clock.exact();
        let read_once = clock.exact();
        let found = self.store.read(&KeyRef { hash: self.store.hasher.hash(key.bytes), ..*key }, |entry| {
            self.see(entry, read_once)
        });
        let took = clock.exact().since(read_once).saturating_sub(read_once.since(started));
        if let Some(Seen::Live(_)) = found {
            let [count, sum] = &self.namespace().timed;
            count.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Stores a value, or that there is none, instead of what any load of the key that
    /// is under way may bring; returns whether it was stored.
    fn overrule(&self, key: &KeyRef<'_>, value: Option<V>, keep: Keep) -> bool {
        let prepared = self.prepare(key, value, keep);
        let stored = self.store.flights.overrule(key.in_flight(), || self.put(key, prepared));
        stored.kept
    }

    /// Makes what is to be stored. Here, and not while it is stored, the code of the
    /// value's type is run: never under a lock of ours.
    fn prepare(&self, key: &KeyRef<'_>, value: Option<V>, keep: Keep) -> Prepared<V> {
        let now = self.shared.clock.exact();
        let heap = value.as_ref().map_or(0, self.heap_size);
        let digest = value.as_ref().and_then(|value| Some(self.store.digest.get()?(value)));
        let (cost, lives) = (keep.cost, !keep.ttl.is_zero());
        let entry = self.store.entry(key, value, keep, heap, now);
        Prepared { entry, lives, cost, digest: digest.unwrap_or(0), now }
    }

    /// Stores what was prepared. May be called under a lock: nothing is dropped.
    fn put(&self, key: &KeyRef<'_>, prepared: Prepared<V>) -> Stored<V> {
        let Prepared { entry, lives, cost, digest, now } = prepared;
        let mut outcome = Stored::nothing();
        let weight = entry.as_ref().map_or(0, |(_, entry)| entry.weight());
        let bypassed = self.namespace().settings.is_bypassed();
        match entry {
            Some(entry) if lives && !bypassed => self.insert(key, entry, now, &mut outcome),
            refused => {
                if let Some(heavy) = refused {
                    outcome.leaving.push(heavy);
                }
                self.outdate(key, now, &mut outcome);
            }
        }
        if outcome.kept {
            self.namespace().counters.count(Event::Set);
        }
        if outcome.kept || (bypassed && lives && weight > 0) {
            self.tap(key, now, || AccessKind::Store {
                weight: u32::try_from(weight).unwrap_or(u32::MAX),
                cost_us: u32::try_from(cost.as_micros()).unwrap_or(u32::MAX),
                value: digest,
            });
        }
        outcome
    }

    /// Tells the tap of what would be stored if the cache did more than watch.
    fn tap_unstored(&self, key: &KeyRef<'_>, prepared: &Prepared<V>) {
        let weight = prepared.entry.as_ref().map_or(0, |(_, entry)| entry.weight());
        if prepared.lives && weight > 0 {
            self.tap(key, prepared.now, || AccessKind::Store {
                weight: u32::try_from(weight).unwrap_or(u32::MAX),
                cost_us: u32::try_from(prepared.cost.as_micros()).unwrap_or(u32::MAX),
                value: prepared.digest,
            });
        }
    }

    /// Removes what is outdated, when nothing takes its place. May be called under a lock.
    fn put_nothing(&self, key: &KeyRef<'_>) -> Stored<V> {
        let mut outcome = Stored::nothing();
        self.outdate(key, self.shared.clock.exact(), &mut outcome);
        outcome
    }

    /// Stores an entry, making room elsewhere where it got less than its due.
    fn insert(&self, key: &KeyRef<'_>, entry: Left<V>, now: Now, outcome: &mut Stored<V>) {
        let weight = entry.1.weight();
        let feed = |refused, outcome: &mut Stored<V>| {
            let hungry = Hungry { table: &*self.store, hash: key.hash, need: weight, refused };
            self.shared.feed(hungry, &mut outcome.garbage)
        };
        let mut inserted = self.store.insert(key, entry, now);
        if let Err(refused) = inserted {
            // For what can never fit, nobody else is to leave.
            let helped = self.store.may_admit(weight) && feed(true, outcome);
            inserted = if helped { self.store.insert(key, refused, now) } else { Err(refused) };
        } else if let Ok(Inserted { hungry: true, .. }) = inserted {
            feed(false, outcome);
        }
        match inserted {
            Ok(Inserted { kept, leaving, .. }) => (outcome.kept, outcome.leaving) = (kept, leaving),
            Err(refused) => {
                outcome.leaving.push(refused);
                self.outdate(key, now, outcome);
            }
        }
    }

    /// Removes what a refused value would have replaced.
    fn outdate(&self, key: &KeyRef<'_>, now: Now, outcome: &mut Stored<V>) {
        if let Some(outdated) = self.store.remove(key) {
            self.store.count_gone(&outdated.1, now, Some(Event::Eviction));
            outcome.leaving.push(outdated);
        }
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            store: Arc::clone(&self.store),
            prefix: self.prefix.clone(),
            ttl: self.ttl,
            heap_size: self.heap_size,
        }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.store.namespace.name)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
