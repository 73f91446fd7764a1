//! The background: where refreshes run, so that no reader waits for them.
//!
//! Two threads at most, started when first needed, and a queue of at most 1024
//! jobs. A job that finds it full is refused: the caller counts that and goes on
//! with the old value.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

const MOST_THREADS: usize = 2;
const MOST_JOBS: usize = 1024;

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
        Self { queue: Arc::default(), spawn: OnceLock::new() }
    }

    /// Sets what runs futures; only the first one counts. Returns whether it was this one.
    pub(crate) fn set_spawn(&self, spawn: Arc<dyn Spawn>) -> bool {
        self.spawn.set(spawn).is_ok()
    }

    /// Returns what runs futures.
    pub(crate) fn spawn(&self) -> Option<&Arc<dyn Spawn>> {
        self.spawn.get()
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
    use std::{sync::mpsc, time::Duration};

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
