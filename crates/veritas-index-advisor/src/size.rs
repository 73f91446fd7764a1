//! How many bytes an index takes on disk.

use veritas_model::Bytes;

/// The size of an index that may not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeEstimate {
    /// It is hardly smaller.
    pub low: Bytes,
    /// What to expect.
    pub mean: Bytes,
    /// It is hardly larger: what budgets are kept with.
    pub high: Bytes,
}
