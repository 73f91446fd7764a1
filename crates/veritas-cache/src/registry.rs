//! The registry: which namespaces and tables there are, and what they share.

mod feeding;

pub(crate) use self::feeding::Hungry;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use crate::{
    CacheOptions, Knob, NamespaceId, NamespaceOptions, OVERFLOW, SecondTier, TuneError,
    background::Background,
    coarse::CoarseClock,
    engine::{Any, Budget, Garbage, KeyHasher, Store, shares},
    key::KeyEncoder,
    namespace::{Namespace, Settings},
    tap::{Ring, Thresholds},
};

/// For how many namespaces that are not open changes are kept.
const MOST_WAITING: usize = 1_024;

/// What the namespaces of one [`Caches`](crate::Caches) share.
pub(crate) struct Shared {
    pub(crate) options: CacheOptions,
    pub(crate) budget: Arc<Budget>,
    pub(crate) hasher: KeyHasher,
    pub(crate) background: Background,
    pub(crate) clock: CoarseClock,
    pub(crate) ring: Ring,
    registry: Mutex<Registry>,
    /// Held by whoever moves room from one namespace to another.
    feeding: Mutex<()>,
}

#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) by_name: BTreeMap<String, Open>,
    pub(crate) tiers: Vec<Arc<dyn SecondTier>>,
    /// What was tuned before its namespace was opened.
    waiting: BTreeMap<String, Vec<Knob>>,
    pub(crate) overflowed: u64,
    /// The threshold of namespaces that are opened now.
    tapped: u64,
}

/// A namespace that is open.
pub(crate) struct Open {
    pub(crate) namespace: Arc<Namespace>,
    /// A table for each type of values, since values of two types never meet.
    pub(crate) stores: Vec<Arc<dyn Any>>,
}

type Stores = Vec<Arc<dyn Any>>;

impl Registry {
    /// Returns where the keys of a name are: in its own tables; or in those of
    /// [`OVERFLOW`], behind the prefix that is returned as well.
    pub(crate) fn stores_of(&self, name: &str) -> Option<(Stores, Vec<u8>)> {
        match self.by_name.get(name) {
            Some(open) => Some((open.stores.clone(), Vec::new())),
            None => self.by_name.get(OVERFLOW).map(|open| (open.stores.clone(), overflow_prefix(name))),
        }
    }
}

/// Namespaces beyond the limit share tables, so their keys begin with the name.
pub(crate) fn overflow_prefix(name: &str) -> Vec<u8> {
    let mut prefix = KeyEncoder::new();
    prefix.text(name);
    prefix.as_bytes().to_vec()
}

impl Shared {
    pub(crate) fn new(options: CacheOptions, clock: CoarseClock) -> Self {
        Self {
            budget: Arc::new(Budget::new(options.capacity.get())),
            options,
            hasher: KeyHasher::default(),
            background: Background::new(),
            clock,
            ring: Ring::default(),
            registry: Mutex::default(),
            feeding: Mutex::default(),
        }
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a namespace and its table for values of type `V`, or returns those that are open.
    pub(crate) fn open<V: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Arc<Store<V>> {
        let mut registry = self.registry();
        // The overflow row itself does not count towards the limit.
        let named = registry.by_name.len() - usize::from(registry.overflowed > 0);
        let most = self.options.max_namespaces.get().min(NamespaceId::MOST - 1);
        let mut name = name;
        if !registry.by_name.contains_key(name) && (named >= most || name == OVERFLOW) {
            registry.overflowed += 1;
            name = OVERFLOW;
        }
        if !registry.by_name.contains_key(name) {
            let options = if name == OVERFLOW { NamespaceOptions::default() } else { options };
            self.add(&mut registry, name, options);
        }
        let by_name = &mut registry.by_name;
        let Some(open) = by_name.get_mut(name) else { unreachable!("it was added just now") };
        let of_type = |store: &Arc<dyn Any>| Arc::clone(store).as_any().downcast::<Store<V>>().ok();
        open.stores.iter().find_map(of_type).unwrap_or_else(|| {
            let (namespace, budget) = (Arc::clone(&open.namespace), Arc::clone(&self.budget));
            let store = Arc::new(Store::<V>::new(namespace, self.hasher.clone(), budget));
            open.stores.push(Arc::clone(&store) as Arc<dyn Any>);
            open.namespace.tables.fetch_add(1, Ordering::Relaxed);
            store
        })
    }

    fn add(&self, registry: &mut Registry, name: &str, options: NamespaceOptions) {
        let tuned = registry.waiting.remove(name).unwrap_or_default();
        let settings = Settings::new(options, self.options.default_ttl, self.options.capacity, &tuned);
        let limit = settings.capacity().unwrap_or(self.options.capacity).min(self.options.capacity);
        let id = NamespaceId(u32::try_from(registry.by_name.len()).unwrap_or(u32::MAX));
        let namespace = Arc::new(Namespace::new(name, id, settings, limit.get(), registry.tapped));
        registry.by_name.insert(name.to_owned(), Open { namespace, stores: Vec::new() });
        self.entitle(registry);
    }

    /// Divides the capacity among the namespaces anew.
    fn entitle(&self, registry: &Registry) {
        let namespaces: Vec<&Arc<Namespace>> =
            registry.by_name.values().map(|open| &open.namespace).collect();
        let promise_of = |namespace: &&Arc<Namespace>| {
            namespace.settings.capacity().map(|promise| promise.get().min(self.budget.total()))
        };
        let promises: Vec<Option<u64>> = namespaces.iter().map(promise_of).collect();
        for (namespace, share) in namespaces.iter().zip(shares(self.budget.total(), &promises)) {
            namespace.grants.entitle(share);
        }
    }

    /// Turns a knob of a namespace, open or not, and returns the knob that turns it back.
    pub(crate) fn tune(&self, name: &str, knob: &Knob) -> Result<Knob, TuneError> {
        knob.check()?;
        let mut registry = self.registry();
        let Some(open) = registry.by_name.get(name) else {
            return wait(&mut registry.waiting, name, knob);
        };
        let (namespace, stores) = (Arc::clone(&open.namespace), open.stores.clone());
        let was_bypassed = namespace.settings.is_bypassed();
        let inverse = namespace.settings.turn(knob);
        let limit = namespace.settings.capacity().unwrap_or(self.options.capacity);
        namespace.grants.set_limit(limit.min(self.options.capacity).get());
        self.entitle(&registry);
        drop(registry);
        let now = self.clock.exact();
        if namespace.settings.is_bypassed() && !was_bypassed {
            namespace.flush();
            for store in &stores {
                store.purge(now);
            }
        }
        let mut garbage = Garbage::new();
        for store in &stores {
            let excess = namespace.grants.granted().saturating_sub(namespace.grants.limit());
            store.shrink(excess, None, now, &mut garbage);
        }
        drop(garbage);
        Ok(inverse)
    }
}

/// Keeps a change for a namespace that is not open.
fn wait(waiting: &mut BTreeMap<String, Vec<Knob>>, name: &str, knob: &Knob) -> Result<Knob, TuneError> {
    if !waiting.contains_key(name) && waiting.len() >= MOST_WAITING {
        return Err(TuneError::TooMany(MOST_WAITING));
    }
    let knobs = waiting.entry(name.to_owned()).or_default();
    let before = knobs.iter().position(|other| other.name() == knob.name());
    let inverse = before.map_or(Knob::AsConfigured(knob.name()), |index| knobs.swap_remove(index));
    if !matches!(knob, Knob::AsConfigured(_)) {
        knobs.push(*knob);
    }
    if knobs.is_empty() {
        waiting.remove(name);
    }
    Ok(inverse)
}

impl Thresholds for Shared {
    fn set(&self, number: u64, namespace: Option<NamespaceId>, threshold: u64) {
        // Whoever takes the tap sets its own threshold afterwards, and waits for us here.
        let mut registry = self.registry();
        if !self.ring.is_held_by(number) {
            return;
        }
        if namespace.is_none() {
            registry.tapped = threshold;
        }
        let chosen = registry.by_name.values().map(|open| &open.namespace);
        let chosen = chosen.filter(|other| namespace.is_none_or(|id| id == other.id));
        chosen.for_each(|namespace| namespace.tapped.store(threshold, Ordering::Relaxed));
    }

    fn ring(&self) -> &Ring {
        &self.ring
    }
}
