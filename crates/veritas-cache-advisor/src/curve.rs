//! Miss-ratio curves: what share of look-ups misses at every size.

mod advice;
mod estimator;
mod hull;

use veritas_model::Bytes;

pub use advice::{SizeAdvice, advise_size};
pub use estimator::{EstimatorOptions, MissRatioEstimator};
pub use hull::{Demand, divide};

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The capacity; a number of entries where every entry weighs one.
    pub capacity: Bytes,
    /// The share of look-ups that misses there, from 0 to 1.
    pub miss_ratio: f64,
    /// How far off that may be: 0 where all keys were simulated, else the half of
    /// an interval that holds the truth nine times in ten or more on our
    /// synthetic workloads.
    pub error_bound: f64,
}

/// The share of look-ups that misses, by capacity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MissRatioCurve {
    /// Ascending in the capacity.
    pub points: Vec<CurvePoint>,
    /// How many look-ups it speaks for.
    pub look_ups: u64,
    /// How many of them were simulated.
    pub simulated: u64,
    /// The share of keys that is sampled now; 1 where the curve is exact.
    pub rate: f64,
    /// The mean weight of an entry that was measured on the cache itself, in bytes, and simulated
    /// with; `None`: it holds none, and that of the policy was taken.
    pub entry_bytes: Option<f64>,
}

impl MissRatioCurve {
    /// Returns the miss ratio at a capacity, by linear interpolation over the
    /// logarithm of the capacity; beyond the ends it is that of the end. `None` of
    /// an empty curve.
    pub fn miss_ratio_at(&self, capacity: Bytes) -> Option<f64> {
        let after = self.points.partition_point(|point| point.capacity < capacity);
        let above = self.points.get(after).or(self.points.last())?;
        let below = self.points.get(after.checked_sub(1).unwrap_or(after))?;
        let (low, high) = (logarithm(below.capacity), logarithm(above.capacity));
        if high <= low {
            return Some(above.miss_ratio);
        }
        let share = ((logarithm(capacity) - low) / (high - low)).clamp(0.0, 1.0);
        Some(below.miss_ratio + (above.miss_ratio - below.miss_ratio) * share)
    }
}

impl MissRatioCurve {
    /// Returns the error bound at a capacity: that of the nearest point.
    pub(crate) fn error_bound_at(&self, capacity: Bytes) -> Option<f64> {
        let nearest = self.points.iter().min_by_key(|point| point.capacity.get().abs_diff(capacity.get()))?;
        Some(nearest.error_bound)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a logarithm")]
fn logarithm(capacity: Bytes) -> f64 {
    (capacity.get().max(1) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_points_the_curve_is_straight_over_the_logarithm() {
        let point = |capacity, miss_ratio| CurvePoint {
            capacity: Bytes::new(capacity),
            miss_ratio,
            error_bound: 0.0,
        };
        let curve = MissRatioCurve { points: vec![point(100, 0.8), point(400, 0.4)], ..Default::default() };
        for (capacity, expected) in [(1, 0.8), (100, 0.8), (200, 0.6), (400, 0.4), (9_000, 0.4)] {
            let found = curve.miss_ratio_at(Bytes::new(capacity)).unwrap();
            assert!((found - expected).abs() < 1e-12, "{capacity}: {found}");
        }
        assert_eq!(MissRatioCurve::default().miss_ratio_at(Bytes::new(1)), None);
    }
}
