//! Estimates: what a count in a sample says of the whole, and a counter of its uses.

use veritas_cache::server::Share;
use veritas_model::{Interval, Ratio};
use veritas_statistics::normal;

/// The confidence of all intervals of a reading.
const CONFIDENCE: f64 = 0.95;

/// The counter that Redis gives a new key (`LFU_INIT_VAL` in `server.h`).
const INITIAL: u8 = 5;

/// The server's default of `lfu-log-factor`. The real one can only be read by who may
/// read the whole configuration, passwords included, which we do not ask for.
const LOG_FACTOR: f64 = 10.0;

/// Returns the share `count` of `sampled`, with Wilson's score interval (E. B. Wilson,
/// "Probable inference, the law of succession, and statistical inference", 1927), which
/// holds near 0 and 1 where the usual one does not. `None` of no sample.
#[expect(clippy::cast_precision_loss, reason = "samples of some hundreds")]
pub(super) fn share_of(count: u64, sampled: u64) -> Option<Share> {
    let share = Ratio::of(count, sampled)?;
    let z = normal::quantile(f64::midpoint(1.0, CONFIDENCE))?;
    let (p, n) = (share.get(), sampled as f64);
    let spread = z * ((p * (1.0 - p) + z * z / (4.0 * n)) / n).sqrt();
    let centre = p + z * z / (2.0 * n);
    let scale = 1.0 + z * z / n;
    let interval = Interval {
        low: if count == 0 { 0.0 } else { ((centre - spread) / scale).max(0.0) },
        high: if count == sampled { 1.0 } else { ((centre + spread) / scale).min(1.0) },
        confidence: CONFIDENCE,
    };
    Some(Share { count, sampled, share, interval })
}

/// Returns how many uses make a counter of `counter` on average.
///
/// A use raises a counter `c` with probability 1 / ((c − 5) × factor + 1)
/// (`LFULogIncr` in `evict.c`), so that each step takes that many uses.
pub(super) fn uses_of(counter: u8) -> f64 {
    let steps = f64::from(counter.saturating_sub(INITIAL));
    LOG_FACTOR * steps * (steps - 1.0).max(0.0) / 2.0 + steps
}

#[cfg(test)]
mod tests {
    use veritas_statistics::Rng;

    use super::*;

    #[test]
    fn a_share_of_nothing_is_not_known() {
        assert!(share_of(0, 0).is_none());
    }

    /// Figures of R: `prop.test(8, 400, correct = FALSE)`, and of 0 and all of 10.
    #[test]
    fn intervals_are_those_of_wilson() {
        let check = |count, sampled, low: f64, high: f64| {
            let interval = share_of(count, sampled).unwrap().interval;
            assert!((interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5, "{interval:?}");
        };
        check(8, 400, 0.0102, 0.0390);
        check(0, 10, 0.0, 0.2775);
        check(10, 10, 0.7225, 1.0);
    }

    #[test]
    fn intervals_hold_the_true_share_about_as_often_as_they_say() {
        let mut rng = Rng::new(7);
        for share in [0.02, 0.1, 0.5, 0.93] {
            let held = (0..2_000)
                .filter(|_| {
                    let count = (0..400).filter(|_| rng.next_f64() < share).count() as u64;
                    let interval = share_of(count, 400).unwrap().interval;
                    interval.low <= share && share <= interval.high
                })
                .count();
            assert!((1_860..=1_960).contains(&held), "{share}: {held} of 2000");
        }
    }

    /// The counter simulated as the server does it.
    #[test]
    fn uses_are_those_that_the_counter_takes_on_average() {
        let mut rng = Rng::new(3);
        let rounds = 400;
        let mut uses = 0_u32;
        for _ in 0..rounds {
            let mut counter = 5.0;
            while counter < 20.0 {
                uses += 1;
                if rng.next_f64() < 1.0 / ((counter - 5.0) * 10.0 + 1.0) {
                    counter += 1.0;
                }
            }
        }
        let mean = f64::from(uses) / f64::from(rounds);
        assert!((mean / uses_of(20) - 1.0).abs() < 0.1, "{mean} against {}", uses_of(20));
        assert_eq!((uses_of(0), uses_of(5), uses_of(6)), (0.0, 0.0, 1.0));
    }
}
