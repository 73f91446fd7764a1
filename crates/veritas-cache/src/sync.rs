//! Sync: the primitives that flights and tags are built from, named in one place,
//! so that a test can compile the same code over a scheduler that it controls.

pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread_local,
};
