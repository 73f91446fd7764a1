//! The parameters of the engine's policy: what a simulation must share with production.

/// The parameters of the engine, a modified CLOCK-PRO (`quick_cache` 0.7).
///
/// How many evicted keys are remembered rests on what an entry weighs. Production reckons with the mean
/// weight that it meets; a simulation is told it ([`Self::expecting`]), and tests hold it within a point of
/// the misses of a namespace of [`Caches`](veritas_cache::Caches) that is asked for the same keys, with
/// values of 40 to 4,096 bytes.
///
/// The default of 512 bytes is for a namespace that holds nothing yet. Beside a scan it was a point off with
/// values of 40 bytes, and two with 4,096. What is advised and proven is held against the live misses, and
/// withheld where they are further off than [`ProofOptions::most_different`](crate::ProofOptions::most_different).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The share of the capacity that is for entries that were seen again.
    pub hot_share: f64,
    /// How many evicted keys are remembered, as a share of the entries expected.
    pub ghost_share: f64,
    /// The weight that the engine expects of an entry, in the unit of the capacity.
    pub expected_weight: f64,
}

impl Policy {
    /// Every entry weighs one: capacities are numbers of entries.
    pub const ENTRIES: Self = Self { hot_share: 0.97, ghost_share: 0.5, expected_weight: 1.0 };

    /// Weights and capacities are bytes, and 512 of them are expected of an entry.
    pub const BYTES: Self = Self { hot_share: 0.97, ghost_share: 0.5, expected_weight: 512.0 };

    /// Returns the same parameters for entries of this mean weight: that of what a cache really
    /// holds. `None`, it is not known: as it is.
    #[must_use]
    pub fn expecting(self, mean_weight: Option<f64>) -> Self {
        let known = mean_weight.filter(|weight| weight.is_finite() && *weight >= 1.0);
        Self { expected_weight: known.unwrap_or(self.expected_weight), ..self }
    }

    /// Returns how much of `capacity` is for hot entries, with the engine's arithmetic.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the same arithmetic as the engine's"
    )]
    pub(crate) fn hot_target(&self, capacity: u64) -> u64 {
        ((capacity as f64 * self.hot_share) as u64).clamp(capacity.min(1), capacity)
    }

    /// Returns how many entries the engine is told to expect.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a capacity of more than 2^53 is no matter, and `as` saturates"
    )]
    pub(crate) fn expected_entries(&self, capacity: u64) -> u64 {
        ((capacity as f64 / self.expected_weight) as u64).max(32)
    }

    /// Returns how many evicted keys are remembered, with the engine's arithmetic.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the same arithmetic as the engine's"
    )]
    pub(crate) fn ghosts(&self, capacity: u64) -> u64 {
        (self.expected_entries(capacity) as f64 * self.ghost_share) as u64
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::BYTES
    }
}
