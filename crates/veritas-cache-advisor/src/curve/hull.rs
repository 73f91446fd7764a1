//! One budget for several caches: where the next byte saves the most.

use veritas_model::Bytes;

use super::MissRatioCurve;

/// What one cache would make of a capacity.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Its curve.
    pub curve: MissRatioCurve,
    /// What its misses cost, for each share of look-ups that misses: look-ups per
    /// second times the seconds of a load, or just the look-ups.
    pub weight: f64,
}

/// Divides a budget over caches so that their misses together cost the least.
///
/// Returns a capacity for each, 0 for one that is not worth any; together they
/// are at most `budget`. Greedy on the lower convex hulls of the curves, which is
/// optimal when capacities are given in the hulls' steps (Fox, "Discrete
/// optimization via marginal analysis", Management Science 13(3), 1966); the last
/// step may be a part, which lies on the hull and not on the curve.
pub fn divide(demands: &[Demand], budget: Bytes) -> Vec<Bytes> {
    let mut steps: Vec<(f64, usize, u64)> = Vec::new();
    for (number, demand) in demands.iter().enumerate() {
        for pair in lower_hull(&demand.curve).windows(2) {
            let bytes = pair[1].0 - pair[0].0;
            #[expect(clippy::cast_precision_loss, reason = "a gain per byte")]
            let gain = (pair[0].1 - pair[1].1) * demand.weight / bytes.max(1) as f64;
            steps.push((gain, number, bytes));
        }
    }
    // A hull's own steps come in order, since their gains fall; the sort is stable.
    steps.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut given = vec![0; demands.len()];
    let mut left = budget.get();
    for (gain, number, bytes) in steps {
        if gain > 0.0 {
            let part = bytes.min(left);
            given[number] += part;
            left -= part;
        }
    }
    given.into_iter().map(Bytes::new).collect()
}

/// Returns the lower convex hull of the curve and of a cache of nothing, which
/// misses everything: capacities and miss ratios.
#[expect(clippy::cast_precision_loss, reason = "a slope")]
fn lower_hull(curve: &MissRatioCurve) -> Vec<(u64, f64)> {
    let mut hull: Vec<(u64, f64)> = vec![(0, 1.0)];
    for point in &curve.points {
        let next = (point.capacity.get(), point.miss_ratio);
        if next.0 == 0 {
            continue;
        }
        while let [.., before, last] = hull.as_slice() {
            let slope = |from: &(u64, f64), to: &(u64, f64)| (to.1 - from.1) / (to.0 - from.0).max(1) as f64;
            if slope(before, last) < slope(last, &next) {
                break;
            }
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::CurvePoint;
    use veritas_statistics::Rng;

    fn demand(points: &[(u64, f64)], weight: f64) -> Demand {
        let points = points
            .iter()
            .map(|(capacity, miss_ratio)| CurvePoint {
                capacity: Bytes::new(*capacity),
                miss_ratio: *miss_ratio,
                error_bound: 0.0,
            })
            .collect();
        Demand { curve: MissRatioCurve { points, ..Default::default() }, weight }
    }

    #[test]
    fn the_next_byte_goes_where_it_saves_the_most() {
        let small = demand(&[(10, 0.5), (20, 0.4)], 1.0);
        let large = demand(&[(100, 0.1)], 1.0);
        assert_eq!(divide(&[small.clone(), large.clone()], Bytes::new(10)), [10, 0].map(Bytes::new));
        assert_eq!(divide(&[small.clone(), large.clone()], Bytes::new(115)), [20, 95].map(Bytes::new));
        assert_eq!(divide(&[small, large], Bytes::new(1_000)), [20, 100].map(Bytes::new));
    }

    #[test]
    fn a_cache_that_gains_nothing_gets_nothing() {
        let useless = demand(&[(10, 1.0), (100, 1.0)], 50.0);
        assert_eq!(divide(&[useless], Bytes::new(1_000)), [Bytes::new(0)]);
    }

    #[test]
    fn a_cliff_behind_a_plateau_is_seen() {
        let cliff = demand(&[(10, 1.0), (20, 1.0), (30, 0.0)], 1.0);
        let slope = demand(&[(30, 0.5)], 1.0);
        assert_eq!(divide(&[cliff, slope], Bytes::new(30)), [30, 0].map(Bytes::new));
    }

    #[test]
    fn no_division_into_steps_is_better() {
        let mut rng = Rng::new(8);
        for _ in 0..50 {
            // Convex curves with a point at each ten bytes.
            let mut curve = || {
                let fall = 0.3 + rng.next_f64() * 0.6;
                let points: Vec<(u64, f64)> =
                    (1..=10).map(|step| (step * 10, fall.powi(i32::try_from(step).unwrap()))).collect();
                demand(&points, 0.2 + rng.next_f64())
            };
            let demands = [curve(), curve(), curve()];
            let cost = |given: &[u64]| -> f64 {
                let of = |(demand, bytes): (&Demand, &u64)| {
                    let miss_ratio = if *bytes == 0 {
                        1.0
                    } else {
                        demand.curve.miss_ratio_at(Bytes::new(*bytes)).unwrap()
                    };
                    demand.weight * miss_ratio
                };
                demands.iter().zip(given).map(of).sum()
            };
            let ours: Vec<u64> = divide(&demands, Bytes::new(150)).iter().map(|bytes| bytes.get()).collect();
            let ours = cost(&ours);
            for first in 0..=10 {
                for second in 0..=10 {
                    if let Some(third) = 15_u64.checked_sub(first + second).filter(|third| *third <= 10) {
                        assert!(ours <= cost(&[first * 10, second * 10, third * 10]) + 1e-9);
                    }
                }
            }
        }
    }
}
