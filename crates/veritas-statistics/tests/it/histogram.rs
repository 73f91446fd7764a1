//! The histogram against sorted data, from 1 ns to `u64::MAX`.

use proptest::{collection::vec, prelude::*};
use veritas_statistics::{Histogram, Rng, SharedHistogram};

/// Values of every size: each number of bits is as likely as any other.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (1..=64_u32, any::<u64>()).prop_map(|(bits, noise)| {
            let top = 1_u64 << (bits - 1);
            top | (noise & (top - 1))
        }),
        1 => Just(u64::MAX),
        1 => 0..200_u64,
    ]
}

fn histogram_of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    for value in values {
        histogram.record(*value);
    }
    histogram
}

/// The smallest value with at least `percent` of all values at or below it.
fn nearest_rank(sorted: &[u64], percent: usize) -> u64 {
    sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1]
}

proptest! {
    #[test]
    fn every_percentile_is_within_one_part_in_128(values in vec(value(), 1..400)) {
        let histogram = histogram_of(&values);
        let mut sorted = values;
        sorted.sort_unstable();
        for percent in 0..=100_u32 {
            let shown = histogram.quantile(f64::from(percent) / 100.0).unwrap();
            let truth = nearest_rank(&sorted, percent as usize);
            prop_assert!(
                u128::from(shown.abs_diff(truth)) * 128 <= u128::from(truth),
                "p{percent}: {shown}, true {truth}"
            );
        }
        prop_assert_eq!(histogram.min(), sorted.first().copied());
        prop_assert_eq!(histogram.max(), sorted.last().copied());
        prop_assert_eq!(histogram.count(), sorted.len() as u64);
        prop_assert_eq!(histogram.sum(), sorted.iter().map(|value| u128::from(*value)).sum::<u128>());
    }

    #[test]
    fn parts_merge_in_any_order_to_the_same_bits(
        values in vec(value(), 0..200),
        parts in 1..8_usize,
        seed in any::<u64>(),
    ) {
        let whole = histogram_of(&values);
        let mut merged: Vec<Histogram> = (0..parts)
            .map(|part| histogram_of(&values.iter().copied().skip(part).step_by(parts).collect::<Vec<_>>()))
            .collect();
        let mut rng = Rng::new(seed);
        while merged.len() > 1 {
            rng.shuffle(&mut merged);
            let part = merged.pop().unwrap();
            merged[0].merge(&part);
        }
        prop_assert_eq!(&merged[0], &whole);
    }

    #[test]
    fn a_window_counts_what_the_later_values_count(
        earlier in vec(value(), 0..100),
        later in vec(value(), 0..100),
    ) {
        let before = histogram_of(&earlier);
        let mut after = before.clone();
        after.merge(&histogram_of(&later));
        let (window, truth) = (after.since(&before), histogram_of(&later));
        prop_assert_eq!(window.count(), truth.count());
        prop_assert_eq!(window.sum(), truth.sum());
        for q in [0.0, 0.5, 0.99, 1.0] {
            let (shown, truth) = (window.quantile(q), truth.quantile(q));
            prop_assert_eq!(shown.is_some(), truth.is_some());
            if let (Some(shown), Some(truth)) = (shown, truth) {
                // Both stand for the same bucket.
                prop_assert!(u128::from(shown.abs_diff(truth)) * 64 <= u128::from(truth));
            }
        }
    }

    #[test]
    fn the_shared_histogram_counts_the_same(values in vec(value(), 0..200)) {
        let shared = SharedHistogram::new();
        for value in &values {
            shared.record(*value);
        }
        prop_assert_eq!(shared.snapshot(), histogram_of(&values));
    }

    #[test]
    fn counting_n_times_is_counting_n_times(value in value(), times in 0..50_u64) {
        let mut at_once = Histogram::new();
        at_once.record_n(value, times);
        let one_by_one = histogram_of(&vec![value; usize::try_from(times).unwrap()]);
        prop_assert_eq!(at_once, one_by_one);
    }
}
