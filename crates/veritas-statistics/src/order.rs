//! Quantiles of samples, with distribution-free intervals.

use veritas_model::Interval;

/// Returns the quantile `q` of samples in ascending order, linear between
/// neighbours (type 7 of Hyndman and Fan, "Sample quantiles in statistical
/// packages", 1996: that of R and `NumPy`); `None` of nothing and for a `q`
/// outside 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions among samples in memory"
)]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let position = q * sorted.len().checked_sub(1)? as f64;
    let low = sorted.get(position.floor() as usize)?;
    let high = sorted.get(position.ceil() as usize)?;
    Some(low + (high - low) * position.fract())
}

/// Returns an interval that holds the quantile `q` of whatever distribution the
/// samples (ascending, independent) come from with at least `confidence`;
/// `None` when there are too few samples to say so: the median at 95 % needs
/// 6, the 99th percentile 368.
///
/// The number of samples at or below the quantile is binomial, so that two
/// order statistics enclose it (H. A. David, "Order Statistics", 1981, §2.5;
/// equal tails). Costs one pass over `sorted.len()` probabilities.
///
/// ```
/// let samples: Vec<f64> = (1..=100).map(f64::from).collect();
/// let median = veritas_statistics::order::quantile_interval(&samples, 0.5, 0.95).unwrap();
/// assert_eq!((median.low, median.high), (40.0, 61.0));
/// ```
pub fn quantile_interval(sorted: &[f64], q: f64, confidence: f64) -> Option<Interval> {
    if !(q > 0.0 && q < 1.0 && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    let mut low = None;
    let mut cumulative = 0.0;
    for (at_or_below, probability) in binomial(sorted.len(), q).enumerate() {
        cumulative += probability;
        // P(count <= k) <= tail: the quantile lies below sample k+1 (from 1) so rarely.
        if cumulative <= tail {
            low = sorted.get(at_or_below);
        }
        // P(count > k) <= tail: it lies at or above sample k+1 so rarely.
        if cumulative >= 1.0 - tail {
            return Some(Interval { low: *low?, high: *sorted.get(at_or_below)?, confidence });
        }
    }
    None
}

/// Returns the probabilities of 0, 1, … `count` successes.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn binomial(count: usize, success: f64) -> impl Iterator<Item = f64> {
    let odds = (success / (1.0 - success)).ln();
    let mut logarithm = count as f64 * (1.0 - success).ln();
    (0..=count).map(move |successes| {
        let probability = logarithm.exp();
        logarithm += ((count - successes) as f64 / (successes + 1) as f64).ln() + odds;
        probability
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let samples = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&samples, 0.0), Some(1.0));
        assert_eq!(quantile(&samples, 0.5), Some(3.0));
        assert_eq!(quantile(&samples, 1.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&samples, 1.5), None);
        assert_eq!(quantile(&samples, f64::NAN), None);
    }

    #[track_caller]
    fn check_fewest(q: f64, fewest: usize) {
        let samples = vec![0.0; fewest];
        assert!(quantile_interval(&samples, q, 0.95).is_some());
        assert_eq!(quantile_interval(&samples[1..], q, 0.95), None);
    }

    #[test]
    fn too_few_samples_say_nothing() {
        check_fewest(0.5, 6);
        check_fewest(0.9, 36);
        check_fewest(0.99, 368);
        assert_eq!(quantile_interval(&[], 0.5, 0.95), None);
    }

    #[test]
    fn probabilities_sum_to_one() {
        for count in [0, 1, 10, 100_000] {
            let sum: f64 = binomial(count, 0.3).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{count}: {sum}");
        }
    }
}
