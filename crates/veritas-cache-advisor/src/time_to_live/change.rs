//! How often a value changes, from loads that found it changed or not.

/// What is known of how often one key's value changes.
///
/// Changes are taken for a Poisson process, and the rates of all keys for a gamma
/// distribution. A load that finds the value as it was says that there was none in
/// its interval; one that finds it changed only says that there was at least one
/// (interval censoring). Such an interval of Δ has rΔ / (1 − exp(−rΔ)) changes in
/// expectation, at a rate r that these changes give: what expectation-maximization
/// makes of it (Dempster, Laird and Rubin, 1977). What an interval tells is less
/// than that, by the variance of the number (Louis, 1982): with Δ much longer than from one
/// change to the next, nothing, and the rate is that of the other keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChangeRate {
    /// The lengths of the intervals without a change, in milliseconds, together.
    unchanged: f32,
    /// The lengths of those with one, together.
    changed: f32,
    /// How many those are.
    count: f32,
    /// How many changes that makes, in expectation.
    changes: f32,
    /// As how many changes it tells.
    told: f32,
}

/// What is known of all keys together: the prior for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prior {
    /// The gamma distribution's shape, and its mean rate per millisecond once that was fitted.
    shape: f64,
    mean: Option<f64>,
    changed: f64,
    exposure: f64,
}

/// The prior's shape until it is fitted. Below 1, so that keys that never change and
/// keys that change all the time are both likely.
const SHAPE: f64 = 0.5;

/// Within this the shape is fitted: the more alike the keys, the higher it is.
const SHAPES: (f64, f64) = (0.1, 50.0);

impl Prior {
    pub(super) const NOTHING: Self = Self { shape: SHAPE, mean: None, changed: 0.0, exposure: 0.0 };

    /// The prior's exposure: that at which the shape gives the mean rate of all keys.
    fn scale(&self) -> f64 {
        // Before any change was seen, one is taken to come after all exposure so far.
        let least = self.changed.clamp(0.0, 1.0).max(1.0) / self.exposure.max(1.0);
        let mean = if self.changed > 0.0 {
            self.mean.unwrap_or(self.changed / self.exposure.max(1.0))
        } else {
            least
        };
        self.shape / mean.max(1e-15)
    }

    /// Fits the prior to what is known of the keys, by moments (empirical Bayes): one step.
    pub(super) fn fit<'a>(&mut self, keys: impl Iterator<Item = &'a mut ChangeRate>) {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for key in keys.filter(|key| **key != ChangeRate::UNKNOWN) {
            key.settle(self);
            let (mean, shape) = (key.mean(self), key.shape(self));
            count += 1.0;
            sum += mean;
            squares += mean * mean * (1.0 + 1.0 / shape);
        }
        if count < FEW || self.changed <= 0.0 {
            return;
        }
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        self.mean = Some(mean);
        self.shape = (mean * mean / variance.max(1e-300)).clamp(SHAPES.0, SHAPES.1);
    }
}

/// Fewer keys do not tell how keys differ.
const FEW: f64 = 8.0;

impl ChangeRate {
    pub(super) const UNKNOWN: Self =
        Self { unchanged: 0.0, changed: 0.0, count: 0.0, changes: 0.0, told: 0.0 };

    fn shape(&self, prior: &Prior) -> f64 {
        prior.shape + f64::from(self.told)
    }

    /// Returns the expected changes per millisecond.
    pub(super) fn mean(&self, prior: &Prior) -> f64 {
        (prior.shape + f64::from(self.changes)) / (prior.scale() + f64::from(self.unchanged + self.changed))
    }

    /// Returns the rate's standard deviation by its mean.
    pub(super) fn relative_deviation(&self, prior: &Prior) -> f64 {
        self.shape(prior).sqrt().recip()
    }

    /// Returns the probability of no change in so many milliseconds: the predictive
    /// distribution of the gamma-Poisson model.
    pub(super) fn unchanged_for(&self, milliseconds: f64, prior: &Prior) -> f64 {
        let shape = self.shape(prior);
        (-shape * (milliseconds * self.mean(prior) / shape).ln_1p()).exp()
    }

    /// Notes a load so long after the one before.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for a length")]
    pub(super) fn note(&mut self, milliseconds: f64, changed: bool, prior: &mut Prior) {
        if milliseconds <= 0.0 {
            return;
        }
        if changed {
            self.changed += milliseconds as f32;
            self.count += 1.0;
            self.changes += 1.0;
        } else {
            self.unchanged += milliseconds as f32;
        }
        prior.changed += f64::from(u8::from(changed));
        prior.exposure += milliseconds;
        for _ in 0..2 {
            self.settle(prior);
        }
    }

    /// Takes one step of expectation and maximization.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for an expectation")]
    fn settle(&mut self, prior: &Prior) {
        if self.count <= 0.0 {
            return;
        }
        let count = f64::from(self.count);
        let expected = self.mean(prior) * f64::from(self.changed) / count;
        let at_least_one = if expected > 1e-9 { expected / -(-expected).exp_m1() } else { 1.0 };
        self.changes = (count * at_least_one) as f32;
        self.told = (count * at_least_one * (at_least_one - expected)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veritas_statistics::Rng;

    /// Loads of many keys at even intervals, whose values change at a mean interval of 1000 ms.
    #[track_caller]
    fn check_rate(interval: f64, tolerance: f64) {
        let (mut prior, mut rng) = (Prior::NOTHING, Rng::new(2));
        let mut keys = vec![ChangeRate::UNKNOWN; 50];
        for _ in 0..300 {
            for key in &mut keys {
                let changed = rng.next_f64() < 1.0 - (-interval / 1000.0_f64).exp();
                key.note(interval, changed, &mut prior);
            }
        }
        let mean = keys.iter().map(|key| key.mean(&prior)).sum::<f64>() / 50.0 * 1000.0;
        assert!((mean - 1.0).abs() < tolerance, "{mean} changes a second at an interval of {interval}");
    }

    #[test]
    fn rates_are_found_from_loads_that_only_say_changed_or_not() {
        check_rate(100.0, 0.05);
        check_rate(1_000.0, 0.06);
        check_rate(2_000.0, 0.15);
    }

    #[test]
    fn keys_that_never_change_are_told_from_those_that_do() {
        let mut prior = Prior::NOTHING;
        let (mut still, mut lively) = (ChangeRate::UNKNOWN, ChangeRate::UNKNOWN);
        for _ in 0..20 {
            still.note(100.0, false, &mut prior);
            lively.note(100.0, true, &mut prior);
        }
        assert!(still.unchanged_for(100.0, &prior) > 0.9);
        assert!(lively.unchanged_for(100.0, &prior) < 0.2);
    }
}
