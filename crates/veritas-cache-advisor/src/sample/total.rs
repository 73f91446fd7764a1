//! The sampling error of an estimate, from how much groups of keys differ.

/// How many groups the sampled keys fall into, by their hashes.
pub(crate) const GROUPS: usize = 64;

/// A total over all requests, estimated from the requests for sampled keys.
///
/// Each sampled request counts for 1 / R requests (Horvitz and Thompson, 1952), R
/// being the rate at that time. The variance of such a total over the choice of
/// keys is the sum over the sampled keys of their own totals squared, times
/// (1 − R) / R²; the squared deviations of random groups of keys estimate that sum
/// (the random-group method: Wolter, "Introduction to variance estimation").
#[derive(Debug, Clone, Copy)]
pub(crate) struct Total {
    groups: [f64; GROUPS],
    /// The same, each request weighted with √(1 − R) / R.
    deviations: [f64; GROUPS],
}

impl Total {
    pub(crate) const ZERO: Self = Self { groups: [0.0; GROUPS], deviations: [0.0; GROUPS] };

    /// A total that was counted elsewhere: by group, and weighted for its variance.
    pub(crate) const fn of(groups: &[f64; GROUPS], deviations: &[f64; GROUPS]) -> Self {
        Self { groups: *groups, deviations: *deviations }
    }

    /// Returns the group of a key.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits of the hash")]
    pub(crate) const fn group(hash: u64) -> usize {
        hash as usize % GROUPS
    }

    /// Counts a request for a key.
    #[inline]
    pub(crate) fn count(&mut self, hash: u64, scale: Scale) {
        let group = Self::group(hash);
        self.groups[group] += scale.count;
        self.deviations[group] += scale.deviation;
    }

    /// Counts so many requests for a key.
    pub(crate) fn count_many(&mut self, hash: u64, scale: Scale, requests: f64) {
        let group = Self::group(hash);
        self.groups[group] += scale.count * requests;
        self.deviations[group] += scale.deviation * requests;
    }

    pub(crate) fn estimate(&self) -> f64 {
        self.groups.iter().sum()
    }

    /// Returns the standard error of the estimate: 0 while every key is sampled.
    pub(crate) fn standard_error(&self) -> f64 {
        self.covariance(self).sqrt()
    }

    /// Returns how two estimates from the same sample vary together.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    pub(crate) fn covariance(&self, other: &Self) -> f64 {
        let groups = GROUPS as f64;
        let mean = |total: &Self| total.deviations.iter().sum::<f64>() / groups;
        let (own_mean, other_mean) = (mean(self), mean(other));
        let products: f64 = self
            .deviations
            .iter()
            .zip(&other.deviations)
            .map(|(own, other)| (own - own_mean) * (other - other_mean))
            .sum();
        products * groups / (groups - 1.0)
    }

    /// Returns the estimate corrected by what is known of another total of the same
    /// sample, and its standard error: the regression estimator of survey sampling
    /// (Cochran, "Sampling techniques", chapter 7).
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    pub(crate) fn corrected_by(&self, other: &Self, truth: f64) -> (f64, f64) {
        let (own, known) = (self.covariance(self), other.covariance(other));
        if known <= 0.0 {
            return (self.estimate(), own.sqrt());
        }
        let together = self.covariance(other);
        let slope = (together / known).clamp(0.0, 2.0);
        let left = (own - slope * (2.0 * together - slope * known)).max(0.0);
        // The slope was fitted to the same groups: that costs a degree of freedom.
        let groups = GROUPS as f64;
        let inflation = (groups - 1.0) / (groups - 2.0);
        (self.estimate() + slope * (truth - other.estimate()), (left * inflation).sqrt())
    }
}

/// What one sampled request counts for at a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    count: f64,
    deviation: f64,
}

impl Scale {
    pub(crate) const ONE: Self = Self { count: 1.0, deviation: 0.0 };

    /// Returns how many requests one stands for.
    pub(crate) fn count(self) -> f64 {
        self.count
    }

    /// Returns what one stands for in the variance.
    pub(crate) fn deviation(self) -> f64 {
        self.deviation
    }

    pub(crate) fn at(share: f64) -> Self {
        Self { count: 1.0 / share, deviation: (1.0 - share).max(0.0).sqrt() / share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{SampleRate, sampling_hash};

    #[test]
    fn the_standard_error_is_that_of_repeated_sampling() {
        let rate = SampleRate::of(0.1);
        let requests_of = |key: u64| 1 + key % 7;
        let mut errors = Vec::new();
        let mut claimed = 0.0;
        for salt in 0..200_u64 {
            let mut total = Total::ZERO;
            for key in 0..5_000_u64 {
                let hash = sampling_hash(key + salt * 1_000_000);
                for _ in 0..requests_of(key) {
                    if rate.takes(hash) {
                        total.count(hash, Scale::at(rate.share()));
                    }
                }
            }
            let truth = u32::try_from((0..5_000).map(requests_of).sum::<u64>()).unwrap();
            errors.push(total.estimate() - f64::from(truth));
            claimed += total.standard_error() / 200.0;
        }
        let measured = (errors.iter().map(|error| error * error).sum::<f64>() / 200.0).sqrt();
        assert!((0.85..1.15).contains(&(claimed / measured)), "{claimed} claimed, {measured} measured");
    }

    #[test]
    fn nothing_is_uncertain_when_all_is_seen() {
        let mut total = Total::ZERO;
        (0..100).for_each(|key| total.count(key, Scale::at(1.0)));
        assert_eq!((total.estimate(), total.standard_error()), (100.0, 0.0));
    }
}
