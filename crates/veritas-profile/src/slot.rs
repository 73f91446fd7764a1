//! A slot: what one thread recorded at one site. Takes ticks, knows no clock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use veritas_statistics::{Histogram, SharedHistogram};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It returned.
    Returned,
    /// It panicked, or returned an error.
    Failed,
    /// A future was dropped before it was ready.
    Cancelled,
}

/// One call that ended, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) elapsed: u64,
    pub(crate) self_ticks: u64,
    pub(crate) ended_at: u64,
    pub(crate) ending: Ending,
    /// Whether no other call of the site was under way around it on its thread.
    pub(crate) outermost: bool,
    /// Of futures: polls, ticks inside them, the longest.
    pub(crate) polling: Option<(u64, u64, u64)>,
}

/// What one thread recorded at one site.
///
/// One thread writes, at plain load-and-store cost; any thread reads. A slot whose
/// thread ended is handed to the next one with its counts, so nothing is lost and
/// memory grows with the number of threads alive at once, not with all that ever were.
///
/// A reset raises the epoch; the writer then clears its own slot before its next
/// record, and readers skip slots of an older epoch meanwhile.
#[derive(Debug)]
pub(crate) struct Slot {
    epoch: AtomicU64,
    depth: AtomicU32,
    errors: AtomicU64,
    cancelled: AtomicU64,
    total: AtomicU64,
    self_ticks: AtomicU64,
    last: AtomicU64,
    last_ended_at: AtomicU64,
    futures: AtomicU64,
    polls: AtomicU64,
    busy: AtomicU64,
    longest_poll: AtomicU64,
    /// Its count is the number of calls.
    durations: SharedHistogram,
}

impl Slot {
    pub(crate) const fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            errors: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            total: AtomicU64::new(0),
            self_ticks: AtomicU64::new(0),
            last: AtomicU64::new(0),
            last_ended_at: AtomicU64::new(0),
            futures: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            longest_poll: AtomicU64::new(0),
            durations: SharedHistogram::new(),
        }
    }

    /// Enters a call (or a poll) of the site on this thread.
    #[inline]
    pub(crate) fn deepen(&self) {
        self.depth.store(self.depth.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Leaves it, and returns whether it was the outermost one.
    #[inline]
    pub(crate) fn rise(&self) -> bool {
        let depth = self.depth.load(Ordering::Relaxed).saturating_sub(1);
        self.depth.store(depth, Ordering::Relaxed);
        depth == 0
    }

    /// Prepares the slot for another thread: whatever the last one forgot to leave is left.
    pub(crate) fn surface(&self) {
        self.depth.store(0, Ordering::Relaxed);
    }

    /// Records a call that ended. Only the owning thread may.
    #[inline]
    pub(crate) fn record(&self, epoch: u64, call: &Call) {
        if self.epoch.load(Ordering::Relaxed) != epoch {
            self.clear(epoch);
        }
        add(&self.self_ticks, call.self_ticks);
        if let Some((polls, busy, longest)) = call.polling {
            add(&self.futures, 1);
            add(&self.polls, polls);
            add(&self.busy, busy);
            if longest > self.longest_poll.load(Ordering::Relaxed) {
                self.longest_poll.store(longest, Ordering::Relaxed);
            }
        }
        if call.ending == Ending::Cancelled {
            add(&self.cancelled, 1);
            return;
        }
        if call.ending == Ending::Failed {
            add(&self.errors, 1);
        }
        if call.outermost {
            add(&self.total, call.elapsed);
        }
        self.last.store(call.elapsed, Ordering::Relaxed);
        self.last_ended_at.store(call.ended_at, Ordering::Relaxed);
        self.durations.record(call.elapsed);
    }

    /// Reads the slot, or `None` when it holds nothing of this epoch.
    pub(crate) fn read(&self, epoch: u64) -> Option<Reading> {
        if self.epoch.load(Ordering::Acquire) != epoch {
            return None;
        }
        let of = |field: &AtomicU64| field.load(Ordering::Relaxed);
        Some(Reading {
            durations: self.durations.snapshot(),
            errors: of(&self.errors),
            cancelled: of(&self.cancelled),
            total: of(&self.total),
            self_ticks: of(&self.self_ticks),
            last: of(&self.last),
            last_ended_at: of(&self.last_ended_at),
            futures: of(&self.futures),
            polls: of(&self.polls),
            busy: of(&self.busy),
            longest_poll: of(&self.longest_poll),
        })
    }

    #[cold]
    fn clear(&self, epoch: u64) {
        for field in [
            &self.errors,
            &self.cancelled,
            &self.total,
            &self.self_ticks,
            &self.last,
            &self.last_ended_at,
            &self.futures,
            &self.polls,
            &self.busy,
            &self.longest_poll,
        ] {
            field.store(0, Ordering::Relaxed);
        }
        self.durations.reset();
        self.epoch.store(epoch, Ordering::Release);
    }
}

/// Adds as the only writer: half the price of an atomic increment.
#[inline]
fn add(field: &AtomicU64, by: u64) {
    field.store(field.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// What slots say together, in ticks.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    pub(crate) durations: Histogram,
    pub(crate) errors: u64,
    pub(crate) cancelled: u64,
    pub(crate) total: u64,
    pub(crate) self_ticks: u64,
    pub(crate) last: u64,
    pub(crate) last_ended_at: u64,
    pub(crate) futures: u64,
    pub(crate) polls: u64,
    pub(crate) busy: u64,
    pub(crate) longest_poll: u64,
}

impl Reading {
    /// Adds what another slot says.
    pub(crate) fn merge(&mut self, other: &Self) {
        if !other.durations.is_empty()
            && (self.durations.is_empty() || other.last_ended_at > self.last_ended_at)
        {
            self.last = other.last;
            self.last_ended_at = other.last_ended_at;
        }
        self.durations.merge(&other.durations);
        self.errors += other.errors;
        self.cancelled += other.cancelled;
        self.total += other.total;
        self.self_ticks += other.self_ticks;
        self.futures += other.futures;
        self.polls += other.polls;
        self.busy += other.busy;
        self.longest_poll = self.longest_poll.max(other.longest_poll);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(elapsed: u64, ended_at: u64) -> Call {
        let ending = Ending::Returned;
        Call { elapsed, self_ticks: elapsed / 2, ended_at, ending, outermost: true, polling: None }
    }

    #[test]
    fn a_slot_adds_up_what_it_was_told() {
        let slot = Slot::new();
        slot.record(1, &call(10, 100));
        slot.record(1, &Call { ending: Ending::Failed, outermost: false, ..call(30, 130) });
        slot.record(1, &Call { ending: Ending::Cancelled, polling: Some((3, 8, 5)), ..call(50, 200) });
        let reading = slot.read(1).unwrap();
        assert_eq!(reading.durations.count(), 2);
        assert_eq!((reading.errors, reading.cancelled), (1, 1));
        assert_eq!((reading.total, reading.self_ticks), (10, 5 + 15 + 25));
        assert_eq!((reading.last, reading.last_ended_at), (30, 130));
        assert_eq!((reading.futures, reading.polls, reading.busy, reading.longest_poll), (1, 3, 8, 5));
    }

    #[test]
    fn a_new_epoch_starts_from_nothing() {
        let slot = Slot::new();
        slot.record(1, &call(10, 100));
        assert_eq!(slot.read(2), None);
        slot.record(2, &call(20, 200));
        assert_eq!(slot.read(2).unwrap().durations.sum(), 20);
    }

    #[test]
    fn the_last_call_of_several_slots_is_the_one_that_ended_last() {
        let (one, two) = (Slot::new(), Slot::new());
        one.record(1, &call(10, 300));
        two.record(1, &call(20, 200));
        let mut both = Reading::default();
        both.merge(&two.read(1).unwrap());
        both.merge(&one.read(1).unwrap());
        assert_eq!((both.last, both.durations.count()), (10, 2));
    }

    #[test]
    fn only_the_outermost_call_is_outermost() {
        let slot = Slot::new();
        slot.deepen();
        slot.deepen();
        assert!(!slot.rise());
        assert!(slot.rise());
        assert!(slot.rise(), "leaving more often than entering does not wrap");
    }
}
