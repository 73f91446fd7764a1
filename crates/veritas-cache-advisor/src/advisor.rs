//! The advisor: from sampled accesses to findings, proposals and readings, a turn at a time.

mod activity;
mod analysis;
mod names;
pub(crate) mod options;
mod rates;
pub(crate) mod shared;
mod tracked;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use veritas_cache::{Access, Caches, NamespaceId, NamespaceReading, OVERFLOW, Tap};
use veritas_model::{Bytes, Clock, Finding, Monotonic, Proposal, Timestamp};

use self::{
    activity::Activity,
    options::AdvisorOptions,
    shared::{Kept, Shared},
    tracked::Tracked,
};
use crate::{NamespaceAdvice, Recording, proposals::budget::Budget, sample::SampleRate};

/// What one turn brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// What is wrong with the caches, and why.
    pub findings: Vec<Finding>,
    /// What could change.
    pub proposals: Vec<Proposal>,
}

/// What the advisor itself did, counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdvisorCounters {
    /// Accesses taken in.
    pub analysed: u64,
    /// Accesses that found no room to wait for a turn.
    pub dropped: u64,
    /// Namespaces that are analysed now.
    pub namespaces: u64,
    /// Namespaces that are not, since others are more active.
    pub left_out: u64,
    /// How often a namespace was given up for a more active one.
    pub given_up: u64,
    /// The time that turns took.
    pub busy: Duration,
}

/// Watches the caches of a process through a sampled stream of their accesses, and says
/// what would serve them better.
///
/// [`Self::turn`] does a bounded amount of work and is called again and again from one
/// thread. What is sampled is adapted so that all turns together take about
/// [`AdvisorOptions::share_of_core`] of one core. Memory is bounded as
/// [`AdvisorOptions`] says. Nothing here slows the caches down but the tap: an access in
/// the sample writes 32 bytes to a ring.
///
/// ```
/// use std::sync::Arc;
/// use veritas_cache::{CacheOptions, Caches};
/// use veritas_cache_advisor::{AdvisorOptions, CacheAdvisor};
/// use veritas_model::{Clock, SystemClock};
///
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
/// let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock)));
/// let advisor = CacheAdvisor::new(Arc::clone(&caches), Arc::clone(&clock), AdvisorOptions::default());
///
/// let users = caches.namespace::<u64>("users");
/// users.get(&7);
/// let advice = advisor.turn(clock.now());
/// assert!(advice.findings.is_empty(), "one look-up proves nothing");
/// assert_eq!(advisor.readings()[0].name, "users");
/// ```
pub struct CacheAdvisor {
    shared: Arc<Shared>,
    state: Mutex<State>,
    readings: Mutex<Arc<Vec<NamespaceAdvice>>>,
    counters: Mutex<AdvisorCounters>,
    functions: Mutex<Vec<Finding>>,
}

struct State {
    tap: Tap,
    buffer: Vec<Access>,
    tracked: Vec<Tracked>,
    activity: Activity,
    last_turn: Option<Monotonic>,
    /// Seconds that one access takes to analyse, in the mean of the last turns.
    seconds_per_access: f64,
    given_up: u64,
    left_out: u64,
}

impl CacheAdvisor {
    /// How long there must be room before a rate is raised: the recording starts anew then.
    const ROOM_FOR: Duration = Duration::from_mins(5);
    /// What an access is taken to cost before it was measured.
    const EXPECTED_SECONDS: f64 = 1e-6;

    /// Takes the tap of the caches; whoever held it holds it no more.
    pub fn new(caches: Arc<Caches>, clock: Arc<dyn Clock>, options: AdvisorOptions) -> Self {
        let state = State {
            tap: caches.tap(options.waiting),
            buffer: Vec::new(),
            tracked: Vec::new(),
            activity: Activity::default(),
            last_turn: None,
            seconds_per_access: Self::EXPECTED_SECONDS,
            given_up: 0,
            left_out: 0,
        };
        Self {
            shared: Arc::new(Shared::new(caches, clock, options)),
            state: Mutex::new(state),
            readings: Mutex::default(),
            counters: Mutex::default(),
            functions: Mutex::default(),
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells which functions were found to compute the same thing again and again
    /// ([`FindingKind::RepeatedComputation`](veritas_model::FindingKind::RepeatedComputation)): the next turn says
    /// what caching them would bring, the cost of the cache taken off. At most 100 are held.
    pub fn observe_functions(&self, findings: &[Finding]) {
        let most = findings.len().min(100);
        findings[..most].clone_into(&mut locked(&self.functions));
    }

    /// Takes in what was accessed since the last turn, and says what follows.
    ///
    /// Blocks for a few milliseconds at most; call it from a thread of its own, every
    /// second or every ten.
    pub fn turn(&self, now: Timestamp) -> Advice {
        let mut state = locked(&self.state);
        let began = self.shared.clock.monotonic();
        let readings = self.shared.caches.namespaces();
        let budget = Budget::of(self.shared.total(), &readings);
        let dropped = state.gather();
        self.follow(&mut state, &readings, &budget, began);
        let analysed = self.feed(&mut state, &readings, dropped, began);
        let (advice, advised) = self.analyse(&mut state, &readings, &budget, now, began);
        *locked(&self.readings) = Arc::new(advised);
        let busy = self.shared.clock.monotonic().since(began);
        state.learn(analysed, busy);
        state.last_turn = Some(began);
        let mut counters = locked(&self.counters);
        counters.analysed += analysed;
        counters.dropped += dropped;
        counters.namespaces = state.tracked.len() as u64;
        counters.left_out = state.left_out;
        counters.given_up = state.given_up;
        counters.busy = counters.busy.saturating_add(busy);
        advice
    }

    /// Returns what is known and advised of each namespace, as of the last turn; never
    /// waits for one.
    pub fn readings(&self) -> Vec<NamespaceAdvice> {
        let readings = Arc::clone(&locked(&self.readings));
        readings.as_ref().clone()
    }

    /// Returns the same, hot and big keys as text where they are held in the process: for
    /// those only who may see keys. Costs a walk over the namespace's entries for each of
    /// these keys.
    pub fn readings_with_keys(&self) -> Vec<NamespaceAdvice> {
        let mut readings = self.readings();
        for reading in &mut readings {
            let name = reading.name.clone();
            let named = |hash: &str| names::key_text(&self.shared.caches, &name, hash);
            reading.hot_keys.iter_mut().for_each(|hot| hot.key = named(&hot.hash));
            reading.big_keys.iter_mut().for_each(|big| big.key = named(&big.hash));
        }
        readings
    }

    /// Returns what the advisor itself did.
    pub fn counters(&self) -> AdvisorCounters {
        *locked(&self.counters)
    }

    /// Chooses the namespaces that are analysed, and notes how they are set.
    fn follow(&self, state: &mut State, readings: &[NamespaceReading], budget: &Budget, now: Monotonic) {
        let mut recordings = self.shared.recordings();
        let wanted = state.activity.choose(readings, &state.tracked, self.shared.options.namespaces);
        let before = state.tracked.len();
        state.tracked.retain(|tracked| wanted.contains(&tracked.id));
        state.given_up += (before - state.tracked.len()) as u64;
        recordings.retain(|name, _| state.tracked.iter().any(|tracked| tracked.name == *name));
        state.left_out = 0;
        for reading in readings.iter().filter(|reading| reading.name != OVERFLOW) {
            let capacity = budget.capacity_of(reading);
            if let Some(tracked) = state.tracked.iter_mut().find(|tracked| tracked.id == reading.id) {
                let is_news = tracked.settle(reading, capacity, budget.total, now);
                tracked.rotate(reading, self.shared.options.window, now);
                if let Some(kept) = recordings.get_mut(&tracked.name).filter(|_| is_news) {
                    kept.settings_since_ms = shared::millis(now);
                }
            } else if wanted.contains(&reading.id) {
                state.tracked.push(Tracked::new(reading, capacity, budget.total, now));
                let recording = Recording::new(self.shared.options.recorded, SampleRate::ALL);
                let kept = Kept { recording, settings_since_ms: shared::millis(now) };
                recordings.insert(reading.name.clone(), kept);
            } else {
                state.left_out += 1;
                state.tap.set_threshold(reading.id, 0);
            }
        }
    }

    /// Hands the accesses to the estimators and recordings; returns how many.
    #[expect(clippy::cast_precision_loss, reason = "counts of accesses stay below 2^53")]
    fn feed(&self, state: &mut State, readings: &[NamespaceReading], dropped: u64, now: Monotonic) -> u64 {
        let mut recordings = self.shared.recordings();
        let State { tap, buffer, tracked, last_turn, seconds_per_access, .. } = state;
        let places: HashMap<NamespaceId, usize> =
            tracked.iter().enumerate().map(|(place, tracked)| (tracked.id, place)).collect();
        for access in buffer.iter() {
            if let Some(place) = places.get(&access.namespace) {
                tracked[*place].came += 1;
            }
        }
        let elapsed = last_turn.map_or(1.0, |last| now.since(last).as_secs_f64()).clamp(0.05, 60.0);
        let affordable = elapsed * self.shared.options.share_of_core / seconds_per_access.max(1e-9);
        // What does not find room to wait is lost, whatever we could afford.
        let allowed = affordable.min(self.shared.options.waiting as f64 / 4.0);
        adapt(tracked, &mut recordings, allowed, (dropped, buffer.len() as u64), (self.shared.total(), now));
        let mut fed = 0;
        for access in buffer.iter() {
            let Some(tracked) = places.get(&access.namespace).and_then(|place| tracked.get_mut(*place))
            else {
                continue;
            };
            if tracked.allowed.takes(access.key)
                && let Some(kept) = recordings.get_mut(&tracked.name)
            {
                tracked.feed(access, kept);
                fed += 1;
            }
        }
        buffer.clear();
        for tracked in tracked.iter_mut() {
            let Some(reading) = readings.iter().find(|reading| reading.id == tracked.id) else { continue };
            tracked.fed(reading, shared::millis(now));
            let Some(kept) = recordings.get_mut(&tracked.name) else { continue };
            if let Some(mean) = tracked.entry_bytes {
                kept.recording.expect_entries(mean);
            }
            kept.recording.mark(shared::millis(now), reading.statistics.total_requests());
            self.stretch(kept);
            tap.set_threshold(tracked.id, tracked.threshold(kept));
        }
        fed
    }

    /// Lowers the rate of a recording that has gone round before it goes back far enough,
    /// as long as the sample stays large enough.
    fn stretch(&self, kept: &mut Kept) {
        let recording = &mut kept.recording;
        let Some((first, last)) = recording.span_ms() else { return };
        let goes_back = Duration::from_millis(last.saturating_sub(first));
        if recording.is_full() && goes_back < self.shared.options.record_for / 2 {
            let halved = SampleRate::of(recording.rate().share() / 2.0);
            if recording.len() / 2 >= self.shared.options.recorded / 4 {
                recording.set_rate(halved);
            }
        }
    }
}

impl State {
    /// Drains the tap, in order of time; returns how many accesses were dropped.
    fn gather(&mut self) -> u64 {
        let dropped = self.tap.drain(&mut self.buffer);
        // Each thread's accesses are in order already, and stay so.
        self.buffer.sort_by_key(|access| access.at_ms);
        dropped
    }

    /// Learns what an access costs. A clock that stands still teaches nothing.
    #[expect(clippy::cast_precision_loss, reason = "counts of accesses stay below 2^53")]
    fn learn(&mut self, analysed: u64, busy: Duration) {
        if analysed >= 256 && !busy.is_zero() {
            let cost = busy.as_secs_f64() / analysed as f64;
            self.seconds_per_access += (cost - self.seconds_per_access) / 4.0;
        }
    }
}

/// Sets what is sampled so that the next turn has about `allowed` accesses. Down at once,
/// up only after there was room for some time.
#[expect(clippy::cast_precision_loss, reason = "counts of accesses stay below 2^53")]
fn adapt(
    tracked: &mut [Tracked],
    recordings: &mut std::collections::BTreeMap<String, Kept>,
    allowed: f64,
    (dropped, drained): (u64, u64),
    (total, now): (Bytes, Monotonic),
) {
    let lost = 1.0 + dropped as f64 / drained.max(1) as f64;
    let came: u64 = tracked.iter().map(|tracked| tracked.came).sum();
    let demand: Vec<f64> =
        tracked.iter().map(|tracked| tracked.came as f64 * lost / tracked.allowed.share()).collect();
    let shares = rates::divide(&demand, allowed);
    for (tracked, share) in tracked.iter_mut().zip(shares) {
        let Some(kept) = recordings.get_mut(&tracked.name) else { continue };
        if dropped > 0 {
            // Whose accesses they were is not known: in proportion.
            let part = dropped as f64 * tracked.came as f64 / came.max(1) as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
            kept.recording.lost(part.ceil() as u64);
        }
        tracked.came = 0;
        let rate = rates::step_down(share);
        if rate < tracked.allowed {
            tracked.lower_to(rate, kept);
            tracked.room_since = None;
            if dropped > 0 {
                // There are gaps in what was recorded before the rate was right.
                kept.recording.restart();
            }
        } else if rates::may_rise(tracked.allowed, share) {
            let since = *tracked.room_since.get_or_insert(now);
            if now.since(since) >= CacheAdvisor::ROOM_FOR {
                tracked.room_since = None;
                tracked.raise_to(SampleRate::of(tracked.allowed.share() * 2.0), total, kept);
            }
        } else {
            tracked.room_since = None;
        }
    }
}

impl std::fmt::Debug for CacheAdvisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheAdvisor")
            .field("options", &self.shared.options)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
