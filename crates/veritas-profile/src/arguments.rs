//! Arguments: how often the arguments of a function repeat, in bounded memory.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::TryLockError,
};

use crate::{DistinctArguments, SIMULATED_ENTRIES, Site, recorder};

/// Distinct arguments are counted one by one up to this many, then estimated.
const EXACT: usize = 4096;

/// Registers of the estimate: a standard error of 1.04 / √1024 = 3.25 %.
const REGISTERS: usize = 1024;

/// Bits of a hash that choose the register; the others are ranked.
const REGISTER_BITS: u32 = REGISTERS.trailing_zeros();
const RANKED_BITS: u32 = u64::BITS - REGISTER_BITS;

/// Notes the arguments of a call that is about to be made at `site`, when
/// recording is on: how often they repeat is then part of its profile.
///
/// Only a hash is kept. Cost: hashing, a lock of the site that is not waited for
/// (a call that finds it taken is left out), and up to 100 KiB a site.
pub fn arguments<A: Hash + ?Sized>(site: &'static Site, arguments: &A) {
    if !recorder::is_enabled() || site.index().is_none() {
        return;
    }
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let mut sketch = match site.sketch().try_lock() {
        Ok(sketch) => sketch,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let epoch = recorder::epoch();
    match &mut *sketch {
        Some(sketch) if sketch.epoch == epoch => sketch.note(hasher.finish()),
        other => other.insert(Sketch::new(epoch)).note(hasher.finish()),
    }
}

/// What is known of the arguments of one site.
#[derive(Debug)]
pub(crate) struct Sketch {
    epoch: u64,
    calls: u64,
    distinct: Distinct,
    /// A direct-mapped cache of hashes; 0 is an empty place.
    cache: Box<[u64; SIMULATED_ENTRIES]>,
    simulated_hits: u64,
}

#[derive(Debug)]
enum Distinct {
    Exact(HashSet<u64>),
    Estimated(Box<[u8; REGISTERS]>),
}

impl Sketch {
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            calls: 0,
            distinct: Distinct::Exact(HashSet::new()),
            cache: Box::new([0; SIMULATED_ENTRIES]),
            simulated_hits: 0,
        }
    }

    /// Returns what is known, or `None` when it is of another epoch.
    pub(crate) fn read(&self, epoch: u64) -> Option<DistinctArguments> {
        (self.epoch == epoch).then(|| DistinctArguments {
            calls: self.calls,
            // No estimate may say that more were distinct than there were.
            distinct: self.distinct.count().min(self.calls),
            relative_error: self.distinct.relative_error(),
            simulated_hits: self.simulated_hits,
        })
    }

    pub(crate) fn note(&mut self, hash: u64) {
        let hash = hash.max(1);
        self.calls += 1;
        self.distinct.note(hash);
        // The highest bits choose here, since the lowest choose the register.
        #[expect(clippy::cast_possible_truncation, reason = "a few bits are left after the shift")]
        let place = (hash >> (u64::BITS - SIMULATED_ENTRIES.trailing_zeros())) as usize;
        if std::mem::replace(&mut self.cache[place], hash) == hash {
            self.simulated_hits += 1;
        }
    }
}

impl Distinct {
    fn note(&mut self, hash: u64) {
        match self {
            Self::Estimated(registers) => raise(registers, hash),
            Self::Exact(seen) => {
                seen.insert(hash);
                if seen.len() > EXACT {
                    let mut registers = Box::new([0; REGISTERS]);
                    for &hash in &*seen {
                        raise(&mut registers, hash);
                    }
                    *self = Self::Estimated(registers);
                }
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Exact(seen) => seen.len() as u64,
            Self::Estimated(registers) => estimate(registers),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "1024 is exact")]
    fn relative_error(&self) -> f64 {
        match self {
            Self::Exact(_) => 0.0,
            Self::Estimated(_) => 1.04 / (REGISTERS as f64).sqrt(),
        }
    }
}

/// Raises a hash's register to the rank of its first set bit.
fn raise(registers: &mut [u8; REGISTERS], hash: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "ten bits are left after the mask")]
    let register = &mut registers[(hash & (REGISTERS as u64 - 1)) as usize];
    // Shifting in a one bounds the rank at RANKED_BITS + 1.
    let ranked = (hash >> REGISTER_BITS) | 1 << RANKED_BITS;
    #[expect(clippy::cast_possible_truncation, reason = "at most 55")]
    let rank = (ranked.trailing_zeros() + 1) as u8;
    *register = (*register).max(rank);
}

/// Estimates a number of distinct hashes (O. Ertl, "New cardinality estimation
/// algorithms for `HyperLogLog` sketches", 2017, algorithm 6): without bias over the
/// whole range and without tables.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, and the cast saturates"
)]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let mut of_rank = [0_u32; RANKED_BITS as usize + 2];
    for &rank in registers {
        of_rank[usize::from(rank)] += 1;
    }
    let count = REGISTERS as f64;
    let highest = RANKED_BITS as usize;
    let mut z = count * tau(1.0 - f64::from(of_rank[highest + 1]) / count);
    for rank in (1..=highest).rev() {
        z = 0.5 * (z + f64::from(of_rank[rank]));
    }
    z += count * sigma(f64::from(of_rank[0]) / count);
    (count * count / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch_of(arguments: impl Iterator<Item = u64>) -> DistinctArguments {
        let mut sketch = Sketch::new(0);
        arguments.for_each(|value| {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            sketch.note(hasher.finish());
        });
        sketch.read(0).unwrap()
    }

    #[test]
    fn few_arguments_are_counted_exactly() {
        let seen = sketch_of((0..10_000).map(|call| call % 50));
        assert_eq!((seen.calls, seen.distinct, seen.relative_error), (10_000, 50, 0.0));
        assert_eq!(seen.highest_hit_ratio().map(veritas_model::Ratio::get), Some(0.995));
        assert!(seen.simulated_hits > 8_000, "{seen:?}");
    }

    #[test]
    fn many_arguments_are_estimated_within_four_standard_errors() {
        for distinct in [4_097_u64, 10_000, 100_000, 1_000_000] {
            let seen = sketch_of(0..distinct);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let error = seen.distinct as f64 / distinct as f64 - 1.0;
            assert!(error.abs() <= 4.0 * seen.relative_error, "{distinct}: {error}");
            assert_eq!(seen.simulated_hits, 0);
        }
    }

    #[test]
    fn another_epoch_knows_nothing() {
        assert_eq!(Sketch::new(1).read(2), None);
    }
}
