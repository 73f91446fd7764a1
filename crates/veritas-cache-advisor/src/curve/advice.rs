//! Advice on one size: the smallest that is nearly as good as any.

use veritas_model::Bytes;

use super::{CurvePoint, MissRatioCurve};

/// A size that is advised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeAdvice {
    /// What it would miss there, and how far off that may be.
    pub point: CurvePoint,
    /// The lowest miss ratio at any size of the curve.
    pub best: f64,
}

/// Advises the smallest capacity whose miss ratio is within `regret` of the best
/// of the curve, `None` of an empty curve.
///
/// Between two points the capacity is interpolated over its logarithm, unless the
/// curve falls by more than ten regrets there: that may be a cliff, as of a loop
/// that only just fits, and then it is the larger of the two. The aim is three
/// quarters of the regret, so that errors of the curve are covered.
pub fn advise_size(curve: &MissRatioCurve, regret: f64) -> Option<SizeAdvice> {
    let best = curve.points.iter().map(|point| point.miss_ratio).reduce(f64::min)?;
    let limit = best + regret * 0.75;
    let within = curve.points.iter().position(|point| point.miss_ratio <= limit)?;
    let point = curve.points[within];
    let Some(below) = within.checked_sub(1).map(|index| curve.points[index]) else {
        return Some(SizeAdvice { point, best });
    };
    if below.miss_ratio - point.miss_ratio > regret * 10.0 {
        return Some(SizeAdvice { point, best });
    }
    let share = (below.miss_ratio - limit) / (below.miss_ratio - point.miss_ratio);
    let capacity = interpolated(below.capacity, point.capacity, share);
    Some(SizeAdvice {
        point: CurvePoint { capacity, miss_ratio: limit.max(point.miss_ratio), ..point },
        best,
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two capacities"
)]
fn interpolated(low: Bytes, high: Bytes, share: f64) -> Bytes {
    let (from, to) = ((low.get().max(1) as f64).ln(), (high.get().max(1) as f64).ln());
    Bytes::new((from + (to - from) * share).exp().ceil() as u64).min(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u64, f64)]) -> MissRatioCurve {
        let points = points.iter().map(|(capacity, miss_ratio)| CurvePoint {
            capacity: Bytes::new(*capacity),
            miss_ratio: *miss_ratio,
            error_bound: 0.001,
        });
        MissRatioCurve { points: points.collect(), ..Default::default() }
    }

    #[test]
    fn the_smallest_that_is_good_enough_is_advised() {
        let advice = advise_size(&curve(&[(100, 0.9), (200, 0.3), (400, 0.3), (800, 0.299)]), 0.01).unwrap();
        assert_eq!(advice.point.capacity, Bytes::new(200), "the fall to it may be a cliff");
        assert_eq!(advice.best, 0.299);
    }

    #[test]
    fn between_points_the_capacity_is_in_between() {
        let advice = advise_size(&curve(&[(100, 0.02), (400, 0.0)]), 0.01).unwrap();
        assert!((200..400).contains(&advice.point.capacity.get()), "{advice:?}");
        assert!((advice.point.miss_ratio - 0.0075).abs() < 1e-12);
    }

    #[test]
    fn a_flat_curve_asks_for_the_smallest() {
        assert_eq!(advise_size(&curve(&[(1, 1.0), (10, 1.0)]), 0.01).unwrap().point.capacity, Bytes::new(1));
        assert_eq!(advise_size(&MissRatioCurve::default(), 0.01), None);
    }
}
