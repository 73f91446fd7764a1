//! Seeded workloads: the same seed gives the same operations, everywhere.

use std::fmt;

/// The seed of a workload. A test prints it when it fails; the seed then becomes a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#018x}", self.0)
    }
}

/// A small seeded generator (`SplitMix64`, Steele, Lea and Flood, OOPSLA 2014).
/// For workloads only: it is neither secret nor statistically demanding.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Starts the generator of `seed`.
    pub const fn new(seed: Seed) -> Self {
        Self { state: seed.0 }
    }

    /// Returns the next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `[0, 1)`, on a grid of 2⁻⁵³.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number below `bound`; 0 when the bound is 0. The bias is below
    /// `bound` / 2⁶⁴ (Lemire's multiplication without its rejection step).
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// Draws ranks `0..n` with probability proportional to `1 / (rank + 1)^exponent`,
/// from the exact table of cumulative shares: 8 bytes a rank, O(log n) a draw.
#[derive(Debug, Clone)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Builds the table for `ranks` ranks. An exponent of 0 draws uniformly;
    /// 0.99 is the usual stand-in for web traffic.
    ///
    /// # Panics
    ///
    /// When there is no rank, or the exponent is negative or not finite.
    #[expect(clippy::cast_precision_loss, reason = "a table of more than 2^53 ranks does not fit any memory")]
    pub fn new(ranks: usize, exponent: f64) -> Self {
        assert!(ranks > 0, "a Zipf distribution needs a rank to draw");
        assert!(exponent.is_finite() && exponent >= 0.0, "the exponent {exponent} is not a Zipf exponent");
        let mut total = 0.0;
        let mut cumulative: Vec<f64> = (1..=ranks)
            .map(|rank| {
                total += (rank as f64).powf(-exponent);
                total
            })
            .collect();
        for share in &mut cumulative {
            *share /= total;
        }
        Self { cumulative }
    }

    /// Returns the probability of `rank`; 0 beyond the last one.
    pub fn probability(&self, rank: usize) -> f64 {
        let up_to = |rank: usize| self.cumulative.get(rank).copied().unwrap_or(1.0);
        up_to(rank) - rank.checked_sub(1).map_or(0.0, up_to)
    }

    /// Draws a rank.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let point = dice.next_f64();
        self.cumulative.partition_point(|share| *share <= point).min(self.cumulative.len() - 1)
    }
}

/// One operation on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read the key.
    Read(u64),
    /// Write the key.
    Write(u64),
    /// Remove the key.
    Remove(u64),
}

/// In what proportion the operations come; the weights need not add up to anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Weight of reads.
    pub reads: u32,
    /// Weight of writes.
    pub writes: u32,
    /// Weight of removals.
    pub removals: u32,
}

impl Mix {
    /// 95 reads to 5 writes, as a cache sees it.
    pub const MOSTLY_READS: Self = Self { reads: 95, writes: 5, removals: 0 };
    /// Everything about as often as everything else: for tests against a naive twin.
    pub const CHURN: Self = Self { reads: 40, writes: 40, removals: 20 };
}

/// An endless stream of operations, the same for the same seed.
///
/// ```
/// use veritas_testkit::workload::{Mix, Seed, Workload};
///
/// let seed = Seed(7);
/// let first: Vec<_> = Workload::new(seed, 1_000, 0.99, Mix::MOSTLY_READS).take(100).collect();
/// let again: Vec<_> = Workload::new(seed, 1_000, 0.99, Mix::MOSTLY_READS).take(100).collect();
/// assert_eq!(first, again, "seed {seed}");
/// ```
#[derive(Debug, Clone)]
pub struct Workload {
    seed: Seed,
    dice: Dice,
    keys: Zipf,
    mix: Mix,
}

impl Workload {
    /// Starts a workload over `keys` keys whose popularity is Zipf with `exponent`.
    ///
    /// # Panics
    ///
    /// When there is no key, the exponent is not one, or all weights are 0.
    pub fn new(seed: Seed, keys: usize, exponent: f64, mix: Mix) -> Self {
        assert!(mix != Mix { reads: 0, writes: 0, removals: 0 }, "a mix of nothing has no next operation");
        Self { seed, dice: Dice::new(seed), keys: Zipf::new(keys, exponent), mix }
    }

    /// Returns the seed that reproduces this workload.
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// Returns the next operation.
    pub fn next_operation(&mut self) -> Operation {
        let key = self.keys.draw(&mut self.dice) as u64;
        let [reads, writes, removals] = [self.mix.reads, self.mix.writes, self.mix.removals].map(u64::from);
        let point = self.dice.below(reads + writes + removals);
        if point < reads {
            Operation::Read(key)
        } else if point < reads + writes {
            Operation::Write(key)
        } else {
            Operation::Remove(key)
        }
    }
}

impl Iterator for Workload {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        Some(self.next_operation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 100_000;

    #[test]
    fn the_dice_are_splitmix64() {
        // The first two outputs for seed 1234567, from the reference implementation by Vigna.
        let mut dice = Dice::new(Seed(1_234_567));
        assert_eq!(dice.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(dice.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut dice = Dice::new(Seed(3));
        assert!((0..DRAWS).all(|_| (0.0..1.0).contains(&dice.next_f64())));
        assert!((0..DRAWS).all(|_| dice.below(7) < 7));
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn ranks_come_as_often_as_their_probability_says() {
        let zipf = Zipf::new(100, 0.99);
        let mut dice = Dice::new(Seed(11));
        let mut counts = [0_u32; 100];
        for _ in 0..DRAWS {
            counts[zipf.draw(&mut dice)] += 1;
        }
        for (rank, count) in counts.into_iter().enumerate() {
            let expected = zipf.probability(rank) * f64::from(DRAWS);
            let deviation = (f64::from(count) - expected).abs() / expected.sqrt();
            assert!(deviation < 5.0, "rank {rank}: {count} draws, {expected:.0} expected");
        }
    }

    #[test]
    fn probabilities_add_up_to_one_and_fall_by_the_power_law() {
        let zipf = Zipf::new(1_000, 1.0);
        let total: f64 = (0..1_000).map(|rank| zipf.probability(rank)).sum();
        assert!((total - 1.0).abs() < 1e-12);
        assert!((zipf.probability(0) / zipf.probability(9) - 10.0).abs() < 1e-9);
        assert_eq!(zipf.probability(1_000), 0.0);
    }

    #[test]
    fn operations_come_in_the_proportion_of_the_mix() {
        let mix = Mix { reads: 6, writes: 3, removals: 1 };
        let mut counts = [0_u32; 3];
        for operation in Workload::new(Seed(5), 10, 0.0, mix).take(DRAWS as usize) {
            counts[match operation {
                Operation::Read(_) => 0,
                Operation::Write(_) => 1,
                Operation::Remove(_) => 2,
            }] += 1;
        }
        for (count, expected) in counts.into_iter().zip([60_000.0, 30_000.0, 10_000.0]) {
            assert!((f64::from(count) - expected).abs() < 5.0 * f64::sqrt(expected), "{counts:?}");
        }
    }

    #[test]
    fn another_seed_is_another_workload() {
        let take = |seed| Workload::new(Seed(seed), 100, 0.9, Mix::CHURN).take(20).collect::<Vec<_>>();
        assert_ne!(take(1), take(2));
        assert_eq!(Workload::new(Seed(9), 1, 0.0, Mix::CHURN).seed().to_string(), "0x0000000000000009");
    }
}
