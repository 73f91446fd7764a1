//! How often a value changes, from loads that found it changed or not.

/// What is known of how often one key's value changes: a gamma distribution of
/// its rate, that starts as the prior and is updated at each load.
///
/// Changes are taken for a Poisson process. A load that finds the value as it was
/// says that there was none in its interval; one that finds it changed only says
/// that there was at least one (interval censoring). With U milliseconds in
/// unchanged intervals, and X changed ones of Δ on average, the most likely rate is
/// ln(1 + XΔ / U) / Δ; with half an unchanged interval more, so that it is finite
/// and hardly biased, it is the estimator of Cho and Garcia-Molina, "Estimating
/// frequency of change", ACM TOIT 3(3), 2003.
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
}

/// What is known of all keys together: the prior for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prior {
    changes: f64,
    exposure: f64,
}

/// The prior's weight, in changes. Below 1, so that keys that never change and
/// keys that change all the time are both likely.
const SHAPE: f64 = 0.5;

impl Prior {
    pub(super) const NOTHING: Self = Self { changes: 0.0, exposure: 0.0 };

    /// The prior's exposure: that at which the shape gives the mean rate of all keys.
    fn scale(&self) -> f64 {
        // Before any change was seen, one is taken to come after all exposure so far.
        SHAPE * self.exposure.max(1.0) / self.changes.max(1.0)
    }
}

impl ChangeRate {
    pub(super) const UNKNOWN: Self = Self { unchanged: 0.0, changed: 0.0, count: 0.0, changes: 0.0 };

    fn shape_and_scale(&self, prior: &Prior) -> (f64, f64) {
        (SHAPE + f64::from(self.changes), prior.scale() + f64::from(self.unchanged + self.changed))
    }

    /// Returns the expected changes per millisecond.
    pub(super) fn mean(&self, prior: &Prior) -> f64 {
        let (shape, scale) = self.shape_and_scale(prior);
        shape / scale
    }

    /// Returns the probability of no change in so many milliseconds: the predictive
    /// distribution of the gamma-Poisson model.
    pub(super) fn unchanged_for(&self, milliseconds: f64, prior: &Prior) -> f64 {
        let (shape, scale) = self.shape_and_scale(prior);
        (-shape * (milliseconds / scale).ln_1p()).exp()
    }

    /// Notes a load so long after the one before.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for an expectation")]
    pub(super) fn note(&mut self, milliseconds: f64, changed: bool, prior: &mut Prior) {
        if milliseconds <= 0.0 {
            return;
        }
        let before = self.changes;
        if changed {
            self.changed += milliseconds as f32;
            self.count += 1.0;
        } else {
            self.unchanged += milliseconds as f32;
        }
        if self.count > 0.0 {
            let mean = self.changed / self.count;
            let rate = (self.changed / (self.unchanged + mean / 2.0)).ln_1p() / mean;
            self.changes = rate * (self.unchanged + self.changed);
        }
        prior.changes += f64::from(self.changes - before);
        prior.exposure += milliseconds;
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
