//! Spatial sampling: which keys are looked at, decided by their hash alone.
//!
//! A key is in the sample when its hash is at or below a threshold. All accesses
//! of a sampled key are seen and none of the others, so that the sample is a
//! small workload with the same reuse (Waldspurger et al., "Efficient MRC
//! construction with SHARDS", FAST 2015).

mod total;

pub(crate) use total::{GROUPS, Scale, Total};

/// The share of keys that are sampled, as a threshold on 64-bit hashes.
///
/// ```
/// use veritas_cache_advisor::SampleRate;
///
/// assert!(SampleRate::ALL.takes(u64::MAX));
/// assert_eq!(SampleRate::of(0.25).share(), 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleRate(u64);

impl SampleRate {
    /// Every key.
    pub const ALL: Self = Self(u64::MAX);

    /// The share of keys to sample, held between 2⁻⁶⁴ and 1. NaN samples everything.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a product of at most 2^64, and `as` saturates"
    )]
    pub fn of(share: f64) -> Self {
        if share < 1.0 { Self((share.max(0.0) * u64::MAX as f64) as u64) } else { Self::ALL }
    }

    /// Keys whose sampling hash is at or below `threshold`.
    pub const fn at_most(threshold: u64) -> Self {
        Self(threshold)
    }

    /// Returns the highest hash in the sample: what a tap is told.
    pub const fn threshold(self) -> u64 {
        self.0
    }

    /// Returns whether a key with that hash is in the sample.
    #[inline]
    pub const fn takes(self, hash: u64) -> bool {
        hash <= self.0
    }

    /// Returns the share of all keys that is sampled, above 0 and at most 1.
    #[expect(clippy::cast_precision_loss, reason = "a share to 53 bits")]
    pub fn share(self) -> f64 {
        (self.0 as f64 + 1.0) / (u64::MAX as f64 + 1.0)
    }
}

/// Returns a hash of a numeric key that is fit for sampling: the same for ever and everywhere.
///
/// The finalizer of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): a bijection,
/// so two keys never share a hash. Not for keys that an adversary chooses.
#[inline]
pub const fn sampling_hash(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_its_share_of_the_keys() {
        for share in [0.01, 0.1, 0.5] {
            let rate = SampleRate::of(share);
            let taken = (0..100_000).filter(|key| rate.takes(sampling_hash(*key))).count();
            let expected = 100_000.0 * share;
            assert!((f64::from(u32::try_from(taken).unwrap()) - expected).abs() < 5.0 * expected.sqrt());
        }
    }

    #[test]
    fn a_lower_rate_takes_a_subset() {
        let (few, many) = (SampleRate::of(0.1), SampleRate::of(0.2));
        assert!((0..10_000).map(sampling_hash).all(|hash| !few.takes(hash) || many.takes(hash)));
    }

    #[test]
    fn shares_outside_0_to_1_are_brought_back() {
        assert_eq!(SampleRate::of(f64::NAN), SampleRate::ALL);
        assert_eq!(SampleRate::of(7.0), SampleRate::ALL);
        assert_eq!(SampleRate::of(-1.0), SampleRate::at_most(0));
    }
}
