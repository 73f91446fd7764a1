//! Readings: all that is known of one namespace, at one time.

use veritas_model::{Bytes, Condition, Moments};

use crate::{NamespaceId, NamespaceMemory, NamespaceStatistics, TierCounts, Tuning};

/// All that is known of one namespace, at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceReading {
    /// Its name.
    pub name: String,
    /// Its number in the accesses that a [`Tap`](crate::Tap) gives.
    pub id: NamespaceId,
    /// The options in force.
    pub tuning: Tuning,
    /// What was asked of it and what came of it, in the process.
    pub statistics: NamespaceStatistics,
    /// What it holds in the process.
    pub memory: NamespaceMemory,
    /// How much of the common budget it was given so far: what its entries weigh is at most this.
    pub granted: Bytes,
    /// What its entries weigh together, against [`Self::granted`].
    pub weight: Bytes,
    /// The times of its loads, in seconds, since the last reset of the statistics.
    pub load_cost: Moments,
    /// What a hit costs, in nanoseconds: the mean of look-ups that were timed one by one,
    /// one in 4,096, each of a key that had just been looked up. So it is the
    /// cost with the entry in the processor's caches, a lower bound. `None` before
    /// the first, and on clocks that do not run by themselves.
    pub hit_cost_ns: Option<f64>,
    /// The second tiers that know this namespace: their name, condition and statistics.
    pub tiers: Vec<(String, Condition, TierCounts)>,
}
