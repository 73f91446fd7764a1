//! How sure a counted rate is: the upper bound of a proportion.

/// Returns the one-sided 95 % upper bound of a rate of which `failures` were seen in
/// `trials` independent trials: the largest rate under which so few failures would
/// still be seen in 5 % of all repetitions. 1 without a trial.
///
/// C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits
/// illustrated in the case of the binomial", Biometrika 26 (1934), by bisection.
/// Costs `O(failures)` logarithms, some fifty times.
pub(super) fn upper_bound(failures: u64, trials: u64) -> f64 {
    const ALPHA: f64 = 0.05;
    if failures >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(failures, trials, middle) > ALPHA {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Returns the probability of at most `failures` failures in `trials` at this rate.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn at_most(failures: u64, trials: u64, rate: f64) -> f64 {
    let (success, failure) = ((-rate).ln_1p(), rate.ln());
    // The logarithm of the probability of no failure, then of one more at a time.
    let mut log = trials as f64 * success;
    let mut sum = log.exp();
    for count in 1..=failures {
        log += ((trials - count + 1) as f64 / count as f64).ln() + failure - success;
        sum += log.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failures: u64, trials: u64, expected: f64) {
        let bound = upper_bound(failures, trials);
        assert!((bound - expected).abs() < 1e-6, "{failures} of {trials}: {bound}");
    }

    #[test]
    fn the_bound_is_that_of_the_tables() {
        // Without a failure it has a closed form: 1 - 0.05^(1/n).
        check(0, 200, 1.0 - 0.05_f64.powf(1.0 / 200.0));
        check(0, 20, 1.0 - 0.05_f64.powf(1.0 / 20.0));
        // 1 of 10: 0.394163 (R: binom.test(1, 10, alternative = "less")).
        check(1, 10, 0.394_163_3);
        check(3, 3, 1.0);
        check(0, 0, 1.0);
    }
}
