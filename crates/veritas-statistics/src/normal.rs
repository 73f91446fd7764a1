//! The standard normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// Returns the probability of a value at or below `z`, to 15 decimals; in the
/// lower tail to a relative 1e-9 down to z = -6. NaN stays NaN.
///
/// Hart's approximation in the form of G. West, "Better approximations to
/// cumulative normal functions", Wilmott Magazine, May 2005.
pub fn cdf(z: f64) -> f64 {
    const NUMERATOR: [f64; 7] = [
        3.526_249_659_989_11e-2,
        0.700_383_064_443_688,
        6.373_962_203_531_65,
        33.912_866_078_383,
        112.079_291_497_871,
        221.213_596_169_931,
        220.206_867_912_376,
    ];
    const DENOMINATOR: [f64; 8] = [
        8.838_834_764_831_84e-2,
        1.755_667_163_182_64,
        16.064_177_579_207,
        86.780_732_202_946_1,
        296.564_248_779_674,
        637.333_633_378_831,
        793.826_512_519_948,
        440.413_735_824_752,
    ];
    let distance = z.abs();
    let density = (-distance * distance / 2.0).exp();
    let tail = if distance < 5.0 * SQRT_2 {
        density * polynomial(&NUMERATOR, distance) / polynomial(&DENOMINATOR, distance)
    } else {
        // The continued fraction of Mills' ratio.
        let fraction =
            distance + 1.0 / (distance + 2.0 / (distance + 3.0 / (distance + 4.0 / (distance + 0.65))));
        density / fraction / (2.0 * PI).sqrt()
    };
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Returns the value below which the probability is `p`, or `None` unless `p`
/// lies strictly between 0 and 1.
///
/// Acklam's rational approximation (relative error 1.15e-9), made exact to
/// machine precision by one step of Halley's method with [`cdf`].
pub fn quantile(p: f64) -> Option<f64> {
    const CENTRAL_NUMERATOR: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const CENTRAL_DENOMINATOR: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const TAIL_NUMERATOR: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const TAIL_DENOMINATOR: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    if p > 0.5 {
        // The lower tail is the exact one.
        return quantile(1.0 - p).map(|z| -z);
    }
    let rough = if p < TAIL {
        let root = (-2.0 * p.ln()).sqrt();
        polynomial(&TAIL_NUMERATOR, root) / polynomial(&TAIL_DENOMINATOR, root)
    } else {
        let centred = p - 0.5;
        let square = centred * centred;
        centred * polynomial(&CENTRAL_NUMERATOR, square) / polynomial(&CENTRAL_DENOMINATOR, square)
    };
    let error = (cdf(rough) - p) * (2.0 * PI).sqrt() * (rough * rough / 2.0).exp();
    Some(rough - error / (1.0 + rough * error / 2.0))
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |value, coefficient| value * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(z: f64, expected: f64) {
        let relative = (cdf(z) - expected).abs() / expected;
        assert!(
            relative < if z.abs() < 4.0 { 1e-11 } else { 1e-9 },
            "cdf({z}) = {}, expected {expected}",
            cdf(z)
        );
        if z.abs() < 5.0 {
            let back = quantile(expected).unwrap();
            assert!((back - z).abs() < 1e-9, "quantile({expected}) = {back}, expected {z}");
        }
    }

    #[test]
    fn tabulated_values_are_met() {
        check(0.0, 0.5);
        check(1.0, 0.841_344_746_068_542_9);
        check(-1.0, 0.158_655_253_931_457_05);
        check(1.959_963_984_540_054, 0.975);
        check(-2.326_347_874_040_840_8, 0.01);
        check(-3.0, 1.349_898_031_630_094_6e-3);
        check(-6.0, 9.865_876_450_376_98e-10);
    }

    #[test]
    fn the_far_tail_is_small_and_not_zero() {
        // 7.619853024160527e-24 (Mathematica); the continued fraction is cut off.
        assert!((cdf(-10.0) / 7.619_853_024_160_527e-24 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn certainty_has_no_quantile() {
        for p in [0.0, 1.0, -0.1, 1.1, f64::NAN] {
            assert_eq!(quantile(p), None);
        }
    }

    #[test]
    fn the_quantile_undoes_the_probability() {
        for step in 1..1000 {
            let p = f64::from(step) / 1000.0;
            assert!((cdf(quantile(p).unwrap()) - p).abs() < 1e-14);
        }
    }
}
