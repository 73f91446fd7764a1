//! A pool's meter: how often a connection was asked for, how long that took, and how long it
//! was held; in windows of a minute, so that a busy one is not lost in the mean.

use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use veritas_model::{Clock, Moments, Monotonic};
use veritas_statistics::Histogram;

use super::PoolReading;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);
/// Complete windows that are kept.
pub(crate) const WINDOWS: usize = 15;
/// Waits shorter than this are not waits: a free connection is handed out in less.
const WAITED: Duration = Duration::from_millis(1);

/// Measures one pool; made by [`crate::Recorder::pool`].
///
/// Cost: one uncontended mutex and a reading of the clock at each call.
pub struct PoolMeter {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started_at: Monotonic,
    window: PoolWindow,
    complete: VecDeque<PoolWindow>,
    arrivals: u64,
    abandoned: u64,
    waits: Histogram,
    held: Moments,
    in_use: u64,
}

/// What happened to a pool in one minute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoolWindow {
    /// Times that a connection was asked for.
    pub arrivals: u64,
    /// Of them, those that were not answered: a time-out, an error, a caller that went away.
    pub abandoned: u64,
    /// Of them, those that waited for a millisecond or longer.
    pub waited: u64,
    /// Seconds of all waits.
    pub wait_seconds: f64,
    /// Connections given back, and the seconds for which they were held.
    pub held: Moments,
    /// Most connections held at the same time, as far as [`PoolMeter::get`] knows.
    pub most_in_use: u64,
}

impl PoolWindow {
    /// Returns the offered load in connections (Little's law): arrivals per second times mean
    /// seconds held. `None` when none was given back.
    pub fn load(&self) -> Option<f64> {
        Some(self.arrivals_per_second() * self.held.mean()?)
    }

    /// Returns the share of the arrivals that waited, or were not answered; `None` without any.
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    pub fn waiting_share(&self) -> Option<f64> {
        (self.arrivals > 0)
            .then(|| (self.waited + self.abandoned).min(self.arrivals) as f64 / self.arrivals as f64)
    }

    /// Returns the arrivals per second.
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    pub fn arrivals_per_second(&self) -> f64 {
        self.arrivals as f64 / WINDOW.as_secs_f64()
    }
}

/// What is known of a measured pool.
#[derive(Debug, Clone)]
pub struct PoolStatistics {
    /// Its name.
    pub name: String,
    /// What its gauge says; `None` when none is registered.
    pub reading: Option<PoolReading>,
    /// Times that a connection was asked for.
    pub arrivals: u64,
    /// Of them, those that were not answered.
    pub abandoned: u64,
    /// Nanoseconds that each took until it had its connection.
    pub waits: Histogram,
    /// Connections given back, and the seconds for which they were held.
    pub held: Moments,
    /// The last complete minutes, at most 15, oldest first.
    pub windows: Vec<PoolWindow>,
}

impl PoolStatistics {
    /// Returns the minute with the largest load.
    pub fn busiest(&self) -> Option<&PoolWindow> {
        self.windows
            .iter()
            .filter(|window| window.load().is_some())
            .max_by(|left, right| left.load().unwrap_or(0.0).total_cmp(&right.load().unwrap_or(0.0)))
    }

    /// Returns the busiest minute's load as a share of what the pool may open: its saturation.
    /// Above 1 it cannot keep up. `None` when not measured, or without a gauge.
    #[expect(clippy::cast_precision_loss, reason = "connections of a pool")]
    pub fn saturation(&self) -> Option<f64> {
        let max = self.reading?.max;
        (max > 0).then_some(self.busiest()?.load()? / max as f64)
    }
}

impl PoolMeter {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            started_at: clock.monotonic(),
            window: PoolWindow::default(),
            complete: VecDeque::new(),
            arrivals: 0,
            abandoned: 0,
            waits: Histogram::default(),
            held: Moments::default(),
            in_use: 0,
        };
        Self { clock, state: Mutex::new(state) }
    }

    /// Counts one that asked for a connection and had it after `waited`.
    pub fn wait(&self, waited: Duration) {
        let mut state = self.state();
        state.arrive();
        state.answer(waited);
    }

    /// Counts one that asked for a connection and did not get it: a time-out, an error.
    pub fn abandon(&self) {
        let mut state = self.state();
        state.arrive();
        state.abandon();
    }

    /// Counts a connection that was given back after `held`.
    pub fn hold(&self, held: Duration) {
        let mut state = self.state();
        state.window.held.add(held.as_secs_f64());
        state.held.add(held.as_secs_f64());
    }

    /// Asks a pool for a connection and measures both: how long that takes, and how long the
    /// connection is held.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use veritas_database::{Recorder, RecorderOptions};
    /// # let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
    /// # async fn get() -> Result<String, ()> { Ok("a connection".to_owned()) }
    /// # async fn request(recorder: &Recorder) -> Result<(), ()> {
    /// let connection = recorder.pool("main").get(get()).await?;
    /// println!("{}", connection.len()); // It is used as what the pool gave.
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever the pool says; it counts as abandoned, as does a future that is dropped.
    pub async fn get<T, E>(
        self: Arc<Self>,
        acquire: impl Future<Output = Result<T, E>>,
    ) -> Result<Held<T>, E> {
        let asked_at = self.clock.monotonic();
        self.state().arrive();
        let mut asking = Asking { meter: Some(Arc::clone(&self)) };
        let connection = acquire.await?;
        asking.meter = None;
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.answer(now.since(asked_at));
        state.in_use += 1;
        state.window.most_in_use = state.window.most_in_use.max(state.in_use);
        drop(state);
        Ok(Held { connection, lease: Lease { meter: self, taken_at: now } })
    }

    pub(super) fn statistics(&self, name: &str, reading: Option<PoolReading>) -> PoolStatistics {
        let state = self.state();
        PoolStatistics {
            name: name.to_owned(),
            reading,
            arrivals: state.arrivals,
            abandoned: state.abandoned,
            waits: state.waits.clone(),
            held: state.held,
            windows: state.complete.iter().cloned().collect(),
        }
    }

    /// Locks the state, in the window of now.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.started_at) >= WINDOW {
            state.turn(now);
        }
        state
    }
}

impl State {
    #[cold]
    fn turn(&mut self, now: Monotonic) {
        if self.complete.len() == WINDOWS {
            self.complete.pop_front();
        }
        self.complete.push_back(std::mem::take(&mut self.window));
        self.window.most_in_use = self.in_use;
        // Minutes in which nothing happened are left out; the next begins where it would have.
        let minutes = now.since(self.started_at).as_secs() / WINDOW.as_secs();
        self.started_at =
            self.started_at.plus(WINDOW.saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX)));
    }

    fn arrive(&mut self) {
        self.window.arrivals += 1;
        self.arrivals += 1;
    }

    fn abandon(&mut self) {
        self.window.abandoned += 1;
        self.abandoned += 1;
    }

    fn answer(&mut self, waited: Duration) {
        self.window.waited += u64::from(waited >= WAITED);
        self.window.wait_seconds += waited.as_secs_f64();
        self.waits.record(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// One that waits for a connection.
struct Asking {
    meter: Option<Arc<PoolMeter>>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.state().abandon();
        }
    }
}

/// A connection that is held; used as what the pool gave.
#[derive(Debug)]
pub struct Held<T> {
    // Given back before the lease ends: the pool has it when the meter says so.
    connection: T,
    lease: Lease,
}

impl<T> Held<T> {
    /// Returns what the pool gave, which is no longer measured.
    pub fn into_inner(self) -> T {
        let Self { connection, lease } = self;
        drop(lease);
        connection
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.connection
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.connection
    }
}

#[derive(Debug)]
struct Lease {
    meter: Arc<PoolMeter>,
    taken_at: Monotonic,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = self.meter.clock.monotonic().since(self.taken_at);
        self.meter.hold(held);
        let mut state = self.meter.state();
        state.in_use = state.in_use.saturating_sub(1);
    }
}

impl std::fmt::Debug for PoolMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolMeter").finish_non_exhaustive()
    }
}
