//! Flights: one load per key at a time, and everyone else waits for it.
//!
//! Who misses first *leads*: it runs the loader. Who misses the same key
//! meanwhile *follows*: it waits for the outcome, on a condition variable or with
//! a waker, so no runtime is needed. A leader that panics or is dropped leaves
//! its followers an abandoned flight, and the first of them leads the next one.
//!
//! Two rules keep it honest:
//!
//! - **Nobody waits for itself.** A loader that asks for its own key, or for one
//!   whose load waits (through any chain of loads) for a load of its own, is told
//!   to go *alone*: it loads without storing. The chain is seen when its last
//!   link is about to be made, in [`Waits`]. Only waits that we know of are seen: a
//!   loader that spawns a task and waits for it hides the link.
//! - **A load never overwrites what is newer.** Setting, deleting or clearing a
//!   key detaches its flight: the outcome still goes to those who wait, and is
//!   not stored.

mod waits;

use std::{
    any::Any,
    cell::RefCell,
    collections::HashMap,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use self::waits::{Link, Waits};
use crate::engine::{KeyRef, StoredKey};

type Shared = Arc<dyn Any + Send + Sync>;

/// How a flight ended.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// With a value, whose type the follower knows.
    Loaded(Shared),
    /// With an error, whose type the follower may know.
    Failed(Shared),
    /// The leader panicked or was dropped.
    Abandoned,
}

enum State {
    Running { wakers: Vec<(u64, Waker)> },
    Done(Outcome),
}

/// One load of one key.
pub(crate) struct Flight {
    id: u64,
    state: Mutex<State>,
    done: Condvar,
}

impl Flight {
    fn new() -> Self {
        Self { id: next_id(), state: Mutex::new(State::Running { wakers: Vec::new() }), done: Condvar::new() }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, outcome: Outcome) {
        let before = std::mem::replace(&mut *self.locked(), State::Done(outcome));
        self.done.notify_all();
        if let State::Running { wakers } = before {
            for (_, waker) in wakers {
                waker.wake();
            }
        }
    }
}

/// What the caller is to do about a key that it missed.
pub(crate) enum Part<'a, T> {
    /// Nothing: someone stored it since.
    Found(T),
    /// Run the loader and publish its outcome.
    Lead(Lead<'a>),
    /// Wait for the outcome of someone else's load.
    Follow(Arc<Flight>),
    /// Run the loader and keep the value to itself: waiting would never end.
    Alone,
}

const SHARDS: usize = 16;

/// The loads under way.
pub(crate) struct Flights {
    shards: Box<[Shard]>,
    hasher: RandomState,
    waits: Waits,
}

#[derive(Default)]
struct Shard {
    flights: Mutex<HashMap<StoredKey, Arc<Flight>>>,
    /// Their number, so that a set need not lock when nothing is loading. It is
    /// raised before a loader starts: a set that reads 0 came before the load.
    len: AtomicUsize,
}

impl Shard {
    fn locked(&self) -> MutexGuard<'_, HashMap<StoredKey, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            waits: Waits::default(),
        }
    }

    fn shard(&self, key: KeyRef<'_>) -> &Shard {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is asked for")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.shards[hash % SHARDS]
    }

    /// Joins the flight of a key or starts one. `look_again` looks the key up once
    /// more while no flight of it can end: whoever missed just before a value was
    /// stored finds it now, so that a burst of misses is one load.
    pub(crate) fn join<T>(&self, key: &StoredKey, look_again: impl FnOnce() -> Option<T>) -> Part<'_, T> {
        let shard = self.shard(key.as_ref());
        let mut flights = shard.locked();
        if let Some(flight) = flights.get(key) {
            return if leads(|leads| leads.contains(&flight.id)) {
                Part::Alone
            } else {
                Part::Follow(Arc::clone(flight))
            };
        }
        if let Some(value) = look_again() {
            return Part::Found(value);
        }
        let flight = Arc::new(Flight::new());
        shard.len.fetch_add(1, Ordering::SeqCst);
        flights.insert(key.clone(), Arc::clone(&flight));
        Part::Lead(Lead { shard, key: key.clone(), flight, finished: false })
    }

    /// Detaches the flight of a key, if there is one, and then changes what is
    /// stored: no load that began before can be stored after.
    pub(crate) fn overrule<T>(&self, key: KeyRef<'_>, change: impl FnOnce() -> T) -> T {
        let shard = self.shard(key);
        if shard.len.load(Ordering::SeqCst) == 0 {
            return change();
        }
        let mut flights = shard.locked();
        if flights.remove(&key.to_stored()).is_some() {
            shard.len.fetch_sub(1, Ordering::SeqCst);
        }
        change()
    }

    /// Detaches every flight whose key `doomed` picks.
    pub(crate) fn overrule_all(&self, doomed: impl Fn(&StoredKey) -> bool) {
        for shard in &self.shards {
            let mut flights = shard.locked();
            let before = flights.len();
            flights.retain(|key, _| !doomed(key));
            shard.len.fetch_sub(before - flights.len(), Ordering::SeqCst);
        }
    }

    /// Waits for the outcome of a flight, blocking the thread. `None`: waiting
    /// would never end, go alone.
    pub(crate) fn wait(&self, flight: &Flight) -> Option<Outcome> {
        let _links = self.links(flight)?;
        let mut state = flight.locked();
        loop {
            if let State::Done(outcome) = &*state {
                return Some(outcome.clone());
            }
            state = flight.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the outcome of a flight without blocking. `None`: waiting would
    /// never end, go alone. To be called inside a poll of the task that waits.
    pub(crate) fn wait_async(&self, flight: Arc<Flight>) -> Option<Follow<'_>> {
        let links = self.links(&flight)?;
        Some(Follow { flight, id: next_id(), _links: links })
    }

    fn links(&self, flight: &Flight) -> Option<Vec<Link<'_>>> {
        leads(|leads| self.waits.link(leads, flight.id))
    }
}

thread_local! {
    /// The flights whose loaders are running on this thread right now, outermost
    /// first: a synchronous loader from start to end, a future's during its polls.
    static LEADS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Shows the flights that the calling thread leads; none while the thread is being torn down.
fn leads<T>(look: impl Fn(&[u64]) -> T) -> T {
    LEADS.try_with(|leads| look(&leads.borrow())).unwrap_or_else(|_| look(&[]))
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The right, and the duty, to load a key. Dropped without being published, the
/// flight is abandoned and a follower takes over.
pub(crate) struct Lead<'a> {
    shard: &'a Shard,
    key: StoredKey,
    flight: Arc<Flight>,
    finished: bool,
}

impl Lead<'_> {
    /// Runs a step of the loader; what it asks of the cache meanwhile is known to
    /// come from this flight.
    pub(crate) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                LEADS.with_borrow_mut(|leads| leads.truncate(leads.len().saturating_sub(1)));
            }
        }
        let entered = LEADS.try_with(|leads| leads.borrow_mut().push(self.flight.id));
        let _leave = entered.is_ok().then_some(Leave);
        step()
    }

    /// Ends the flight. Unless it was overruled, `store` is run first, while
    /// nothing can overrule it; what it returns is dropped outside of the lock.
    pub(crate) fn publish<T>(mut self, outcome: Outcome, store: impl FnOnce() -> T) {
        let stored = self.detach(store);
        self.finished = true;
        self.flight.finish(outcome);
        drop(stored);
    }

    /// Takes the flight off the list, unless it was taken off before.
    fn detach<T>(&self, then: impl FnOnce() -> T) -> Option<T> {
        let mut flights = self.shard.locked();
        let attached = flights.get(&self.key).is_some_and(|flight| flight.id == self.flight.id);
        attached.then(|| {
            flights.remove(&self.key);
            self.shard.len.fetch_sub(1, Ordering::SeqCst);
            then()
        })
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.detach(|| ());
            self.flight.finish(Outcome::Abandoned);
        }
    }
}

/// Waits for the outcome of a flight.
pub(crate) struct Follow<'a> {
    flight: Arc<Flight>,
    id: u64,
    _links: Vec<Link<'a>>,
}

impl Future for Follow<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut *self.flight.locked() {
            State::Done(outcome) => Poll::Ready(outcome.clone()),
            State::Running { wakers } => {
                match wakers.iter_mut().find(|(id, _)| *id == self.id) {
                    Some((_, waker)) => waker.clone_from(context.waker()),
                    None => wakers.push((self.id, context.waker().clone())),
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Follow<'_> {
    fn drop(&mut self) {
        if let State::Running { wakers } = &mut *self.flight.locked() {
            wakers.retain(|(id, _)| *id != self.id);
        }
    }
}
