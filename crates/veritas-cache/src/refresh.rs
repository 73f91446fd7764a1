//! Early refresh: who renews a value that is about to die.
//!
//! Each reader of a value that took `delta` to load draws a random `u` in (0, 1]
//! and renews the value when `-beta · delta · ln(u)` is at least the time that is
//! left. The nearer the end and the dearer the load, the likelier: the value is
//! renewed in time, by few, and without their talking to each other (A. Vattani,
//! F. Chierichetti, K. Lowenstein: "Optimal Probabilistic Cache Stampede
//! Prevention", VLDB 2015; `beta` = 1 is their optimum).

use std::{cell::Cell, hash::BuildHasher};

/// Beyond this many `beta · delta` before the end nobody draws: it would say yes
/// once in nine million times.
const FAR: f64 = 16.0;

/// Returns whether a reader is to renew a value that has `left` to live and took
/// `cost` to load, both in nanoseconds. Cost: a multiplication far from the end,
/// some 20 ns near to it.
#[inline]
pub(crate) fn is_due(left: u64, cost: u64, beta: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a float keeps 104 days to a nanosecond")]
    let (left, mean) = (left as f64, beta * cost as f64);
    left < FAR * mean && draws_more(left, mean, uniform())
}

/// Returns whether an exponential variate of that mean, made of the uniform one, is at least `left`.
fn draws_more(left: f64, mean: f64, uniform: f64) -> bool {
    -mean * uniform.ln() >= left
}

/// Returns a random number in (0, 1]. It need only be unlike those of other threads.
fn uniform() -> f64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(std::hash::RandomState::new().hash_one(0));
    }
    let random = STATE.try_with(|state| {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    // A thread that is being torn down renews nothing early.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    random.map_or(1.0, |random| ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `draws` times with `left` of `cost` to go; returns the share of yes.
    fn share(left: u64, cost: u64, beta: f64) -> f64 {
        const DRAWS: u32 = 100_000;
        f64::from((0..DRAWS).map(|_| u32::from(is_due(left, cost, beta))).sum::<u32>()) / f64::from(DRAWS)
    }

    #[test]
    fn it_is_due_as_often_as_an_exponential_variate_is_larger() {
        for (left, cost, beta) in [(10_u32, 10_u32, 1.0), (5, 10, 1.0), (30, 10, 2.0), (1, 1_000_000, 1.0)] {
            let expected = (-f64::from(left) / (beta * f64::from(cost))).exp();
            let seen = share(u64::from(left), u64::from(cost), beta);
            // Five standard deviations of 100 000 draws are below 0.008.
            assert!((seen - expected).abs() < 0.008, "{seen} {expected}");
        }
    }

    #[test]
    fn it_is_never_due_far_from_the_end_or_without_cost_or_when_off() {
        assert_eq!(share(1_600, 100, 1.0), 0.0);
        assert_eq!(share(1, 0, 1.0), 0.0);
        assert_eq!(share(1, 1_000, 0.0), 0.0);
    }

    #[test]
    fn a_uniform_number_is_never_zero() {
        assert!((0..10_000).map(|_| uniform()).all(|random| random > 0.0 && random <= 1.0));
        assert!(!draws_more(1.0, 1e9, 1.0) && draws_more(0.0, 1.0, 1.0));
    }
}
