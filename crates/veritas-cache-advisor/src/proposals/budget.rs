//! The budget: where the bytes come from that a namespace is to get.

use veritas_cache::{Knob, NamespaceReading};
use veritas_model::Bytes;

use super::turn;
use crate::{MissRatioCurve, actuator::plan::Turn};

/// What a donor may at most lose of what the other one gains: half.
const WORTH_TAKING: f64 = 0.5;
/// No namespace is left with less.
const LEAST: u64 = 64 * 1024;

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Funding {
    /// The namespace that gives them; `None`: they are free.
    pub(crate) donor: Option<Turn>,
    /// What the donor loses, in seconds of loading per second.
    pub(crate) loss: f64,
}

/// A namespace that could give bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Donor<'a> {
    pub(crate) reading: &'a NamespaceReading,
    pub(crate) curve: &'a MissRatioCurve,
    /// Seconds of loading per second, if every look-up missed.
    pub(crate) loading: f64,
}

impl Donor<'_> {
    /// Returns how much more of its look-ups miss with `left` instead of what it `has`, at
    /// the worst that the error bounds allow; `None` where nothing is known of that.
    fn loses(&self, has: Bytes, left: Bytes) -> Option<f64> {
        // Below what was simulated nothing is known.
        if left < self.curve.points.first()?.capacity {
            return None;
        }
        let more = self.curve.miss_ratio_at(left)? - self.curve.miss_ratio_at(has)?;
        let bound = self.curve.error_bound_at(left)?.hypot(self.curve.error_bound_at(has)?);
        Some((more + bound).max(0.0))
    }
}

/// The bytes of all namespaces together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) total: Bytes,
    /// What no namespace has, or was promised.
    pub(crate) free: Bytes,
}

impl Budget {
    /// Reads who has what.
    pub(crate) fn of(total: Bytes, readings: &[NamespaceReading]) -> Self {
        let taken =
            readings.iter().map(|reading| committed(total, reading).get()).fold(0, u64::saturating_add);
        Self { total, free: Bytes::new(total.get().saturating_sub(taken)) }
    }

    /// Returns what a namespace can hold as things are: its own limit, or what it has and
    /// what is free.
    pub(crate) fn capacity_of(&self, reading: &NamespaceReading) -> Bytes {
        if is_limited(self.total, reading) {
            reading.tuning.capacity
        } else {
            reading.granted.saturating_add(self.free).min(self.total)
        }
    }

    /// Finds the bytes that bring a namespace to `to`: what is free, else what the
    /// namespace gives that loses least, as long as that is at most half of what is
    /// gained (`gain`, in seconds of loading per second). Who gave `before` gives the same again
    /// while that will do, so that a proposal keeps its identity while grants move.
    pub(crate) fn fund(
        &self,
        reading: &NamespaceReading,
        to: Bytes,
        gain: f64,
        donors: &[Donor<'_>],
        before: Option<&Funding>,
    ) -> Option<Funding> {
        let has = committed(self.total, reading).get();
        let needed = to.get().saturating_sub(has);
        if needed <= self.free.get() {
            return Some(Funding { donor: None, loss: 0.0 });
        }
        let missing = needed - self.free.get();
        let gift = |donor: &Donor<'_>, left: u64| {
            let has = committed(self.total, donor.reading);
            let gives = has.get().checked_sub(left).is_some_and(|gives| gives >= missing);
            let left = Bytes::new(left);
            let loss = donor.loses(has, left)? * donor.loading;
            (gives && left.get() >= LEAST && loss <= WORTH_TAKING * gain).then(|| Funding {
                donor: Some(turn(&donor.reading.name, &donor.reading.tuning, Knob::Capacity(left))),
                loss,
            })
        };
        let others = || donors.iter().filter(|donor| donor.reading.name != reading.name);
        if let Some(turn) = before.and_then(|before| before.donor.as_ref())
            && let Knob::Capacity(left) = turn.forward
            && let Some(again) = others()
                .find(|donor| donor.reading.name == turn.namespace)
                .and_then(|donor| gift(donor, left.get()))
                .filter(|again| again.donor.as_ref() == Some(turn))
        {
            return Some(again);
        }
        let gifts = others().filter_map(|donor| {
            let has = committed(self.total, donor.reading).get();
            let left = has.checked_sub(missing)?;
            // A little more is given, so that it will do at the next look too.
            let unit = (has / 16).max(1);
            gift(donor, left - left % unit).or_else(|| gift(donor, left))
        });
        gifts.min_by(|one, other| one.loss.total_cmp(&other.loss))
    }

    /// Returns whether next to nothing is free.
    pub(crate) fn is_spent(&self) -> bool {
        self.free.get() < self.total.get() / 16
    }

    /// Returns the most that a namespace could be given, if the one of the others that has most
    /// gave it; whether that should is another question.
    pub(crate) fn obtainable(&self, reading: &NamespaceReading, all: &[NamespaceReading]) -> Bytes {
        let largest = all
            .iter()
            .filter(|other| other.name != reading.name)
            .map(|other| committed(self.total, other).get().saturating_sub(LEAST))
            .max();
        let has = committed(self.total, reading).get();
        Bytes::new((has + self.free.get()).saturating_add(largest.unwrap_or(0)).min(self.total.get()))
    }
}

/// Returns whether a namespace has a limit of its own.
pub(crate) fn is_limited(total: Bytes, reading: &NamespaceReading) -> bool {
    reading.tuning.capacity < total
}

/// Returns what a namespace has, or was promised.
pub(crate) fn committed(total: Bytes, reading: &NamespaceReading) -> Bytes {
    if is_limited(total, reading) { reading.tuning.capacity } else { reading.granted }
}
