//! Memory: what the caches hold, in entries and in bytes.

use veritas_model::{Bytes, Provenance};

/// What one namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceMemory {
    /// Entries held; those past their time count until they are removed.
    pub entries: u64,
    /// Bytes of keys, values and the namespace's share of the engine's tables.
    pub bytes: Bytes,
}

/// What the caches hold.
///
/// The bytes are those that were asked of the allocator: each key as it is, each
/// value by its [`HeapSize`](crate::HeapSize), and the engine's tables, whose size
/// follows from how many places are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMemory {
    /// Entries held; those past their time count until they are removed.
    pub entries: u64,
    /// Bytes held.
    pub bytes: Bytes,
    /// How the figure came to be: `Estimated`, or `Unavailable` before a namespace is opened.
    pub provenance: Provenance,
    /// How far the bytes may be from what the process really gave up for them:
    /// 2 % of them, 48 bytes an entry for the allocator's rounding of its three
    /// allocations, and the uncertainty about the tables (mostly none; at most a
    /// quarter of them, when the number of entries is near a power of two). It
    /// supposes that [`HeapSize`](crate::HeapSize) tells the truth.
    pub error_bound: Bytes,
    /// Each namespace by name, sorted.
    pub namespaces: Vec<(String, NamespaceMemory)>,
}
