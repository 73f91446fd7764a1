//! Stands where `src/sync.rs` stands: the same names, of shuttle.

pub(crate) use shuttle::{
    sync::{
        Condvar, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread_local,
};

/// Runs a test of those modules under some schedules.
#[cfg(test)]
pub(crate) fn checked(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, 3);
}
