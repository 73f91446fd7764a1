//! Work: what calls cost, summed so that two readings can be subtracted.

use crate::Fingerprint;

/// What the cost of a call is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkMetric {
    /// Steps of the database's virtual machine: the same on a busy and on an idle machine.
    VmSteps,
    /// Look-ups of a cache that found nothing: what hits cost, nobody waits for.
    Misses,
    /// Pages that the database asked its buffers for, found there or not: the same on a
    /// busy and on an idle machine.
    Buffers,
    /// Elapsed seconds.
    Seconds,
}

impl WorkMetric {
    /// Returns the word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VmSteps => "vm_steps",
            Self::Misses => "misses",
            Self::Buffers => "buffers",
            Self::Seconds => "seconds",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::VmSteps, Self::Misses, Self::Buffers, Self::Seconds]
            .into_iter()
            .find(|metric| metric.as_str() == word)
    }
}

/// Count, sum and sum of squares: mean and variance of any window come from
/// subtracting two of these.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// Number of values.
    pub count: u64,
    /// Sum of the values.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
}

impl Moments {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    /// Returns what was added after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum - earlier.sum,
            sum_of_squares: self.sum_of_squares - earlier.sum_of_squares,
        }
    }

    /// Returns both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            sum_of_squares: self.sum_of_squares + other.sum_of_squares,
        }
    }

    /// Returns the mean, or `None` of nothing.
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Returns the sample variance, or `None` of fewer than two values.
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        let count = self.count as f64;
        (self.count > 1).then(|| ((self.sum_of_squares - count * mean * mean) / (count - 1.0)).max(0.0))
    }
}

/// Everything that one statement (under one label, if it has one), or one cache, has cost so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkTotals {
    /// The statement, or what a cache's name makes of one.
    pub fingerprint: Fingerprint,
    /// Its name, for people.
    pub name: String,
    /// What the steps are: never [`WorkMetric::Seconds`].
    pub metric: WorkMetric,
    /// Calls whose deterministic work was counted, and that work.
    pub steps: Moments,
    /// Calls, and their seconds.
    pub seconds: Moments,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_difference_of_two_readings() {
        let mut moments = Moments::default();
        moments.add(100.0);
        let earlier = moments;
        moments.add(2.0);
        moments.add(4.0);
        let window = moments.since(&earlier);
        assert_eq!(window.mean(), Some(3.0));
        assert_eq!(window.variance(), Some(2.0));
        assert_eq!(Moments::default().mean(), None);
    }
}
