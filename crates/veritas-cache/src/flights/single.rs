//! One load of one key, and those who wait for it.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{
    super::sync::{Condvar, Mutex, MutexGuard},
    waits::{self, Links},
};

/// How a flight ended.
pub(crate) enum Outcome<T> {
    /// With what the leader hands to all.
    Loaded(Arc<T>),
    /// With an error, whose type the follower may know.
    Failed(Arc<dyn Any + Send + Sync>),
    /// The leader panicked, was dropped, or found nothing to do.
    Abandoned,
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Loaded(loaded) => Self::Loaded(Arc::clone(loaded)),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Abandoned => Self::Abandoned,
        }
    }
}

/// What had happened to a namespace when a load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Began {
    /// How many flushes.
    pub(crate) generation: u64,
    /// How many invalidations of tags.
    pub(crate) tags: u64,
}

enum State<T> {
    Running(Wakers),
    Done(Outcome<T>),
}

/// The wakers of those who wait, each at a place of its own. A place that is given
/// back is used again, so the list is as long as the most who ever waited at once.
#[derive(Default)]
struct Wakers {
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// One load of one key.
pub(crate) struct Flight<T> {
    pub(super) id: u64,
    began: Began,
    state: Mutex<State<T>>,
    done: Condvar,
}

impl<T> Flight<T> {
    pub(super) fn new(began: Began) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            began,
            state: Mutex::new(State::Running(Wakers::default())),
            done: Condvar::new(),
        }
    }

    /// Returns what had happened when the load began.
    pub(crate) fn began(&self) -> Began {
        self.began
    }

    fn locked(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn finish(&self, outcome: Outcome<T>) {
        let before = std::mem::replace(&mut *self.locked(), State::Done(outcome));
        self.done.notify_all();
        if let State::Running(wakers) = before {
            wakers.places.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Waits for the outcome, blocking the thread. `None`: waiting would never
    /// end, go alone.
    pub(crate) fn wait(&self) -> Option<Outcome<T>> {
        let _links = waits::link(self.id)?;
        let mut state = self.locked();
        loop {
            if let State::Done(outcome) = &*state {
                return Some(outcome.clone());
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the outcome without blocking. `None`: waiting would never end, go
    /// alone. To be called inside a poll of the task that waits.
    pub(crate) fn follow(self: Arc<Self>) -> Option<Follow<T>> {
        let links = waits::link(self.id)?;
        Some(Follow { flight: self, place: None, _links: links })
    }
}

/// Waits for the outcome of a flight.
pub(crate) struct Follow<T> {
    flight: Arc<Flight<T>>,
    place: Option<usize>,
    _links: Links,
}

impl<T> Future for Follow<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let replaced = match &mut *this.flight.locked() {
            State::Done(outcome) => return Poll::Ready(outcome.clone()),
            State::Running(wakers) => {
                let place = *this.place.get_or_insert_with(|| {
                    wakers.free.pop().unwrap_or_else(|| {
                        wakers.places.push(None);
                        wakers.places.len() - 1
                    })
                });
                wakers.places[place].replace(waker)
            }
        };
        drop(replaced);
        Poll::Pending
    }
}

impl<T> Drop for Follow<T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let waker = match &mut *self.flight.locked() {
            State::Done(_) => None,
            State::Running(wakers) => {
                wakers.free.push(place);
                wakers.places[place].take()
            }
        };
        drop(waker);
    }
}
