//! Units: a ratio is a ratio and a byte is a byte until the API prints them.

/// A share between 0 and 1 (a utilization may exceed 1).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Ratio(f64);

impl Ratio {
    /// Returns `part / whole`, or `None` when `whole` is zero: a share of
    /// nothing is not known.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs 53 bits at most")]
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self(part as f64 / whole as f64))
    }

    /// Wraps a share that is already computed; `None` unless it is finite.
    pub fn new(share: f64) -> Option<Self> {
        share.is_finite().then_some(Self(share))
    }

    /// Returns the share itself, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns the share in percent, rounded to two decimals, as the published
    /// JSON gives it.
    pub fn percent(self) -> f64 {
        round2(self.0 * 100.0)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// Wraps a count of bytes.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns the count of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the size in MiB (1024-based), rounded to two decimals.
    #[expect(clippy::cast_precision_loss, reason = "two decimals of a MiB need fewer bits")]
    pub fn mebibytes(self) -> f64 {
        round2(self.0 as f64 / (1024.0 * 1024.0))
    }

    /// Returns the size in GiB (1024-based), rounded to two decimals.
    #[expect(clippy::cast_precision_loss, reason = "two decimals of a GiB need fewer bits")]
    pub fn gibibytes(self) -> f64 {
        round2(self.0 as f64 / (1024.0 * 1024.0 * 1024.0))
    }

    /// Adds, stopping at the largest count instead of wrapping.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Rounds to two decimals, the precision that the published JSON promises.
pub fn round2(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_not_known() {
        assert_eq!(Ratio::of(0, 0), None);
        assert_eq!(Ratio::of(3, 4).map(Ratio::percent), Some(75.0));
    }

    #[test]
    fn a_ratio_is_never_a_nan() {
        assert_eq!(Ratio::new(f64::NAN), None);
        assert_eq!(Ratio::new(f64::INFINITY), None);
    }

    #[test]
    fn sizes_are_1024_based() {
        assert_eq!(Bytes::new(1024 * 1024).mebibytes(), 1.0);
        assert_eq!(Bytes::new(16 * 1024 * 1024 * 1024).gibibytes(), 16.0);
    }
}
