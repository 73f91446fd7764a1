//! Patterns: which key is asked for next.

use veritas_statistics::Rng;

use super::Zipf;

/// Which keys are asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// By popularity, independently of each other.
    Zipf {
        /// How many there are.
        keys: u64,
        /// The skew: 0 is uniform, 1 is common.
        exponent: f64,
    },
    /// One after the other, again and again.
    Loop {
        /// How many there are.
        keys: u64,
    },
    /// Each key once, and never again.
    Once,
    /// By popularity, while the whole set moves on: every so many requests the
    /// most popular key is gone and a new one comes last.
    Drift {
        /// How many there are at any time.
        keys: u64,
        /// The skew.
        exponent: f64,
        /// Requests for each step.
        step: u64,
    },
    /// By popularity, but from time to time a crowd wants a few keys that nobody knew before.
    Crowd {
        /// How many there are in quiet times.
        keys: u64,
        /// The skew in quiet times.
        exponent: f64,
        /// Requests from the start of one crowd to that of the next.
        every: u64,
        /// Requests that a crowd lasts; half of them are the crowd's own.
        lasts: u64,
        /// How many keys a crowd wants.
        wanted: u64,
    },
    /// By popularity among two sets in turn, as day and night.
    Tides {
        /// How many there are in each set.
        keys: u64,
        /// The skew in each.
        exponent: f64,
        /// Requests from one change to the next.
        every: u64,
    },
    /// Several patterns beside each other, over keys of their own, each with its weight.
    Mix(Vec<(f64, Pattern)>),
}

/// A pattern under way.
pub(super) struct Source {
    kind: Kind,
    requests: u64,
}

enum Kind {
    Zipf(Zipf),
    Loop(u64),
    Once,
    Drift { zipf: Zipf, keys: u64, step: u64 },
    Crowd { zipf: Zipf, every: u64, lasts: u64, wanted: u64 },
    Tides { zipf: Zipf, every: u64 },
    Mix(Vec<(f64, Source)>),
}

impl Source {
    pub(super) fn new(pattern: &Pattern) -> Self {
        let kind = match pattern {
            Pattern::Zipf { keys, exponent } => Kind::Zipf(Zipf::new(*keys, *exponent)),
            Pattern::Loop { keys } => Kind::Loop((*keys).max(1)),
            Pattern::Once => Kind::Once,
            Pattern::Drift { keys, exponent, step } => {
                Kind::Drift { zipf: Zipf::new(*keys, *exponent), keys: *keys, step: (*step).max(1) }
            }
            Pattern::Crowd { keys, exponent, every, lasts, wanted } => Kind::Crowd {
                zipf: Zipf::new(*keys, *exponent),
                every: (*every).max(1),
                lasts: *lasts,
                wanted: (*wanted).max(1),
            },
            Pattern::Tides { keys, exponent, every } => {
                Kind::Tides { zipf: Zipf::new(*keys, *exponent), every: (*every).max(1) }
            }
            Pattern::Mix(parts) => {
                let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
                let mut until = 0.0;
                let parts = parts.iter().map(|(weight, pattern)| {
                    until += weight / total;
                    (until, Self::new(pattern))
                });
                Kind::Mix(parts.collect())
            }
        };
        Self { kind, requests: 0 }
    }

    /// Returns the next key: below 2^40, or with the number of its part above that.
    pub(super) fn next(&mut self, rng: &mut Rng) -> u64 {
        let number = self.requests;
        self.requests += 1;
        match &mut self.kind {
            Kind::Zipf(zipf) => zipf.draw(rng),
            Kind::Loop(keys) => number % *keys,
            Kind::Once => number,
            Kind::Drift { zipf, keys, step } => {
                // Rank r at step s is key s + r: the popular leave in order, the new come last.
                let (moved, rank) = (number / *step, zipf.draw(rng));
                debug_assert!(rank < *keys);
                moved + rank
            }
            Kind::Crowd { zipf, every, lasts, wanted } => {
                let (crowd, since) = (number / *every, number % *every);
                let is_crowd = crowd > 0 && since < *lasts && rng.below(2) == 0;
                if is_crowd { 1 << 32 | crowd << 20 | rng.below(*wanted) } else { zipf.draw(rng) }
            }
            Kind::Tides { zipf, every } => (number / *every % 2) << 32 | zipf.draw(rng),
            Kind::Mix(parts) => {
                let at = rng.next_f64();
                let last = parts.len().saturating_sub(1);
                let part = parts.iter().position(|(until, _)| at < *until).unwrap_or(last);
                parts.get_mut(part).map_or(0, |(_, source)| (part as u64) << 48 | source.next(rng))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn keys(pattern: &Pattern, count: usize) -> Vec<u64> {
        let (mut source, mut rng) = (Source::new(pattern), Rng::new(1));
        (0..count).map(|_| source.next(&mut rng)).collect()
    }

    #[test]
    fn loops_come_round_and_single_keys_do_not() {
        assert_eq!(keys(&Pattern::Loop { keys: 3 }, 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(keys(&Pattern::Once, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn a_drifting_set_is_another_in_the_end() {
        let drift = keys(&Pattern::Drift { keys: 100, exponent: 0.5, step: 10 }, 10_000);
        let (early, late): (HashSet<_>, HashSet<_>) =
            (drift[..1_000].iter().collect(), drift[9_000..].iter().collect());
        assert_eq!(early.intersection(&late).count(), 0);
    }

    #[test]
    fn a_crowd_comes_and_goes() {
        let pattern = Pattern::Crowd { keys: 100, exponent: 0.5, every: 1_000, lasts: 100, wanted: 5 };
        let keys = keys(&pattern, 3_000);
        let crowd = |range: std::ops::Range<usize>| keys[range].iter().filter(|key| **key >= 1 << 32).count();
        assert_eq!((crowd(0..1_000), crowd(1_100..2_000)), (0, 0));
        assert!((30..70).contains(&crowd(1_000..1_100)));
    }

    #[test]
    fn parts_of_a_mix_have_their_shares_and_their_own_keys() {
        let pattern = Pattern::Mix(vec![(3.0, Pattern::Loop { keys: 2 }), (1.0, Pattern::Once)]);
        let keys = keys(&pattern, 10_000);
        let first = keys.iter().filter(|key| **key < 2).count();
        assert!((7_300..7_700).contains(&first), "{first}");
        assert!(keys.iter().all(|key| *key < 2 || *key >> 48 == 1));
    }
}
