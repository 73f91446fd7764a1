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
    /// What others may not take away from a namespace without a limit of its own.
    share: Bytes,
}

impl Budget {
    /// Reads who has what.
    pub(crate) fn of(total: Bytes, readings: &[NamespaceReading]) -> Self {
        let taken =
            readings.iter().map(|reading| committed(total, reading).get()).fold(0, u64::saturating_add);
        let limits = || readings.iter().filter(|reading| is_limited(total, reading));
        let promised = limits().map(|reading| reading.tuning.capacity.get()).fold(0, u64::saturating_add);
        let share = share(total.get(), promised, readings.len() as u64, limits().count() as u64);
        Self { total, free: Bytes::new(total.get().saturating_sub(taken)), share: Bytes::new(share) }
    }

    /// Returns what a namespace has and keeps: what it was granted beyond its share, others
    /// take from it as they fill.
    fn keeps(&self, reading: &NamespaceReading) -> u64 {
        let has = committed(self.total, reading);
        if is_limited(self.total, reading) { has.get() } else { has.min(self.share).get() }
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
    /// gained (`gain`, in seconds of loading per second).
    ///
    /// A proposal keeps its identity while grants move. So a namespace gives of what it keeps
    /// only, and all that is needed (what is free goes to whoever asks first), unless it would
    /// lose too much by that; and who gave `before` gives the same again while that will do.
    pub(crate) fn fund(
        &self,
        reading: &NamespaceReading,
        to: Bytes,
        gain: f64,
        donors: &[Donor<'_>],
        before: Option<&Funding>,
    ) -> Option<Funding> {
        let needed = to.get().saturating_sub(self.keeps(reading));
        let before = before.and_then(|before| before.donor.as_ref());
        // Who was asked to give is let off when there is clearly room, not at each bit of it.
        let margin = if before.is_some() { self.total.get() / 16 } else { 0 };
        if needed.saturating_add(margin) <= self.free.get() {
            return Some(Funding { donor: None, loss: 0.0 });
        }
        let missing = needed.saturating_sub(self.free.get());
        let gift = |donor: &Donor<'_>, left: u64| {
            let gives = self.keeps(donor.reading).checked_sub(left).is_some_and(|gives| gives >= missing);
            let left = Bytes::new(left);
            let loss = donor.loses(committed(self.total, donor.reading), left)? * donor.loading;
            (gives && left.get() >= LEAST && loss <= WORTH_TAKING * gain).then(|| Funding {
                donor: Some(turn(&donor.reading.name, &donor.reading.tuning, Knob::Capacity(left))),
                loss,
            })
        };
        let others = || donors.iter().filter(|donor| donor.reading.name != reading.name);
        if let Some(turn) = before
            && let Knob::Capacity(left) = turn.forward
            && let Some(again) = others()
                .find(|donor| donor.reading.name == turn.namespace)
                .and_then(|donor| gift(donor, left.get()))
                .filter(|again| again.donor.as_ref() == Some(turn))
        {
            return Some(again);
        }
        if needed <= self.free.get() {
            return Some(Funding { donor: None, loss: 0.0 });
        }
        let gifts = others().filter_map(|donor| {
            let keeps = self.keeps(donor.reading);
            let unit = (keeps / 16).max(1);
            [needed, missing].into_iter().find_map(|bytes| {
                let left = keeps.checked_sub(bytes)?;
                // A little more is given, so that it will do at the next look too.
                gift(donor, left - left % unit).or_else(|| gift(donor, left))
            })
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
            .map(|other| self.keeps(other).saturating_sub(LEAST))
            .max();
        let has = committed(self.total, reading).get();
        Bytes::new((has + self.free.get()).saturating_add(largest.unwrap_or(0)).min(self.total.get()))
    }
}

/// Returns the share of each namespace without a limit of its own, as the cache divides its
/// capacity: what is promised to `limited` of the `count` namespaces is taken off as far as
/// that leaves every other a quarter of an equal share.
fn share(total: u64, promised: u64, count: u64, limited: u64) -> u64 {
    let least = total / count.max(1) / 4;
    let others = (count - limited).max(1);
    (total.saturating_sub(promised) / others).max(least)
}

/// Returns whether a namespace has a limit of its own.
pub(crate) fn is_limited(total: Bytes, reading: &NamespaceReading) -> bool {
    reading.tuning.capacity < total
}

/// Returns what a namespace has, or was promised.
pub(crate) fn committed(total: Bytes, reading: &NamespaceReading) -> Bytes {
    if is_limited(total, reading) { reading.tuning.capacity } else { reading.granted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_the_cache_makes_it() {
        // As `shares` in the cache's grants: `[None, None]`, `[Some(70), None]`, `[Some(99), None]`.
        assert_eq!(share(100, 0, 2, 0), 50);
        assert_eq!(share(100, 70, 2, 1), 30);
        assert_eq!(share(100, 99, 2, 1), 12);
        assert_eq!((share(100, 400, 2, 2), share(0, 0, 0, 0)), (12, 0));
    }
}
