//! The recording: the sampled accesses of the recent past, kept for proofs.
//!
//! It is a sample by key (Waldspurger et al., "Efficient MRC construction with SHARDS",
//! FAST 2015): an access is kept when its key's hash is at or below a threshold, so
//! that of a kept key every access is there, and a cache of `rate` times the size sees
//! what the whole cache sees. One recording has one rate: when it is lowered, what is no
//! longer in the sample is forgotten; when it is raised, the recording starts anew.

mod fitness;
mod replay;
mod world;

use std::collections::VecDeque;

use veritas_cache::AccessKind;

use crate::sample::SampleRate;

pub use fitness::{ProofOptions, Unfit};
pub(crate) use fitness::{check, provable_life, span};
pub(crate) use replay::{Change, Costs, Pair, Replayed, Span, Tally, replay};
pub(crate) use world::Settings;

/// One recorded access: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The key's sampling hash.
    pub key: u64,
    /// When, in milliseconds on the caches' monotonic clock.
    pub at_ms: u64,
    /// What happened.
    pub kind: AccessKind,
}

/// How many look-ups there had been in all, sampled or not, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at_ms: u64,
    look_ups: u64,
}

/// The sampled accesses of the recent past of one namespace: a ring of a bounded
/// number of entries.
#[derive(Debug, Clone)]
pub struct Recording {
    entries: VecDeque<Recorded>,
    bound: usize,
    rate: SampleRate,
    /// Accesses that did not reach us since the first entry.
    dropped: u64,
    marks: VecDeque<Mark>,
    entry_bytes: Option<f64>,
}

impl Recording {
    /// At most so many readings of the exact count of look-ups are held.
    const MARKS: usize = 512;

    /// Makes an empty recording of at most `bound` accesses.
    pub fn new(bound: usize, rate: SampleRate) -> Self {
        Self { entries: VecDeque::new(), bound, rate, dropped: 0, marks: VecDeque::new(), entry_bytes: None }
    }

    /// Records an access, unless its key is not in the sample; the oldest one makes room.
    pub fn push(&mut self, access: Recorded) {
        if !self.rate.takes(access.key) || self.bound == 0 {
            return;
        }
        if self.entries.len() >= self.bound {
            self.entries.pop_front();
        }
        self.entries.push_back(access);
    }

    /// Notes how many look-ups there have been in all: what the sample should hold.
    pub fn mark(&mut self, at_ms: u64, look_ups: u64) {
        if self.marks.back().is_some_and(|last| last.look_ups > look_ups || last.at_ms > at_ms) {
            // The statistics were reset: what was before tells nothing any more.
            self.marks.clear();
        }
        if self.marks.len() >= Self::MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark { at_ms, look_ups });
    }

    /// Notes accesses that did not reach us.
    pub fn lost(&mut self, dropped: u64) {
        self.dropped = self.dropped.saturating_add(dropped);
    }

    /// Notes what an entry of the cache weighs on average: what is replayed is reckoned with it.
    pub fn expect_entries(&mut self, mean_weight: f64) {
        self.entry_bytes = Some(mean_weight);
    }

    /// Returns what an entry of the cache weighs on average; `None` when it never held one.
    pub const fn entry_bytes(&self) -> Option<f64> {
        self.entry_bytes
    }

    /// Sets the rate. What a lower one excludes is forgotten; a higher one starts the
    /// recording anew, since it would hold some keys' accesses in part.
    pub fn set_rate(&mut self, rate: SampleRate) {
        if rate > self.rate {
            self.restart();
        } else if rate < self.rate {
            self.entries.retain(|entry| rate.takes(entry.key));
        }
        self.rate = rate;
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        self.entries.clear();
        self.marks.clear();
        self.dropped = 0;
    }

    /// Returns the share of the keys that is recorded.
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Returns the accesses, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Recorded> {
        self.entries.iter()
    }

    /// Returns how many accesses are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether the ring has gone round: older accesses were forgotten for want of room.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.bound
    }

    /// Returns when the first and the last access were, in milliseconds; `None` of nothing.
    pub fn span_ms(&self) -> Option<(u64, u64)> {
        Some((self.entries.front()?.at_ms, self.entries.back()?.at_ms))
    }

    /// Returns accesses that did not reach us while this was recorded.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns how many look-ups of all keys there were from `from_ms` to `to_ms`;
    /// `None` when the exact count was not read around that time. Between two readings
    /// the load is taken to be even.
    pub fn look_ups_between(&self, from_ms: u64, to_ms: u64) -> Option<f64> {
        let difference = self.look_ups_at(to_ms)? - self.look_ups_at(from_ms)?;
        (difference >= 0.0).then_some(difference)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and milliseconds stay below 2^53")]
    fn look_ups_at(&self, at_ms: u64) -> Option<f64> {
        let after = self.marks.partition_point(|mark| mark.at_ms < at_ms);
        let next = self.marks.get(after)?;
        if next.at_ms == at_ms {
            return Some(next.look_ups as f64);
        }
        let last = self.marks.get(after.checked_sub(1)?)?;
        let share = (at_ms - last.at_ms) as f64 / (next.at_ms - last.at_ms) as f64;
        Some(last.look_ups as f64 + share * (next.look_ups - last.look_ups) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(key: u64, at_ms: u64) -> Recorded {
        Recorded { key, at_ms, kind: AccessKind::Hit }
    }

    fn recorded(bound: usize, rate: SampleRate, keys: &[u64]) -> Recording {
        let mut recording = Recording::new(bound, rate);
        for (at_ms, key) in (0..).zip(keys) {
            recording.push(look_up(*key, at_ms));
        }
        recording
    }

    #[track_caller]
    fn check_keys(recording: &Recording, expected: &[u64]) {
        assert_eq!(recording.entries().map(|entry| entry.key).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_ring_is_bounded_and_keeps_the_newest() {
        let recording = recorded(3, SampleRate::ALL, &[1, 2, 3, 4, 5]);
        check_keys(&recording, &[3, 4, 5]);
        assert_eq!(recording.span_ms(), Some((2, 4)));
        assert_eq!(recording.entries().next(), Some(&look_up(3, 2)));
        check_keys(&recorded(0, SampleRate::ALL, &[1]), &[]);
    }

    #[test]
    fn a_lower_rate_forgets_and_a_higher_one_starts_anew() {
        let mut recording = recorded(10, SampleRate::at_most(100), &[50, 101, 30, 80]);
        check_keys(&recording, &[50, 30, 80]);
        recording.set_rate(SampleRate::at_most(60));
        check_keys(&recording, &[50, 30]);
        recording.push(look_up(80, 9));
        check_keys(&recording, &[50, 30]);
        recording.set_rate(SampleRate::at_most(90));
        check_keys(&recording, &[]);
    }

    #[test]
    fn look_ups_are_told_between_two_readings() {
        let mut recording = Recording::new(10, SampleRate::ALL);
        recording.mark(1_000, 0);
        recording.mark(2_000, 100);
        recording.mark(3_000, 500);
        assert_eq!(recording.look_ups_between(1_000, 3_000), Some(500.0));
        assert_eq!(recording.look_ups_between(1_500, 2_500), Some(250.0));
        assert_eq!(recording.look_ups_between(500, 2_500), None);
        assert_eq!(recording.look_ups_between(1_500, 3_500), None);
        // A reset starts the count anew.
        recording.mark(4_000, 10);
        assert_eq!(recording.look_ups_between(1_000, 4_000), None);
    }
}
