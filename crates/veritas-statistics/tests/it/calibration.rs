//! Seeded simulations: tests err as often as they say, intervals hold what they say.

use veritas_model::Interval;
use veritas_statistics::{
    Rng, bootstrap, order,
    paired::{Alternative, signed_rank},
};

const TRIALS: u32 = 4_000;

/// Fails unless `hits` of `TRIALS` lie within 3.5 standard deviations of `rate`.
#[track_caller]
fn check_rate(what: &str, hits: u32, rate: f64) {
    let trials = f64::from(TRIALS);
    let seen = f64::from(hits) / trials;
    let band = 3.5 * (rate * (1.0 - rate) / trials).sqrt();
    println!("{what}: {:.2} % (nominal {:.2} % ± {:.2} %)", seen * 100.0, rate * 100.0, band * 100.0);
    assert!((seen - rate).abs() <= band, "{what}: {seen} outside {rate} ± {band}");
}

/// Symmetric noise around zero of several shapes.
fn noise(shape: usize, rng: &mut Rng) -> f64 {
    let normal = rng.standard_normal();
    match shape {
        0 => normal,
        // Laplace: heavier tails.
        1 => -(1.0 - rng.next_f64()).ln() * normal.signum(),
        // Cauchy: no mean at all.
        2 => normal / rng.standard_normal(),
        // Bimodal: bursts of a noisy neighbour on either side.
        _ => normal + if rng.below(10) == 0 { 20.0 * normal.signum() } else { 0.0 },
    }
}

#[track_caller]
fn check_false_positives(pairs: usize, alternative: Alternative, alpha: f64) {
    for shape in 0..4 {
        let mut rng = Rng::new(1_000 + shape as u64);
        let hits = (0..TRIALS)
            .filter(|_| {
                let differences: Vec<f64> = (0..pairs).map(|_| noise(shape, &mut rng)).collect();
                signed_rank(&differences, alternative).unwrap().p_value <= alpha
            })
            .count();
        let what = format!("{pairs} pairs of shape {shape}, {alternative:?}");
        check_rate(&what, u32::try_from(hits).unwrap(), alpha);
    }
}

#[test]
fn equal_arms_are_told_apart_as_rarely_as_alpha_says() {
    for alpha in [0.01, 0.05] {
        check_false_positives(20, Alternative::Less, alpha);
        check_false_positives(20, Alternative::TwoSided, alpha);
        check_false_positives(60, Alternative::Greater, alpha);
        check_false_positives(200, Alternative::Less, alpha);
    }
}

#[test]
fn ties_and_zeros_do_not_raise_the_false_positive_rate() {
    for (pairs, alpha) in [(15, 0.05), (40, 0.01), (120, 0.05), (120, 0.01)] {
        let mut rng = Rng::new(7);
        let hits = (0..TRIALS)
            .filter(|_| {
                // Steps of a virtual machine: few distinct values, many equal pairs.
                let differences: Vec<f64> = (0..pairs).map(|_| rng.standard_normal().round()).collect();
                signed_rank(&differences, Alternative::Greater).is_some_and(|test| test.p_value <= alpha)
            })
            .count();
        let rate = f64::from(u32::try_from(hits).unwrap()) / f64::from(TRIALS);
        let band = alpha + 3.5 * (alpha * (1.0 - alpha) / f64::from(TRIALS)).sqrt();
        println!("{pairs} tied pairs: {:.2} % (nominal {:.2} %)", rate * 100.0, alpha * 100.0);
        assert!(rate <= band && rate >= alpha / 3.0, "{rate} at {alpha}");
    }
}

#[test]
fn a_real_difference_is_found() {
    // Half a standard deviation over 60 pairs: the t test would have a power of 98.7 % at 5 %.
    let mut rng = Rng::new(11);
    let found = (0..1_000)
        .filter(|_| {
            let differences: Vec<f64> = (0..60).map(|_| rng.standard_normal() + 0.5).collect();
            signed_rank(&differences, Alternative::Greater).unwrap().p_value <= 0.05
        })
        .count();
    println!("power: {found} of 1000");
    assert!(found >= 965, "{found}");
}

#[track_caller]
fn check_coverage(what: &str, nominal: f64, least: f64, mut trial: impl FnMut(u64) -> (Interval, f64)) {
    let trials = 1_000_u32;
    let held = (0..u64::from(trials))
        .filter(|seed| {
            let (interval, truth) = trial(*seed);
            interval.low <= truth && truth <= interval.high
        })
        .count();
    let share = f64::from(u32::try_from(held).unwrap()) / f64::from(trials);
    println!("{what}: {:.1} % (nominal {:.0} %)", share * 100.0, nominal * 100.0);
    let most = nominal + 3.5 * (nominal * (1.0 - nominal) / f64::from(trials)).sqrt();
    assert!((least..=most).contains(&share), "{what}: {share}");
}

#[test]
fn bootstrap_intervals_hold_the_truth_as_often_as_they_say() {
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len() as f64;
    check_coverage("mean of 40 normal values", 0.90, 0.86, |seed| {
        let mut rng = Rng::new(seed);
        let samples: Vec<f64> = (0..40).map(|_| rng.standard_normal()).collect();
        (bootstrap::interval(&samples, mean, 0.90, 400, seed).unwrap(), 0.0)
    });
    // Skewed data are what the acceleration is for; small samples still fall a little short.
    check_coverage("mean of 40 exponential values", 0.90, 0.85, |seed| {
        let mut rng = Rng::new(seed + 5_000);
        let samples: Vec<f64> = (0..40).map(|_| -(1.0 - rng.next_f64()).ln()).collect();
        (bootstrap::interval(&samples, mean, 0.90, 400, seed).unwrap(), 1.0)
    });
    check_coverage("ratio of the means of 60 pairs", 0.95, 0.92, |seed| {
        let mut rng = Rng::new(seed + 9_000);
        let pairs: Vec<(f64, f64)> = (0..60)
            .map(|_| {
                // A shared disturbance, as pairs measured side by side have.
                let shared = 10.0 - (1.0 - rng.next_f64()).ln() * 3.0;
                (shared + rng.standard_normal(), 0.8 * shared + rng.standard_normal())
            })
            .collect();
        (bootstrap::ratio_of_means_interval(&pairs, 0.95, 400, seed).unwrap(), 0.8)
    });
}

#[test]
fn order_statistic_intervals_hold_the_truth_at_least_as_often_as_they_say() {
    for (q, count) in [(0.5, 25), (0.9, 120), (0.99, 600)] {
        let mut held = 0_u32;
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let mut samples: Vec<f64> = (0..count).map(|_| rng.next_f64()).collect();
            samples.sort_unstable_by(f64::total_cmp);
            let interval = order::quantile_interval(&samples, q, 0.95).unwrap();
            held += u32::from(interval.low <= q && q <= interval.high);
        }
        let share = f64::from(held) / 2_000.0;
        println!("q {q} of {count}: {:.1} %", share * 100.0);
        assert!((0.935..=0.995).contains(&share), "{q}: {share}");
    }
}
