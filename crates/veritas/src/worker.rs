//! Workers: the engine's named threads, each doing one job at an interval,
//! restarted when the job panics, stopped at once when the engine ends.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use veritas_model::{Clock, Condition, Health, Monotonic};

/// A thread that runs a job again and again until it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker waits on between two runs.
#[derive(Debug, Default)]
struct Stop {
    state: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    stopped: bool,
    woken: bool,
}

impl Worker {
    /// Starts the thread `name`. `interval` is asked before each wait, so that it
    /// can change at run time. The first run starts at once.
    ///
    /// A job that panics is run again at its next turn; meanwhile the part
    /// `name` is degraded in `health`.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub(crate) fn start(
        name: &'static str,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
        interval: impl Fn() -> Duration + Send + 'static,
        mut job: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let signal = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name(format!("veritas-{name}")).spawn(move || {
            let mut panics = 0_u64;
            let mut has_panicked = false;
            let mut due = clock.monotonic();
            loop {
                let started = clock.monotonic();
                match catch_unwind(AssertUnwindSafe(&mut job)) {
                    // Once: from then on the part says for itself how it is.
                    Ok(()) if has_panicked => {
                        has_panicked = false;
                        health.set(name, Condition::Ready);
                    }
                    Ok(()) => {}
                    Err(_) => {
                        panics += 1;
                        has_panicked = true;
                        tracing::error!(
                            worker = name,
                            panics,
                            "a worker panicked and goes on at its next turn"
                        );
                        health.set(name, Condition::Degraded(format!("panicked {panics} times")));
                    }
                }
                let now = clock.monotonic();
                due = next_turn(due, started, now, interval());
                if signal.wait(due.since(now)) == Wake::Stop {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Makes the next run start now.
    pub(crate) fn wake(&self) {
        self.waker().wake();
    }

    /// Returns what makes the next run start now, to give to another worker.
    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.stop))
    }
}

/// Wakes a worker. Does nothing once that has ended.
#[derive(Debug)]
pub(crate) struct Waker(Arc<Stop>);

impl Waker {
    pub(crate) fn wake(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).woken = true;
        self.0.changed.notify_one();
    }
}

/// Returns when the next turn is due: one interval after the last one was, or after it
/// began when it was woken before. Turns that were missed are not made up for.
fn next_turn(due: Monotonic, started: Monotonic, now: Monotonic, interval: Duration) -> Monotonic {
    due.min(started).plus(interval).max(now)
}

#[derive(Debug, PartialEq, Eq)]
enum Wake {
    Run,
    Stop,
}

impl Stop {
    fn wait(&self, timeout: Duration) -> Wake {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| !state.stopped && !state.woken)
            .unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
        if state.stopped { Wake::Stop } else { Wake::Run }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.stop.changed.notify_one();
        let Some(thread) = self.thread.take() else { return };
        // The last owner of the engine may be one of its own workers.
        if thread.thread().id() != std::thread::current().id() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use veritas_model::SystemClock;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn start(job: impl FnMut() + Send + 'static) -> (Worker, Arc<Health>) {
        let health = Arc::new(Health::default());
        let clock = Arc::new(SystemClock::new());
        let worker =
            Worker::start("job", clock, Arc::clone(&health), || Duration::from_hours(1), job).unwrap();
        (worker, health)
    }

    #[test]
    fn a_woken_worker_runs_before_its_turn() {
        let (runs, seen) = mpsc::channel();
        let (worker, _health) = start(move || runs.send(()).unwrap());
        seen.recv_timeout(PATIENCE).unwrap();
        worker.wake();
        seen.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn a_wake_does_not_put_off_the_turns_after_it() {
        let at = |seconds| Monotonic::from_origin(Duration::from_secs(seconds));
        let interval = Duration::from_secs(5);
        // In time, late, too late for the turn after it.
        assert_eq!(next_turn(at(10), at(10), at(11), interval), at(15));
        assert_eq!(next_turn(at(10), at(12), at(13), interval), at(15));
        assert_eq!(next_turn(at(10), at(12), at(29), interval), at(29));
        // Woken again and again within one second.
        let mut due = at(15);
        for _ in 0..100 {
            due = next_turn(due, at(11), at(11), interval);
        }
        assert_eq!(due, at(16));
    }

    #[test]
    fn what_a_part_says_of_itself_after_a_panic_stays() {
        let (runs, seen) = mpsc::channel();
        let part = Arc::new(Mutex::new(None::<Arc<Health>>));
        let own = Arc::clone(&part);
        let mut run = 0;
        let (worker, health) = start(move || {
            run += 1;
            if run == 3 {
                let health = own.lock().unwrap();
                health.as_ref().unwrap().set("job", Condition::Degraded("cannot be taken back".into()));
            }
            runs.send(run).unwrap();
            assert!(run > 1, "planted");
        });
        *part.lock().unwrap() = Some(Arc::clone(&health));
        for expected in 1..=4 {
            assert_eq!(seen.recv_timeout(PATIENCE), Ok(expected));
            worker.wake();
        }
        drop(worker);
        assert!(!health.is_ready(), "{:?}", health.components());
    }

    #[test]
    fn a_panicking_job_is_run_again_and_shows() {
        let (runs, seen) = mpsc::channel();
        let mut run = 0;
        let (worker, health) = start(move || {
            run += 1;
            runs.send(run).unwrap();
            assert!(run > 1, "planted");
        });
        assert_eq!(seen.recv_timeout(PATIENCE), Ok(1));
        worker.wake();
        assert_eq!(seen.recv_timeout(PATIENCE), Ok(2));
        drop(worker);
        assert_eq!(health.components(), [("job".to_owned(), Condition::Ready)]);
    }

    #[test]
    fn a_dropped_worker_is_gone() {
        let (runs, seen) = mpsc::channel();
        let (worker, _health) = start(move || runs.send(()).unwrap());
        seen.recv_timeout(PATIENCE).unwrap();
        drop(worker);
        assert_eq!(seen.recv(), Err(mpsc::RecvError));
    }
}
