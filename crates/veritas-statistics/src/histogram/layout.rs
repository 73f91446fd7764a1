//! Where a value is counted: pages of one octave, 64 buckets each.

/// Bits of a value that are kept below its leading one.
const PRECISION: u32 = 6;

/// Buckets of an octave.
pub(super) const BUCKETS: usize = 1 << PRECISION;

/// Pages: one for the values below 64, then one for each octave up to `u64::MAX`.
pub(super) const PAGES: usize = (u64::BITS - PRECISION) as usize + 1;

/// One bucket. The order of buckets is the order of the values in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    /// Below [`PAGES`].
    pub(super) page: usize,
    /// Below [`BUCKETS`].
    pub(super) slot: usize,
}

impl Bucket {
    /// Returns the bucket of a value.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the slot is below 64")]
    pub(super) const fn of(value: u64) -> Self {
        // The leading one of values below 64 is taken to be bit 5: page 0 holds
        // them exactly, as page 1 (64 to 127) does, in buckets one value wide.
        let leading = u64::BITS - 1 - (value | (1 << (PRECISION - 1))).leading_zeros();
        let page = leading - (PRECISION - 1);
        let shift = page.saturating_sub(1);
        Self { page: page as usize, slot: (value >> shift) as usize & (BUCKETS - 1) }
    }

    /// Returns the smallest value of the bucket.
    pub(super) const fn low(self) -> u64 {
        if self.page == 0 { self.slot as u64 } else { ((BUCKETS + self.slot) as u64) << self.shift() }
    }

    /// Returns the largest value of the bucket.
    pub(super) const fn high(self) -> u64 {
        self.low() + ((1_u64 << self.shift()) - 1)
    }

    /// Returns the value that stands for all in the bucket: none of them is
    /// further from it than 1/128 of itself.
    pub(super) const fn midpoint(self) -> u64 {
        self.low() + ((1_u64 << self.shift()) >> 1)
    }

    /// Returns the power of two of values in the bucket.
    #[expect(clippy::cast_possible_truncation, reason = "there are 59 pages")]
    const fn shift(self) -> u32 {
        (self.page as u32).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64) {
        let bucket = Bucket::of(value);
        assert!(bucket.page < PAGES && bucket.slot < BUCKETS);
        assert!(bucket.low() <= value && value <= bucket.high(), "{value} lies outside {bucket:?}");
        let error = u128::from(bucket.midpoint().abs_diff(value));
        assert!(error * 128 <= u128::from(value), "{value} is shown as {}", bucket.midpoint());
    }

    #[test]
    fn the_midpoint_is_within_one_part_in_128() {
        (0..70_000).for_each(check);
        for power in 0..64 {
            let value = 1_u64 << power;
            for near in [value - 1, value, value.saturating_add(1), value | (value >> 1), value | (value - 1)]
            {
                check(near);
            }
        }
        check(u64::MAX);
    }

    #[test]
    fn below_128_every_value_is_exact() {
        for value in 0..128 {
            let bucket = Bucket::of(value);
            assert_eq!((bucket.low(), bucket.midpoint(), bucket.high()), (value, value, value));
        }
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut next = 0_u64;
        for page in 0..PAGES {
            for slot in 0..BUCKETS {
                let bucket = Bucket { page, slot };
                assert_eq!(bucket.low(), next);
                next = bucket.high().wrapping_add(1);
            }
        }
        assert_eq!(next, 0, "the last bucket ends at u64::MAX");
    }
}
