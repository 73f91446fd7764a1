//! Reconciling: estimates of parts with a known total, by how uncertain each is.
//!
//! The unknowns are each stratum's mean usage of a key, known from a sample, and
//! one figure for all: what a key takes beyond its usage, in the server's tables. The
//! measurement is the total. This is generalized least squares with one
//! constraint: each unknown moves in proportion to its covariance with the sum.

/// What a key takes beyond its `MEMORY USAGE`, before the total is looked at: two
/// places in tables that are between half and completely full, and an entry of the
/// table of expirations (measured on 7.0: 61 bytes). It varies with how full they are.
const BEYOND: f64 = 61.0;
const BEYOND_DEVIATION: f64 = 20.0;

/// How far the total may be off: buffers and scripts that count as data.
const TOTAL_DEVIATION: f64 = 64.0 * 1024.0;

/// What no model covers, as a share of the figure: rounding by the allocator, other data.
const UNMODELLED: f64 = 0.005;

/// 95 % of a normal distribution lie within as many standard deviations.
const NORMAL_95: f64 = 1.96;

/// The keys of one namespace and a sample of their usage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stratum {
    pub(super) keys: f64,
    keys_variance: f64,
    mean: f64,
    /// Of the mean.
    mean_variance: f64,
}

impl Stratum {
    /// Sums up a sample. With less than two values the mean is as uncertain as those of all
    /// namespaces together, `all`, are far apart and large: nothing else is known of it.
    pub(super) fn of(keys: f64, keys_variance: f64, usages: &[f64], all: &[f64]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "samples are hundreds")]
        let count = usages.len() as f64;
        let mean = mean_of(usages).or_else(|| mean_of(all)).unwrap_or_default();
        let mean_variance = if usages.len() < 2 {
            all.iter().fold(mean + 100.0, |most, usage| most.max(usage - mean)).powi(2)
        } else {
            let squares: f64 = usages.iter().map(|usage| (usage - mean).powi(2)).sum();
            // A sample of all of them is no sample.
            squares / (count - 1.0) / count * (1.0 - count / keys).max(0.0)
        };
        Self { keys, keys_variance, mean, mean_variance }
    }
}

fn mean_of(usages: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "samples are hundreds")]
    let count = usages.len() as f64;
    (count > 0.0).then(|| usages.iter().sum::<f64>() / count)
}

/// What all keys of the server take together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Total {
    pub(super) bytes: f64,
    pub(super) keys: f64,
}

impl Total {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, keys: self.keys + other.keys }
    }
}

/// What one stratum takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) bytes: f64,
    /// In 95 of 100 cases the truth is no further off.
    pub(super) error_bound: f64,
}

/// Estimates what each stratum takes. Without a total, the tables cost what they usually do.
pub(super) fn reconcile(strata: &[Stratum], total: Option<Total>) -> Vec<Figure> {
    let keys: f64 = strata.iter().map(|stratum| stratum.keys).sum();
    let beyond_variance = BEYOND_DEVIATION.powi(2);
    let sum: f64 = strata.iter().map(|stratum| stratum.keys * (stratum.mean + BEYOND)).sum();
    // Uncertain counts make the sum uncertain too.
    let counts: f64 = strata.iter().map(|one| one.keys_variance * (one.mean + BEYOND).powi(2)).sum();
    let means: f64 = strata.iter().map(|one| one.keys.powi(2) * one.mean_variance).sum();
    let sum_variance = means + keys.powi(2) * beyond_variance + counts + TOTAL_DEVIATION.powi(2);
    let residual = total.map_or(0.0, |total| total.bytes - sum);
    let weight = if total.is_some() { 1.0 } else { 0.0 };
    strata
        .iter()
        .map(|stratum| {
            let before = stratum.keys * (stratum.mean + BEYOND);
            let of_counts = stratum.keys_variance * (stratum.mean + BEYOND).powi(2);
            let variance = stratum.keys.powi(2) * (stratum.mean_variance + beyond_variance) + of_counts;
            let covariance = stratum.keys.powi(2) * stratum.mean_variance
                + stratum.keys * keys * beyond_variance
                + of_counts;
            let bytes = (before + weight * covariance * residual / sum_variance).max(0.0);
            let left = (variance - weight * covariance.powi(2) / sum_variance).max(0.0);
            Figure { bytes, error_bound: NORMAL_95 * left.sqrt() + UNMODELLED * bytes }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_near(figure: f64, expected: f64, share: f64) {
        assert!((figure - expected).abs() <= share * expected, "{figure} is not {expected}");
    }

    #[test]
    fn values_of_one_size_leave_the_tables_to_the_total() {
        let strata =
            [Stratum::of(50_000.0, 0.0, &[88.0; 200], &[]), Stratum::of(50_000.0, 0.0, &[2_100.0; 200], &[])];
        let total = Total { bytes: 50_000.0 * (88.0 + 2_100.0 + 2.0 * 53.0), keys: 100_000.0 };
        let figures = reconcile(&strata, Some(total));
        check_near(figures[0].bytes, 50_000.0 * 141.0, 0.01);
        check_near(figures[1].bytes, 50_000.0 * 2_153.0, 0.001);
        assert!(figures[0].error_bound < 0.03 * figures[0].bytes);
    }

    #[test]
    fn where_sizes_differ_the_total_corrects_the_mean() {
        let wild: Vec<f64> = (0..200).map(|index| if index % 20 == 0 { 40_000.0 } else { 200.0 }).collect();
        let strata = [Stratum::of(50_000.0, 0.0, &[300.0; 200], &[]), Stratum::of(50_000.0, 0.0, &wild, &[])];
        // In truth every 16th is large.
        let truth = 50_000.0 * (40_000.0 / 16.0 + 200.0 * 15.0 / 16.0 + 61.0);
        let total = Total { bytes: 50_000.0 * 361.0 + truth, keys: 100_000.0 };
        let figures = reconcile(&strata, Some(total));
        check_near(figures[0].bytes, 50_000.0 * 361.0, 0.03);
        check_near(figures[1].bytes, truth, 0.01);
        let alone = reconcile(&strata, None);
        assert!(alone[1].error_bound > 10.0 * figures[1].error_bound);
        assert!((alone[1].bytes - truth).abs() <= alone[1].error_bound);
    }

    #[test]
    fn a_namespace_without_a_sample_has_a_bound_that_covers_it() {
        let others = [1_000.0, 1_100.0, 900.0];
        let figure = reconcile(&[Stratum::of(10.0, 0.0, &[], &others)], None)[0];
        // In truth its keys take as much as the others'.
        assert!((figure.bytes - 10.0 * 1_061.0).abs() <= figure.error_bound, "{figure:?}");
        assert!(figure.bytes > 5_000.0);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(reconcile(&[], Some(Total::default())), []);
        let one = reconcile(&[Stratum::of(1.0, 0.0, &[], &[])], None);
        assert!(one[0].bytes.is_finite() && one[0].error_bound.is_finite());
    }
}
