//! Memory: what the caches hold, in entries and in bytes.

use std::sync::Arc;

use veritas_model::{Bytes, Provenance};

use crate::engine::Any;

/// What one namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceMemory {
    /// Entries held; those past their time count until they are removed.
    pub entries: u64,
    /// Bytes of keys, values and the namespace's tables.
    pub bytes: Bytes,
    /// How far the bytes may be off: see [`CacheMemory::error_bound`].
    pub error_bound: Bytes,
}

/// What the caches hold.
///
/// The bytes are those that were asked of the allocator: what values own by their
/// [`HeapSize`](crate::HeapSize), long keys as they are, and the engine's tables,
/// whose sizes follow exactly from how many places were in use at most. Each
/// namespace has tables of its own, so its figure is its own too. (What a namespace
/// takes before it holds anything, a few KiB, is not counted.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMemory {
    /// Entries held; those past their time count until they are removed.
    pub entries: u64,
    /// Bytes held.
    pub bytes: Bytes,
    /// How the figure came to be: `Estimated`, or `Unavailable` before a namespace is opened.
    pub provenance: Provenance,
    /// How far the bytes may be from what the process really gave up for them:
    /// 2 % of them, and 32 bytes an entry for the allocator's rounding of what the
    /// value (and a long key) own. It supposes that [`HeapSize`](crate::HeapSize) tells
    /// the truth.
    pub error_bound: Bytes,
    /// Each namespace by name, sorted.
    pub namespaces: Vec<(String, NamespaceMemory)>,
}

/// What the tables of a namespace hold and weigh.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weighed {
    entries: u64,
    bytes: u64,
    pub(crate) weight: u64,
}

impl Weighed {
    pub(crate) fn of(stores: &[Arc<dyn Any>]) -> Self {
        stores.iter().fold(Self::default(), |sum, store| {
            let holds = store.holds();
            Self {
                entries: sum.entries + holds.entries,
                bytes: sum.bytes + holds.weight - holds.entries * store.overhead() + holds.tables,
                weight: sum.weight + holds.weight,
            }
        })
    }

    pub(crate) fn memory(&self) -> NamespaceMemory {
        NamespaceMemory {
            entries: self.entries,
            bytes: Bytes::new(self.bytes),
            error_bound: Bytes::new(self.bytes / 50 + 32 * self.entries),
        }
    }
}

impl CacheMemory {
    pub(crate) fn of(rows: Vec<(String, Weighed)>) -> Self {
        let provenance = if rows.is_empty() { Provenance::Unavailable } else { Provenance::Estimated };
        let sum = rows.iter().fold(Weighed::default(), |sum, (_, row)| Weighed {
            entries: sum.entries + row.entries,
            bytes: sum.bytes + row.bytes,
            weight: sum.weight + row.weight,
        });
        let total = sum.memory();
        Self {
            entries: total.entries,
            bytes: total.bytes,
            provenance,
            error_bound: total.error_bound,
            namespaces: rows.into_iter().map(|(name, row)| (name, row.memory())).collect(),
        }
    }
}
