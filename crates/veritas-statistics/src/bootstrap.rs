//! Bootstrap intervals: bias-corrected and accelerated.
//!
//! B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987), in the
//! form of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993),
//! chapter 14: the percentiles of the resampled statistics are shifted for the
//! bias of the statistic and for how its spread changes with its value, which
//! the jackknife tells. Where neither can be told (every resample on one side
//! of the estimate), the plain percentiles are given.

use veritas_model::Interval;

use crate::{Rng, normal, order};

/// Returns the interval of a statistic of independent samples, or `None` with
/// fewer than two samples, no resamples, a confidence outside (0, 1), or a
/// statistic that is not finite.
///
/// Computes the statistic `resamples + samples.len() + 1` times. The same seed
/// gives the same interval. A few thousand resamples are customary.
pub fn interval(
    samples: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    let estimate = statistic(samples);
    let mut rng = Rng::new(seed);
    let mut drawn = vec![0.0; samples.len()];
    let replicate = || {
        for slot in &mut drawn {
            *slot = samples[index_below(&mut rng, samples.len())];
        }
        statistic(&drawn)
    };
    let mut others: Vec<f64> = samples.get(1..).unwrap_or_default().to_vec();
    let leave_out = |left_out: usize| {
        // `others` lacks sample `left_out`; the next one lacks the sample after it.
        let value = statistic(&others);
        if let Some(slot) = others.get_mut(left_out) {
            *slot = samples[left_out];
        }
        value
    };
    accelerated(samples.len(), estimate, replicate, leave_out, confidence, resamples)
}

/// Returns the interval of `mean(second) / mean(first)` over pairs that were
/// measured together and are resampled together; `None` as for [`interval`],
/// and when the first mean can be zero.
///
/// Costs `resamples * pairs.len()` additions.
///
/// ```
/// use veritas_statistics::bootstrap::ratio_of_means_interval;
///
/// let pairs = [(10.0, 5.1), (12.0, 6.0), (9.0, 4.4), (11.0, 5.6), (10.5, 5.2)];
/// let ratio = ratio_of_means_interval(&pairs, 0.95, 2_000, 1).expect("five pairs");
/// assert!(0.45 < ratio.low && ratio.high < 0.55);
/// ```
pub fn ratio_of_means_interval(
    pairs: &[(f64, f64)],
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    let add = |sums: (f64, f64), pair: &(f64, f64)| (sums.0 + pair.0, sums.1 + pair.1);
    let (first, second) = pairs.iter().fold((0.0, 0.0), add);
    let mut rng = Rng::new(seed);
    let replicate = || {
        let (first, second) = (0..pairs.len())
            .fold((0.0, 0.0), |sums, _| add(sums, &pairs[index_below(&mut rng, pairs.len())]));
        second / first
    };
    let leave_out = |index: usize| (second - pairs[index].1) / (first - pairs[index].0);
    accelerated(pairs.len(), second / first, replicate, leave_out, confidence, resamples)
}

#[expect(clippy::cast_possible_truncation, reason = "below a length")]
fn index_below(rng: &mut Rng, length: usize) -> usize {
    rng.below(length as u64) as usize
}

#[expect(clippy::cast_precision_loss, reason = "counts of resamples")]
fn accelerated(
    count: usize,
    estimate: f64,
    replicate: impl FnMut() -> f64,
    leave_out: impl FnMut(usize) -> f64,
    confidence: f64,
    resamples: usize,
) -> Option<Interval> {
    if count < 2 || resamples == 0 || !(confidence > 0.0 && confidence < 1.0) || !estimate.is_finite() {
        return None;
    }
    let mut replicates: Vec<f64> = std::iter::repeat_with(replicate).take(resamples).collect();
    if replicates.iter().any(|replicate| !replicate.is_finite()) {
        return None;
    }
    replicates.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    // A replicate equal to the estimate counts half: discrete statistics tie often.
    let below = replicates.partition_point(|replicate| *replicate < estimate);
    let not_above = replicates.partition_point(|replicate| *replicate <= estimate);
    let share = (below + not_above) as f64 / (2 * resamples) as f64;
    let shares = normal::quantile(share)
        .and_then(|bias| {
            let acceleration = acceleration(&(0..count).map(leave_out).collect::<Vec<f64>>())?;
            Some((shifted(tail, bias, acceleration)?, shifted(1.0 - tail, bias, acceleration)?))
        })
        .unwrap_or((tail, 1.0 - tail));
    Some(Interval {
        low: order::quantile(&replicates, shares.0)?,
        high: order::quantile(&replicates, shares.1)?,
        confidence,
    })
}

/// Returns the share of replicates at which the interval's end lies.
fn shifted(share: f64, bias: f64, acceleration: f64) -> Option<f64> {
    let distance = bias + normal::quantile(share)?;
    let scale = 1.0 - acceleration * distance;
    (scale > 0.0).then(|| normal::cdf(bias + distance / scale))
}

/// Returns the skewness of the jackknife values over six: Efron's acceleration.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn acceleration(left_out: &[f64]) -> Option<f64> {
    let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let squares: f64 = left_out.iter().map(|value| (mean - value).powi(2)).sum();
    let cubes: f64 = left_out.iter().map(|value| (mean - value).powi(3)).sum();
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    acceleration.is_finite().then_some(acceleration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    fn mean(samples: &[f64]) -> f64 {
        samples.iter().sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let samples: Vec<f64> = (0..40).map(|n| f64::from(n * n % 17)).collect();
        let once = interval(&samples, mean, 0.9, 500, 3).unwrap();
        assert_eq!(interval(&samples, mean, 0.9, 500, 3), Some(once));
        assert!(once.low < mean(&samples) && mean(&samples) < once.high);
    }

    #[test]
    fn the_jackknife_leaves_out_each_sample_once() {
        // `interval` reuses one buffer; the skew of a skewed sample shows that it is right:
        // the same statistic through pairs, whose jackknife is in closed form.
        let samples = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        let pairs: Vec<(f64, f64)> = samples.iter().map(|sample| (1.0, *sample)).collect();
        let one = interval(&samples, mean, 0.9, 4000, 9).unwrap();
        let other = ratio_of_means_interval(&pairs, 0.9, 4000, 9).unwrap();
        assert!((one.low - other.low).abs() < 1e-9 && (one.high - other.high).abs() < 1e-9);
    }

    #[test]
    fn equal_samples_have_a_point_for_an_interval() {
        let point = interval(&[2.0; 10], mean, 0.95, 100, 1).unwrap();
        assert_eq!((point.low, point.high), (2.0, 2.0));
    }

    #[test]
    fn there_is_no_interval_of_too_little() {
        assert_eq!(interval(&[], mean, 0.95, 100, 1), None);
        assert_eq!(interval(&[1.0], mean, 0.95, 100, 1), None);
        assert_eq!(interval(&[1.0, 2.0], mean, 1.0, 100, 1), None);
        assert_eq!(interval(&[1.0, 2.0], mean, 0.95, 0, 1), None);
        assert_eq!(interval(&[1.0, f64::NAN], mean, 0.95, 10, 1), None);
        assert_eq!(ratio_of_means_interval(&[(0.0, 1.0), (0.0, 2.0)], 0.95, 10, 1), None);
    }
}
