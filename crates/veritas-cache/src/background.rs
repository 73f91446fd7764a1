//! The background: where refreshes run, so that no reader waits for them.
//!
//! Two threads at most, started when first needed, and a queue of at most 1024
//! jobs; futures run where the application says, at most 1024 at a time. What finds
//! no room is refused: the caller counts that and goes on with the old value.
//!
//! A source that fails is not asked by every reader in turn: after a refresh that
//! failed, its key is left alone for a while. That is noted by hash in a table of
//! 256 places, so another key may be left alone with it, for 10 s at most.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::engine::Now;

const MOST_THREADS: usize = 2;
const MOST_JOBS: usize = 1024;
const MOST_FUTURES: usize = 1024;

/// Of how many keys it is known that they are to be left alone.
const MOST_LEFT_ALONE: usize = 256;

/// How long a key is left alone, in times of what its refresh took before it failed.
const LEFT_ALONE: u32 = 10;
const LEFT_ALONE_AT_LEAST: Duration = Duration::from_millis(100);
const LEFT_ALONE_AT_MOST: Duration = Duration::from_secs(10);

/// Runs futures beside those who start them: a runtime's `spawn`.
///
/// ```
/// use std::pin::Pin;
/// use veritas_cache::Spawn;
///
/// struct OnTokio(tokio::runtime::Handle);
///
/// impl Spawn for OnTokio {
///     fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
///         drop(self.0.spawn(future));
///     }
/// }
/// ```
pub trait Spawn: Send + Sync {
    /// Starts the future and returns at once. It may drop the future instead, when
    /// it is shutting down.
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// A piece of work. Dropped without being run, it gives up what it holds.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The threads, their queue, and whoever runs futures.
pub(crate) struct Background {
    queue: Arc<Queue>,
    spawn: OnceLock<Arc<dyn Spawn>>,
    futures: Arc<AtomicUsize>,
    /// Until when the keys of a hash are left alone, in nanoseconds of the clock.
    left_alone: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Background {
    pub(crate) fn new() -> Self {
        Self {
            queue: Arc::default(),
            spawn: OnceLock::new(),
            futures: Arc::default(),
            left_alone: (0..MOST_LEFT_ALONE).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets what runs futures; only the first one counts. Returns whether it was this one.
    pub(crate) fn set_spawn(&self, spawn: Arc<dyn Spawn>) -> bool {
        self.spawn.set(spawn).is_ok()
    }

    /// Returns whether there is something that runs futures.
    pub(crate) fn spawns(&self) -> bool {
        self.spawn.get().is_some()
    }

    /// Runs a future beside its caller; returns whether there was room for it. It
    /// takes up room until it is dropped.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        let Some(spawn) = self.spawn.get() else { return false };
        let Some(room) = Room::take(&self.futures) else { return false };
        spawn.spawn(Box::pin(async move {
            let _room = room;
            future.await;
        }));
        true
    }

    /// Notes at `now` that refreshing the key of a hash failed after `took`.
    pub(crate) fn hold_off(&self, hash: u64, now: Now, took: Duration) {
        let pause = took.saturating_mul(LEFT_ALONE).clamp(LEFT_ALONE_AT_LEAST, LEFT_ALONE_AT_MOST);
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        self.left_alone(hash).fetch_max(now.0.saturating_add(pause), Ordering::Relaxed);
    }

    /// Returns whether the key of a hash is to be left alone at `now`.
    pub(crate) fn holds_off(&self, hash: u64, now: Now) -> bool {
        now.0 < self.left_alone(hash).load(Ordering::Relaxed)
    }

    fn left_alone(&self, hash: u64) -> &AtomicU64 {
        &self.left_alone[(hash >> 32) as usize % MOST_LEFT_ALONE]
    }

    /// Runs a job soon, on a thread of ours; gives it back when the queue is full
    /// or no thread can be started.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let mut state = self.queue.locked();
        if state.jobs.len() >= MOST_JOBS {
            return Err(job);
        }
        if state.idle <= state.jobs.len() && state.threads < MOST_THREADS {
            let queue = Arc::clone(&self.queue);
            let named = thread::Builder::new().name("veritas-refresh".to_owned());
            if named.spawn(move || queue.work()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                return Err(job);
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }
}

/// Room for one future.
struct Room(Arc<AtomicUsize>);

impl Room {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let room = Self(Arc::clone(taken));
        // Above the limit, the room is given back at once.
        (taken.fetch_add(1, Ordering::Relaxed) < MOST_FUTURES).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Background {
    /// Lets the threads end after the job that they are at. It does not wait for
    /// them: one of them may be the one that drops this.
    fn drop(&mut self) {
        let mut state = self.queue.locked();
        state.closed = true;
        let abandoned = std::mem::take(&mut state.jobs);
        drop(state);
        drop(abandoned);
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A loader that panics has its error counted when its lead is dropped,
            // and the panic hook has told of it.
            let _panicked = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.locked();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.queue.locked();
        f.debug_struct("Background")
            .field("jobs", &state.jobs.len())
            .field("threads", &state.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let background = Background::new();
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let (begun, begins) = mpsc::channel::<()>();
        for _ in 0..MOST_THREADS {
            let (wait, begun) = (Arc::clone(&wait), begun.clone());
            let job = move || {
                begun.send(()).unwrap();
                wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            };
            assert!(background.submit(Box::new(job)).is_ok());
            begins.recv_timeout(PATIENCE).unwrap();
        }
        let (done, ends) = mpsc::channel();
        for index in 0..MOST_JOBS {
            let done = done.clone();
            assert!(background.submit(Box::new(move || done.send(index).unwrap())).is_ok());
        }
        assert!(background.submit(Box::new(|| ())).is_err());
        for _ in 0..MOST_THREADS {
            release.send(()).unwrap();
        }
        let mut ended: Vec<usize> = (0..MOST_JOBS).map(|_| ends.recv_timeout(PATIENCE).unwrap()).collect();
        ended.sort_unstable();
        assert!(ended.into_iter().eq(0..MOST_JOBS));
        assert_eq!(background.queue.locked().threads, MOST_THREADS);
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let background = Background::new();
        let (done, ends) = mpsc::channel();
        for index in 0..10 {
            let done = done.clone();
            let job = move || {
                done.send(index).unwrap();
                assert!(index % 2 == 0, "on purpose");
            };
            assert!(background.submit(Box::new(job)).is_ok());
        }
        assert_eq!((0..10).map(|_| ends.recv_timeout(PATIENCE).unwrap()).sum::<u8>(), 45);
    }

    struct Kept(Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>);

    impl Spawn for Kept {
        fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
            self.0.lock().unwrap().push(future);
        }
    }

    #[test]
    fn futures_take_up_room_until_they_are_dropped() {
        let background = Background::new();
        assert!(!background.spawn(async {}), "nothing runs them");
        let kept = Arc::new(Kept(Mutex::default()));
        assert!(background.set_spawn(Arc::clone(&kept) as Arc<dyn Spawn>));
        assert!((0..MOST_FUTURES).all(|_| background.spawn(async {})));
        assert!(!background.spawn(async {}));
        drop(kept.0.lock().unwrap().pop());
        assert!(background.spawn(async {}));
    }

    #[test]
    fn a_key_whose_refresh_failed_is_left_alone_for_a_while() {
        let background = Background::new();
        assert!(!background.holds_off(7, Now(0)));
        background.hold_off(7, Now(0), Duration::from_millis(20));
        assert!(background.holds_off(7, Now(199_999_999)));
        assert!(!background.holds_off(7, Now(200_000_000)));
        background.hold_off(7, Now(0), Duration::MAX);
        assert!(!background.holds_off(7, Now(10_000_000_000)));
    }

    #[test]
    fn it_may_be_dropped_by_its_own_thread() {
        let background = Arc::new(Background::new());
        let (send, receive) = mpsc::channel::<Arc<Background>>();
        let (done, ends) = mpsc::channel();
        let job = move || {
            drop(receive.recv_timeout(PATIENCE).unwrap());
            done.send(()).unwrap();
        };
        assert!(background.submit(Box::new(job)).is_ok());
        send.send(background).unwrap();
        ends.recv_timeout(PATIENCE).unwrap();
    }
}
