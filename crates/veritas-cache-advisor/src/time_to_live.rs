//! Time to live: what a longer or a shorter one would hit, and how stale it would be.

mod change;
mod estimator;
mod followed;
mod groups;
mod places;
mod truth;

use std::time::Duration;

pub use estimator::{TtlEstimator, TtlOptions};
pub use truth::{Truth, estimate, replay};

/// A point of a curve over the time to live.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TtlPoint {
    /// The time to live.
    pub time_to_live: Duration,
    /// The share of look-ups that would hit, from 0 to 1, in a cache that evicts nothing.
    pub hit_ratio: f64,
    /// How far off that may be, since not every key is followed: 0 while every one is.
    pub hit_ratio_error: f64,
    /// The share of look-ups that would be answered with a value that is not the
    /// source's any more, from 0 to 1.
    pub staleness: f64,
    /// How far off that may be: for the same reason, because a change is only known to lie
    /// between two loads, and because rates of change are estimates.
    pub staleness_error: f64,
}

/// Hit ratio and staleness by the time to live.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TtlCurve {
    /// Ascending in the time to live.
    pub points: Vec<TtlPoint>,
    /// How many look-ups it speaks for.
    pub look_ups: u64,
    /// How many pairs of successive loads of a key were compared: without any,
    /// staleness is not known and its figures are 0.
    pub comparisons: u64,
}

/// Which time to live is advised, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TtlAdvice {
    /// The longest that keeps staleness within the budget; a longer one would hit more.
    Budget(TtlPoint),
    /// The shortest that hits nearly as much as any: staleness is not what limits it.
    Knee(TtlPoint),
    /// Even the shortest is staler than the budget allows.
    TooStale(TtlPoint),
}

impl TtlAdvice {
    /// Returns the point that is advised.
    pub fn point(&self) -> TtlPoint {
        match self {
            Self::Budget(point) | Self::Knee(point) | Self::TooStale(point) => *point,
        }
    }
}

/// What a longer time to live must bring, of all look-ups, to be worth it.
const ENOUGH: f64 = 0.01;

impl TtlCurve {
    /// Advises a time to live with at most this share of look-ups answered stale:
    /// the shortest within a point of the best hit ratio that the budget allows.
    /// `None` of an empty curve, or when no two loads of a key were compared, since
    /// then staleness is not known.
    pub fn advise(&self, budget: f64) -> Option<TtlAdvice> {
        if self.comparisons == 0 {
            return None;
        }
        let shortest = self.points.first()?;
        let within = self.points.partition_point(|point| point.staleness <= budget);
        let Some(longest) = self.points[..within].last() else {
            return Some(TtlAdvice::TooStale(*shortest));
        };
        let knee =
            self.points[..within].iter().find(|point| point.hit_ratio >= longest.hit_ratio - ENOUGH)?;
        let is_limited = self.points[within..].iter().any(|point| point.hit_ratio > knee.hit_ratio + ENOUGH);
        Some(if is_limited { TtlAdvice::Budget(*knee) } else { TtlAdvice::Knee(*knee) })
    }

    /// Returns hit ratio and staleness at a time to live, straight between points
    /// over its logarithm; beyond the ends they are those of the end.
    pub fn at(&self, time_to_live: Duration) -> Option<TtlPoint> {
        let after = self.points.partition_point(|point| point.time_to_live < time_to_live);
        let above = self.points.get(after).or(self.points.last())?;
        let below = self.points.get(after.saturating_sub(1))?;
        let log = |time: Duration| time.as_secs_f64().max(1e-9).ln();
        let (low, high) = (log(below.time_to_live), log(above.time_to_live));
        let share = if high > low { ((log(time_to_live) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let between = |from: f64, to: f64| from + (to - from) * share;
        Some(TtlPoint {
            time_to_live,
            hit_ratio: between(below.hit_ratio, above.hit_ratio),
            staleness: between(below.staleness, above.staleness),
            hit_ratio_error: below.hit_ratio_error.max(above.hit_ratio_error),
            staleness_error: below.staleness_error.max(above.staleness_error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u64, f64, f64)]) -> TtlCurve {
        let point = |(seconds, hit_ratio, staleness): &(u64, f64, f64)| TtlPoint {
            time_to_live: Duration::from_secs(*seconds),
            hit_ratio: *hit_ratio,
            staleness: *staleness,
            hit_ratio_error: 0.0,
            staleness_error: 0.0,
        };
        TtlCurve { points: points.iter().map(point).collect(), look_ups: 1_000, comparisons: 10 }
    }

    #[track_caller]
    fn check_advice(points: &[(u64, f64, f64)], seconds: u64, is_limited: bool) {
        let advice = curve(points).advise(0.01).unwrap();
        assert_eq!(advice.point().time_to_live, Duration::from_secs(seconds), "{advice:?}");
        assert_eq!(matches!(advice, TtlAdvice::Budget(_)), is_limited, "{advice:?}");
    }

    #[test]
    fn the_longest_within_the_budget_is_advised() {
        check_advice(&[(1, 0.3, 0.001), (10, 0.6, 0.009), (100, 0.8, 0.05)], 10, true);
    }

    #[test]
    fn no_longer_than_pays() {
        check_advice(&[(1, 0.3, 0.0), (10, 0.8, 0.001), (100, 0.805, 0.002)], 10, false);
        check_advice(&[(1, 0.3, 0.0), (10, 0.8, 0.001), (100, 0.805, 0.2)], 10, false);
    }

    #[test]
    fn what_is_always_too_stale_is_said() {
        let advice = curve(&[(1, 0.3, 0.1), (10, 0.8, 0.4)]).advise(0.01).unwrap();
        assert!(matches!(advice, TtlAdvice::TooStale(_)));
    }

    #[test]
    fn without_comparisons_there_is_no_advice() {
        let unknown = TtlCurve { comparisons: 0, ..curve(&[(1, 0.3, 0.0)]) };
        assert_eq!(unknown.advise(0.01), None);
    }
}
