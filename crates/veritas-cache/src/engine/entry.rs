//! Entries: a value, and until when, at what price and under which tags it is good.

use std::time::Duration;

use super::Now;
use crate::tags::{EntryTags, Tags};

/// A deadline that never comes.
const NEVER: u64 = u64::MAX;

const NANOS_PER_MS: u64 = 1_000_000;

/// How an entry is to be kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keep {
    /// How long it is fresh.
    pub(crate) ttl: Duration,
    /// How long it may be served after that, in whole milliseconds, at most 49 days.
    pub(crate) stale: Duration,
    /// What it took to load.
    pub(crate) cost: Duration,
    pub(crate) tags: EntryTags,
    /// The namespace's generation when the value began: an entry of a past one is dead.
    pub(crate) generation: u32,
}

/// What the engine holds under a key.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// `None`: it is known that there is nothing under the key.
    pub(crate) value: Option<V>,
    pub(crate) tags: EntryTags,
    /// From when on it is no longer fresh, in nanoseconds of the clock's monotonic time.
    fresh_until: u64,
    /// How long it may be served after that.
    stale_ms: u32,
    cost_us: u32,
    generation: u32,
    weight: u32,
}

/// What an entry is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// To be served.
    Fresh,
    /// Past its time: to be served while it is being refreshed.
    Stale,
    /// To be removed: its last time is over.
    Expired,
    /// To be removed: its namespace was flushed.
    Flushed,
    /// To be removed: one of its tags was invalidated.
    Untagged,
}

impl Life {
    pub(crate) const fn is_dead(self) -> bool {
        !matches!(self, Self::Fresh | Self::Stale)
    }
}

impl<V> Entry<V> {
    /// Makes an entry of what is stored at `now`.
    pub(crate) fn new(value: Option<V>, keep: Keep, now: Now, weight: u32) -> Self {
        let stale_ms = u32::try_from(keep.stale.as_millis()).unwrap_or(u32::MAX);
        Self {
            value,
            tags: keep.tags,
            fresh_until: now.0.saturating_add(nanos(keep.ttl)),
            stale_ms,
            cost_us: u32::try_from(keep.cost.as_micros()).unwrap_or(u32::MAX),
            generation: keep.generation,
            weight,
        }
    }

    /// Returns what the entry is at `now`: from its deadline on, it is expired.
    #[inline]
    pub(crate) fn condition(&self, now: Now, generation: u32, tags: &Tags) -> Life {
        if self.generation != generation {
            Life::Flushed
        } else if !tags.is_alive(&self.tags) {
            Life::Untagged
        } else if now.0 < self.fresh_until || self.fresh_until == NEVER {
            Life::Fresh
        } else if now.0 < self.deadline() {
            Life::Stale
        } else {
            Life::Expired
        }
    }

    /// Returns from when on it is dead.
    fn deadline(&self) -> u64 {
        self.fresh_until.saturating_add(u64::from(self.stale_ms) * NANOS_PER_MS)
    }

    /// Returns how long it is held yet, or `None` for ever.
    pub(crate) fn expires_in(&self, now: Now) -> Option<Duration> {
        (self.deadline() != NEVER).then(|| Duration::from_nanos(self.deadline().saturating_sub(now.0)))
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }

    /// Returns what it took to load, in nanoseconds, to the microsecond.
    #[inline]
    pub(crate) fn cost_ns(&self) -> u64 {
        u64::from(self.cost_us) * 1_000
    }

    /// Returns from when on it is no longer fresh, in nanoseconds of the clock.
    #[inline]
    pub(crate) fn fresh_until(&self) -> u64 {
        self.fresh_until
    }
}

/// Nanoseconds, saturating after 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ttl: Duration, stale: Duration, after: Duration, expected: Life) {
        let keep = Keep { ttl, stale, ..Keep::default() };
        let entry = Entry::new(Some(()), keep, Now(1_000), 1);
        assert_eq!(entry.condition(Now(1_000 + nanos(after)), 0, &Tags::new()), expected);
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_expired() {
        let (second, nano) = (Duration::from_secs(1), Duration::from_nanos(1));
        check(second, Duration::ZERO, second.saturating_sub(nano), Life::Fresh);
        check(second, Duration::ZERO, second, Life::Expired);
        check(second, second, second.saturating_sub(nano), Life::Fresh);
        check(second, second, second, Life::Stale);
        check(second, second, (2 * second).saturating_sub(nano), Life::Stale);
        check(second, second, 2 * second, Life::Expired);
        check(Duration::MAX, Duration::ZERO, Duration::from_secs(u32::MAX.into()), Life::Fresh);
        check(second, Duration::MAX, second / 2, Life::Fresh);
        check(second, Duration::MAX, second, Life::Stale);
    }

    #[test]
    fn an_entry_of_a_past_generation_is_dead() {
        let entry = Entry::new(Some(()), Keep { ttl: Duration::MAX, ..Keep::default() }, Now(0), 1);
        assert_eq!(entry.condition(Now(0), 1, &Tags::new()), Life::Flushed);
    }
}
