//! Wilcoxon's signed-rank test for pairs measured side by side.

use crate::normal;

/// What the test is to show against "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alternative {
    /// The differences tend to be below zero.
    Less,
    /// The differences tend to be above zero.
    Greater,
    /// Either.
    TwoSided,
}

/// The result of a signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRank {
    /// Sum of the ranks of the positive differences.
    pub statistic: f64,
    /// Pairs that differ: the others count in the ranks, not in the sum.
    pub pairs_used: usize,
    /// Probability of a statistic at least this far out when signs are a coin's.
    pub p_value: f64,
}

/// Up to this many differing pairs the distribution is counted out exactly.
const EXACT_UP_TO: usize = 50;

/// Tests whether paired differences lie around zero.
///
/// `None` when a difference is not a finite number, and when no pair differs
/// (then nothing speaks against "no difference": treat it as p = 1).
///
/// Zeros are ranked and then left out (J. W. Pratt, "Remarks on zeros and ties
/// in the Wilcoxon signed rank procedures", JASA 54, 1959); equal sizes share
/// their mean rank. Up to 50 differing pairs the distribution over all 2^n
/// assignments of signs to the ranks *as they are*, ties and zeros included, is
/// counted out (the convolution behind Wilcoxon's tables). Above that it is
/// approximated by the normal one with variance `sum(rank²) / 4`, which holds
/// the corrections for ties and for Pratt's zeros (E. E. Cureton, JASA 62,
/// 1967), and a continuity correction of 1/2.
///
/// Costs a sort, and in the exact case at most 128,000 additions.
///
/// ```
/// use veritas_statistics::paired::{Alternative, signed_rank};
///
/// let savings = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, -0.5];
/// let test = signed_rank(&savings, Alternative::Greater).expect("the pairs differ");
/// assert_eq!(test.p_value, 2.0 / 512.0);
/// ```
pub fn signed_rank(differences: &[f64], alternative: Alternative) -> Option<SignedRank> {
    if differences.iter().any(|difference| !difference.is_finite()) {
        return None;
    }
    let ranked = doubled_ranks(differences);
    if ranked.is_empty() {
        return None;
    }
    let positive: u64 = ranked.iter().filter(|(_, is_positive)| *is_positive).map(|(rank, _)| rank).sum();
    let ranks: Vec<u64> = ranked.iter().map(|(rank, _)| *rank).collect();
    let total: u64 = ranks.iter().sum();
    // "At least `positive`" and, mirrored, "at most `positive`".
    let (above, below) = if ranks.len() <= EXACT_UP_TO {
        let distribution = sign_distribution(&ranks, total);
        (upper_tail(&distribution, positive), upper_tail(&distribution, total - positive))
    } else {
        (normal_tail(&ranks, total, positive), normal_tail(&ranks, total, total - positive))
    };
    let p_value = match alternative {
        Alternative::Greater => above,
        Alternative::Less => below,
        Alternative::TwoSided => 2.0 * above.min(below),
    };
    Some(SignedRank { statistic: halved(positive), pairs_used: ranks.len(), p_value: p_value.min(1.0) })
}

/// Ranks the differences by size, zeros included, and returns twice the rank
/// (so that shared ranks are whole) and the sign of each that is not zero.
fn doubled_ranks(differences: &[f64]) -> Vec<(u64, bool)> {
    let mut by_size: Vec<f64> = differences.to_vec();
    by_size.sort_unstable_by(|one, other| one.abs().total_cmp(&other.abs()));
    let mut ranked = Vec::with_capacity(by_size.len());
    let mut ranked_before = 0_u64;
    for tie in by_size.chunk_by(|one, other| one.abs() == other.abs()) {
        let size = tie.len() as u64;
        // Ranks a+1 to a+n share (2a + n + 1) / 2.
        let doubled = 2 * ranked_before + size + 1;
        ranked_before += size;
        ranked.extend(tie.iter().filter(|difference| **difference != 0.0).map(|d| (doubled, *d > 0.0)));
    }
    ranked
}

/// Returns the probability of each sum of doubled ranks when every rank is
/// positive or negative with probability 1/2.
#[expect(clippy::cast_possible_truncation, reason = "50 ranks among the pairs of one test fit a usize")]
fn sign_distribution(ranks: &[u64], total: u64) -> Vec<f64> {
    let mut probability = vec![0.0; total as usize + 1];
    probability[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        let rank = *rank as usize;
        for sum in (0..=reached).rev() {
            let half = probability[sum] / 2.0;
            probability[sum] = half;
            probability[sum + rank] += half;
        }
        reached += rank;
    }
    probability
}

#[expect(clippy::cast_possible_truncation, reason = "the sum indexes the distribution")]
fn upper_tail(distribution: &[f64], at_least: u64) -> f64 {
    // From the far end, so that the small terms are added first.
    distribution[at_least as usize..].iter().rev().sum()
}

fn normal_tail(ranks: &[u64], total: u64, at_least: u64) -> f64 {
    let mean = halved(total) / 2.0;
    let variance = ranks.iter().map(|rank| halved(*rank) * halved(*rank)).sum::<f64>() / 4.0;
    let distance = halved(at_least) - mean - 0.5;
    normal::cdf(-distance / variance.sqrt())
}

#[expect(clippy::cast_precision_loss, reason = "sums of ranks of fewer than 10^7 pairs fit 53 bits")]
fn halved(doubled: u64) -> f64 {
    doubled as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(differences: &[f64], alternative: Alternative, statistic: f64, p_value: f64) {
        let test = signed_rank(differences, alternative).unwrap();
        assert_eq!(test.statistic, statistic);
        assert!((test.p_value - p_value).abs() < 1e-12, "p = {}, expected {p_value}", test.p_value);
    }

    #[test]
    fn small_samples_are_counted_out() {
        // Of the 8 assignments of signs to ranks 1, 2, 3 one reaches 6, two reach 5.
        check(&[1.0, 2.0, 3.0], Alternative::Greater, 6.0, 1.0 / 8.0);
        check(&[-1.0, 2.0, 3.0], Alternative::Greater, 5.0, 2.0 / 8.0);
        check(&[-1.0, 2.0, 3.0], Alternative::Less, 5.0, 7.0 / 8.0);
        check(&[-1.0, -2.0, -3.0], Alternative::TwoSided, 0.0, 2.0 / 8.0);
        // Wilcoxon's table: n = 10, P(W <= 10) = 43/1024 (0.0420).
        let ten = [-1.0, -2.0, -3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        check(&ten, Alternative::Greater, 45.0, 43.0 / 1024.0);
    }

    #[test]
    fn a_zero_takes_the_lowest_rank_and_leaves_the_sum() {
        // Ranks 1 (zero), 2, 3, 4: only the sum 9 is as high.
        let test = signed_rank(&[0.0, 2.0, 3.0, 4.0], Alternative::Greater).unwrap();
        assert_eq!((test.statistic, test.pairs_used, test.p_value), (9.0, 3, 1.0 / 8.0));
        // Pratt differs from dropping zeros: -2 has rank 2 of {2, 3, 4}, sums 7 and 9 of 9 are as high.
        check(&[0.0, -2.0, 3.0, 4.0], Alternative::Greater, 7.0, 2.0 / 8.0);
    }

    #[test]
    fn equal_sizes_share_their_rank() {
        // Ranks 1.5, 1.5, 3: sums as high as 4.5 are 4.5 (twice) and 6.
        check(&[-1.0, 1.0, 5.0], Alternative::Greater, 4.5, 3.0 / 8.0);
    }

    #[test]
    fn nothing_is_said_of_equal_or_broken_pairs() {
        assert_eq!(signed_rank(&[], Alternative::Less), None);
        assert_eq!(signed_rank(&[0.0, -0.0], Alternative::Less), None);
        assert_eq!(signed_rank(&[1.0, f64::NAN], Alternative::Less), None);
    }

    #[test]
    fn the_normal_approximation_continues_the_exact_distribution() {
        for shift in [0.0, 4.0, 8.0] {
            let differences: Vec<f64> = (1..=50)
                .map(|rank| if rank % 2 == 0 { f64::from(rank) } else { shift - f64::from(rank) })
                .collect();
            let ranked = doubled_ranks(&differences);
            let ranks: Vec<u64> = ranked.iter().map(|(rank, _)| *rank).collect();
            let total = ranks.iter().sum();
            let positive = ranked.iter().filter(|(_, sign)| *sign).map(|(rank, _)| rank).sum();
            let exact = upper_tail(&sign_distribution(&ranks, total), positive);
            let approximate = normal_tail(&ranks, total, positive);
            assert!((exact - approximate).abs() < 0.002, "{exact} {approximate}");
        }
    }
}
