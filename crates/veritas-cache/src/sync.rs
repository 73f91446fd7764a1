//! Sync: the primitives that flights and tags are built from, named in one place,
//! so that a test can compile the same code over a scheduler that it controls.

pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread_local,
};

/// Runs a test; what stands in for this module runs it under its scheduler.
#[cfg(test)]
pub(crate) fn checked(test: impl Fn() + Send + Sync + 'static) {
    test();
}
