//! The whole loop over real caches: a cache that is too small is found, proven, applied
//! and kept; one whose load turns is not called improved.

use std::{convert::Infallible, sync::Arc, time::Duration};

use veritas_cache::{Cache, CacheOptions, Caches, NamespaceOptions};
use veritas_cache_advisor::{AdvisorOptions, CacheActuator, CacheAdvisor, OwnCosts};
use veritas_model::{Bytes, Change, ChangeKind, ChangeState, Clock, Mode, Outcome, WorkMetric};
use veritas_optimize::{Optimizer, OptimizerOptions};
use veritas_store::MemoryControlPlane;
use veritas_testkit::{
    VirtualClock,
    workload::{Dice, Seed, Zipf},
};

const OWN: OwnCosts = OwnCosts { hit: 100e-9, miss: 100e-9, store: 300e-9, bypassed: 50e-9, error: 0.5 };

struct Application {
    clock: VirtualClock,
    control: Arc<MemoryControlPlane>,
    caches: Arc<Caches>,
    users: Cache<Arc<str>>,
    keys: Zipf,
    dice: Dice,
    advisor: CacheAdvisor,
    optimizer: Optimizer,
}

impl Application {
    fn new() -> Self {
        let clock = VirtualClock::new();
        let control = Arc::new(MemoryControlPlane::new(Arc::new(clock.clone())));
        Self::over(clock, control)
    }

    /// The process ends, and another one begins on the same ledger.
    fn restarted(self) -> Self {
        Self::over(self.clock, self.control)
    }

    fn over(clock: VirtualClock, control: Arc<MemoryControlPlane>) -> Self {
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let budget = CacheOptions { capacity: Bytes::new(32 << 20), ..CacheOptions::default() };
        let caches = Arc::new(Caches::new(budget, Arc::clone(&shared)));
        let options = AdvisorOptions { own_costs: Some(OWN), ..AdvisorOptions::default() };
        let advisor = CacheAdvisor::new(Arc::clone(&caches), Arc::clone(&shared), options);
        let optimizer = Optimizer::new(Arc::clone(&control) as _, shared, OptimizerOptions::default());
        let actuator = Arc::new(CacheActuator::new(&advisor));
        optimizer.register(Arc::clone(&actuator) as _);
        optimizer.recover().expect("memory holds it");
        for change in optimizer.changes().expect("memory holds them") {
            actuator.reinstate(change.kind, &change.plan).expect("it is one of ours");
        }
        optimizer.set_mode(ChangeKind::CacheCapacity, Mode::Automatic);
        let small = NamespaceOptions {
            ttl: Some(Duration::from_hours(10)),
            capacity: Some(Bytes::new(512 << 10)),
            ..NamespaceOptions::default()
        };
        Self {
            users: caches.namespace_with("users", small),
            keys: Zipf::new(6_000, 0.8),
            dice: Dice::new(Seed(1)),
            clock,
            control,
            caches,
            advisor,
            optimizer,
        }
    }

    /// Serves requests for a second, then lets the advisor look and the optimizer step.
    fn second(&mut self) {
        let end = self.clock.monotonic().plus(Duration::from_secs(1));
        while self.clock.monotonic() < end {
            let key = self.keys.draw(&mut self.dice) as u64;
            let clock = &self.clock;
            let loaded = self.users.get_or_load(&key, || {
                clock.advance(Duration::from_millis(5));
                Ok::<_, Infallible>(Arc::from("x".repeat(1_000)))
            });
            assert!(loaded.is_ok());
            self.clock.advance(Duration::from_millis(3));
        }
        let advice = self.advisor.turn(self.clock.now());
        self.optimizer.observe(advice.findings, advice.proposals).expect("memory holds it");
        self.optimizer.step().expect("memory holds it");
        self.optimizer.prove().expect("memory holds it");
    }

    fn until(&mut self, most_seconds: u32, is_so: impl Fn(&Change) -> bool) -> Change {
        for _ in 0..most_seconds {
            self.second();
            let changes = self.optimizer.changes().expect("memory holds them");
            if let Some(change) = changes.into_iter().find(&is_so) {
                return change;
            }
        }
        panic!("it did not come about: {:?}", self.optimizer.proposals());
    }
}

#[test]
fn a_cache_that_is_too_small_is_proven_applied_and_kept() {
    let mut application = Application::new();
    let kept = application.until(3_000, |change| change.state == ChangeState::Kept);
    assert_eq!(kept.kind, ChangeKind::CacheCapacity);
    assert_eq!(kept.predicted.metric, WorkMetric::Misses);
    let live = kept.live.expect("verification has spoken");
    assert_eq!((live.metric, live.outcome), (WorkMetric::Misses, Outcome::Improved));
    // The cache fills while it is watched, so that less is seen than was predicted.
    assert!(live.gain > 0.5 * kept.predicted.gain_interval.low, "{live:?}, predicted {:?}", kept.predicted);
    let capacity = application.caches.tuning("users").expect("it is open").capacity;
    assert!(capacity > Bytes::new(1 << 20), "{capacity:?}");
}

#[test]
fn a_load_that_turns_while_a_change_is_watched_is_not_called_improved() {
    let mut application = Application::new();
    application.until(3_000, |change| change.state == ChangeState::Verifying);
    // From now on hardly a key comes twice: every look-up misses, larger or not.
    application.keys = Zipf::new(2_000_000, 0.0);
    let settled = application.until(3_000, |change| change.state.is_settled());
    let live = settled.live.as_ref().expect("verification has spoken");
    assert_eq!((settled.state, live.outcome), (ChangeState::Reverted, Outcome::Worse), "{settled:?}");
    assert_eq!(application.caches.tuning("users").expect("it is open").capacity, Bytes::new(512 << 10));
}

#[test]
fn a_change_that_was_watched_when_the_process_ended_is_not_judged_by_caches_that_fill_anew() {
    let mut application = Application::new();
    application.until(3_000, |change| change.state == ChangeState::Verifying);
    let mut application = application.restarted();
    // Most of a larger working set is not asked for twice before the watch is over.
    application.keys = Zipf::new(60_000, 0.4);
    let settled = application.until(3_000, |change| change.state.is_settled());
    assert_eq!(settled.state, ChangeState::Kept, "{settled:?}");
    assert!(settled.reason.contains("kept unverified: the process was restarted"), "{}", settled.reason);
    assert_eq!(settled.live.map(|live| live.outcome), Some(Outcome::NotEnoughData));
    let capacity = application.caches.tuning("users").expect("it is open").capacity;
    assert!(capacity > Bytes::new(512 << 10), "{capacity:?}");
}
