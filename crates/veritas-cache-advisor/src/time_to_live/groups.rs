//! Totals of every time to live at once, by random groups of keys.

use crate::sample::{GROUPS, Scale, Total};

use super::estimator::LIVES;

/// One group's totals, and the same weighted for their variance: see [`Total`].
#[derive(Debug, Clone, Copy)]
struct Row {
    counts: [f64; LIVES],
    deviations: [f64; LIVES],
}

/// A total for each time to live. A key's figures lie side by side, so that they are
/// added in a few instructions.
#[derive(Debug, Clone)]
pub(super) struct Totals(Vec<Row>);

impl Totals {
    pub(super) const BYTES: usize = GROUPS * size_of::<Row>();

    pub(super) fn zero() -> Self {
        Self(vec![Row { counts: [0.0; LIVES], deviations: [0.0; LIVES] }; GROUPS])
    }

    /// Adds what was counted of a key.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, scale: Scale, counted: &[f64; LIVES]) {
        let row = &mut self.0[Total::group(hash)];
        for ((count, deviation), counted) in row.counts.iter_mut().zip(&mut row.deviations).zip(counted) {
            *count += scale.count() * counted;
            *deviation += scale.deviation() * counted;
        }
    }

    /// Returns the total of one time to live.
    pub(super) fn of(&self, life: usize) -> Total {
        Total::of(
            &std::array::from_fn(|group| self.0[group].counts[life]),
            &std::array::from_fn(|group| self.0[group].deviations[life]),
        )
    }
}
