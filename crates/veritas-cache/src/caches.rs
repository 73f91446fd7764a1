//! All caches of a process: one engine, one limit, many namespaces.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use veritas_model::{Bytes, Clock, Provenance};

use crate::{
    CacheMemory, CacheOptions, CacheStatistics, NamespaceMemory,
    statistics::Counters,
};

/// The name under which namespaces beyond the limit are counted together.
pub const OVERFLOW: &str = "(overflow)";

/// All caches of a process: one engine, one limit, many namespaces.
#[derive(Debug)]
pub struct Caches {
    #[expect(dead_code, reason = "read by the namespaces")]
    options: CacheOptions,
    #[expect(dead_code, reason = "read by the namespaces")]
    clock: Arc<dyn Clock>,
    namespaces: RwLock<BTreeMap<String, Arc<Counters>>>,
    overflowed: AtomicU64,
}

impl Caches {
    /// Makes caches that hold nothing yet.
    pub fn new(options: CacheOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, namespaces: RwLock::default(), overflowed: AtomicU64::new(0) }
    }

    /// Reads the statistics.
    pub fn statistics(&self) -> CacheStatistics {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        let rows = namespaces.iter().map(|(name, counters)| (name.clone(), counters.read())).collect();
        CacheStatistics::of(rows, self.overflowed.load(Ordering::Relaxed))
    }

    /// Zeroes the statistics; the entries stay.
    pub fn reset_statistics(&self) {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.values().for_each(|counters| counters.reset());
    }

    /// Reads what is held.
    pub fn memory(&self) -> CacheMemory {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        CacheMemory {
            entries: 0,
            bytes: Bytes::new(0),
            provenance: if namespaces.is_empty() { Provenance::Unavailable } else { Provenance::Estimated },
            error_bound: Bytes::new(0),
            namespaces: namespaces.keys().map(|name| (name.clone(), NamespaceMemory::default())).collect(),
        }
    }
}
