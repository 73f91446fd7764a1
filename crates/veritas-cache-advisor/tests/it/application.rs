//! An application with caches, on a clock that only moves when it works.

use std::{convert::Infallible, sync::Arc, time::Duration};

use veritas_cache::{Cache, CacheOptions, Caches, HeapSize, NamespaceOptions};
use veritas_cache_advisor::{Advice, AdvisorOptions, CacheActuator, CacheAdvisor, OwnCosts};
use veritas_model::{Bytes, Clock};
use veritas_testkit::{
    VirtualClock,
    workload::{Dice, Seed, Zipf},
};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// What a cache costs itself, in tests: the clock does not see it.
pub(crate) const OWN: OwnCosts =
    OwnCosts { hit: 100e-9, miss: 100e-9, store: 300e-9, bypassed: 50e-9, error: 0.5 };

/// A value: its bytes, and a version that its source changes.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) version: u32,
}

impl HeapSize for Value {
    fn heap_size(&self) -> usize {
        self.bytes.len()
    }
}

/// One namespace and who asks it for what.
pub(crate) struct Namespace {
    pub(crate) cache: Cache<Value>,
    pub(crate) zipf: Zipf,
    /// Bytes of a value.
    pub(crate) size: usize,
    /// What a load takes.
    pub(crate) load: Duration,
    /// How long a value stays the same at its source; `None`: for ever.
    pub(crate) changes_after: Option<Duration>,
    /// Added to the keys: another one is another working set.
    pub(crate) offset: u64,
    /// Of so many requests, this namespace gets its part.
    pub(crate) weight: u64,
}

pub(crate) struct Application {
    pub(crate) clock: VirtualClock,
    pub(crate) caches: Arc<Caches>,
    pub(crate) advisor: CacheAdvisor,
    pub(crate) actuator: CacheActuator,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) dice: Dice,
    /// Time between two requests.
    pub(crate) pause: Duration,
    /// The advice of the last turn.
    pub(crate) advice: Advice,
    next_turn: Duration,
}

pub(crate) fn options() -> AdvisorOptions {
    AdvisorOptions { own_costs: Some(OWN), ..AdvisorOptions::default() }
}

impl Application {
    pub(crate) fn new(capacity: u64, seed: u64, options: AdvisorOptions) -> Self {
        let clock = VirtualClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let budget = CacheOptions { capacity: Bytes::new(capacity), ..CacheOptions::default() };
        let caches = Arc::new(Caches::new(budget, Arc::clone(&shared)));
        let advisor = CacheAdvisor::new(Arc::clone(&caches), shared, options);
        let actuator = CacheActuator::new(&advisor);
        Self {
            next_turn: clock.monotonic().since_origin(),
            clock,
            caches,
            actuator,
            advisor,
            namespaces: Vec::new(),
            dice: Dice::new(Seed(seed)),
            pause: Duration::from_millis(2),
            advice: Advice::default(),
        }
    }

    /// Opens a namespace of values of 1000 bytes that take 5 ms to load.
    pub(crate) fn open(
        &mut self,
        name: &str,
        options: NamespaceOptions,
        keys: usize,
        exponent: f64,
    ) -> &mut Namespace {
        let cache = self.caches.namespace_with::<Value>(name, options).with_digest(|value| value.version);
        self.namespaces.push(Namespace {
            cache,
            zipf: Zipf::new(keys, exponent),
            size: 1_000,
            load: Duration::from_millis(5),
            changes_after: None,
            offset: 0,
            weight: 1,
        });
        self.namespaces.last_mut().expect("one was added")
    }

    /// Works for some time, the advisor looking on each second.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.clock.monotonic().plus(time);
        while self.clock.monotonic() < end {
            self.request();
            self.clock.advance(self.pause);
            if self.clock.monotonic().since_origin() >= self.next_turn {
                self.turn();
            }
        }
        self.turn();
    }

    pub(crate) fn turn(&mut self) {
        self.next_turn = self.clock.monotonic().since_origin() + Duration::from_secs(1);
        self.advice = self.advisor.turn(self.clock.now());
    }

    fn request(&mut self) {
        let all: u64 = self.namespaces.iter().map(|namespace| namespace.weight).sum();
        let mut point = self.dice.below(all);
        let chosen = self.namespaces.iter().find(|namespace| {
            let is_it = point < namespace.weight;
            point = point.saturating_sub(namespace.weight);
            is_it
        });
        let namespace = chosen.expect("the weights add up");
        let rank = namespace.zipf.draw(&mut self.dice) as u64;
        let (size, load, clock) = (namespace.size, namespace.load, &self.clock);
        let version = namespace.changes_after.map_or(1, |after| {
            // Each key changes at its own times.
            let into = clock.monotonic().since_origin().as_millis() + u128::from(rank % 997) * 61;
            1 + u32::try_from(into / after.as_millis()).expect("a test is short")
        });
        let loaded = namespace.cache.get_or_load(&(namespace.offset + rank), || {
            clock.advance(load);
            Ok::<_, Infallible>(Value { bytes: vec![0; size].into(), version })
        });
        assert!(loaded.is_ok());
    }
}
