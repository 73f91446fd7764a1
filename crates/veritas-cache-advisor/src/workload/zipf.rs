//! Zipf's distribution, drawn in constant time and without a table.

use veritas_statistics::Rng;

/// Ranks from 0, where rank `k` has a probability proportional to `1 / (k + 1)^exponent`.
///
/// Rejection-inversion: W. Hörmann and G. Derflinger, "Rejection-inversion to
/// generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996.
#[derive(Debug, Clone, PartialEq)]
pub struct Zipf {
    keys: f64,
    exponent: f64,
    lowest: f64,
    highest: f64,
    shortcut: f64,
}

impl Zipf {
    /// Creates the distribution over so many keys; an exponent of 0 is uniform.
    #[expect(clippy::cast_precision_loss, reason = "numbers of keys are far below 2^53")]
    pub fn new(keys: u64, exponent: f64) -> Self {
        let keys = keys.max(1) as f64;
        let mut zipf = Self { keys, exponent, lowest: 0.0, highest: 0.0, shortcut: 0.0 };
        zipf.lowest = zipf.integral(1.5) - 1.0;
        zipf.highest = zipf.integral(keys + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the number of keys"
    )]
    pub fn draw(&self, rng: &mut Rng) -> u64 {
        loop {
            let area = self.highest + rng.next_f64() * (self.lowest - self.highest);
            let point = self.inverse(area);
            let rank = point.round().clamp(1.0, self.keys);
            if rank - point <= self.shortcut || area >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the density from 1 to `x`.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over((1.0 - self.exponent) * log) * log
    }

    fn inverse(&self, area: f64) -> f64 {
        let scaled = (area * (1.0 - self.exponent)).max(-1.0);
        (ln1p_over(scaled) * area).exp()
    }
}

/// `(e^x - 1) / x`, also near 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// `ln(1 + x) / x`, also near 0.
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_frequencies(keys: u64, exponent: f64) {
        let (zipf, mut rng) = (Zipf::new(keys, exponent), Rng::new(9));
        let mut counts = vec![0_u32; usize::try_from(keys).unwrap()];
        let draws = 200_000;
        for _ in 0..draws {
            counts[usize::try_from(zipf.draw(&mut rng)).unwrap()] += 1;
        }
        let weight = |rank: usize| (f64::from(u32::try_from(rank).unwrap()) + 1.0).powf(-exponent);
        let total: f64 = (0..counts.len()).map(weight).sum();
        for (rank, count) in counts.iter().enumerate().take(20) {
            let expected = f64::from(draws) * weight(rank) / total;
            let off = (f64::from(*count) - expected).abs();
            assert!(off <= 5.0 * expected.sqrt(), "rank {rank}: {count} drawn, {expected} expected");
        }
    }

    #[test]
    fn ranks_come_as_often_as_they_should() {
        for exponent in [0.0, 0.6, 0.99, 1.0, 1.3, 2.5] {
            check_frequencies(50, exponent);
        }
        check_frequencies(100_000, 1.0);
        check_frequencies(1, 1.0);
    }
}
