//! Caching: an in-process cache with true statistics and measured memory.

mod caches;
mod memory;
mod options;
mod statistics;

pub use caches::{Caches, OVERFLOW};
pub use memory::{CacheMemory, NamespaceMemory};
pub use options::CacheOptions;
pub use statistics::{CacheStatistics, NamespaceStatistics};
