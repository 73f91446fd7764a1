//! Namespaces: the name under which entries are counted and measured.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::statistics::Counters;

/// A name, its statistics, and what it holds.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) counters: Counters,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            counters: Counters::new(),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Counts a value that comes into being, `bytes` heavy with its key.
    pub(crate) fn gains(&self, bytes: u64) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a value that is dropped.
    pub(crate) fn loses(&self, bytes: u64) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns entries held, and bytes of their keys and values.
    pub(crate) fn holds(&self) -> (u64, u64) {
        (self.entries.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}
