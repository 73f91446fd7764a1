//! The suite: the workloads that the claims on accuracy are made on.

use super::{Pattern, Weights, Workload};

/// A workload of the suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it is called in tables.
    pub name: &'static str,
    /// What it asks for.
    pub workload: Workload,
}

/// Returns the workloads of the suite, over about `keys` keys each.
///
/// Skews from 0.6 to 1.3, a loop, a loop beside a skewed set, drift, crowds, day
/// and night, many keys that are asked for once, a mix of all, and weights that
/// are spread evenly or have a heavy tail (weights in bytes there).
pub fn suite(keys: u64, seed: u64) -> Vec<Case> {
    let zipf = |keys: u64, exponent: f64| Pattern::Zipf { keys, exponent };
    let one = |name, pattern| Case { name, workload: Workload::new(pattern, seed) };
    let weighted = |name, pattern, weights| Case {
        name,
        workload: Workload { weights, ..Workload::new(pattern, seed) },
    };
    vec![
        one("zipf 0.6", zipf(keys, 0.6)),
        one("zipf 0.8", zipf(keys, 0.8)),
        one("zipf 0.9", zipf(keys, 0.9)),
        one("zipf 0.99", zipf(keys, 0.99)),
        one("zipf 1.1", zipf(keys, 1.1)),
        one("zipf 1.3", zipf(keys, 1.3)),
        one("loop", Pattern::Loop { keys: keys / 2 }),
        one(
            "zipf + loop",
            Pattern::Mix(vec![(2.0, zipf(keys / 2, 0.9)), (1.0, Pattern::Loop { keys: keys / 4 })]),
        ),
        one("drift", Pattern::Drift { keys: keys / 4, exponent: 0.8, step: 8 }),
        one(
            "flash crowds",
            Pattern::Crowd { keys, exponent: 0.9, every: keys / 2, lasts: keys / 8, wanted: 64 },
        ),
        one("day and night", Pattern::Tides { keys: keys / 2, exponent: 0.9, every: keys }),
        one("30 % asked for once", Pattern::Mix(vec![(7.0, zipf(keys / 2, 0.99)), (3.0, Pattern::Once)])),
        one("60 % asked for once", Pattern::Mix(vec![(4.0, zipf(keys / 4, 0.9)), (6.0, Pattern::Once)])),
        one(
            "mix",
            Pattern::Mix(vec![
                (6.0, zipf(keys / 2, 0.9)),
                (2.5, Pattern::Drift { keys: keys / 8, exponent: 0.7, step: 16 }),
                (1.5, Pattern::Loop { keys: keys / 4 }),
            ]),
        ),
        weighted("even weights", zipf(keys, 0.9), Weights::Even { from: 128, to: 1_024 }),
        weighted("Pareto weights", zipf(keys, 0.99), Weights::Pareto { from: 128, shape: 1.3 }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_workloads_of_the_suite_are_the_same() {
        let cases = suite(10_000, 1);
        assert!(cases.len() >= 12);
        for (number, case) in cases.iter().enumerate() {
            assert!(cases[..number].iter().all(|other| other.name != case.name));
            assert!(cases[..number].iter().all(|other| other.workload != case.workload));
        }
    }
}
