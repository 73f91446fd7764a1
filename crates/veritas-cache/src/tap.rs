//! The tap: a sampled stream of what is asked of the caches, for whoever analyses it.
//!
//! Threads write to lanes of a ring, most of them to a lane of their own, and
//! never wait: what finds its lane full is dropped and counted.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::slots;

/// The number of a namespace in one [`Caches`](crate::Caches), from 0 in the order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId(pub(crate) u32);

impl NamespaceId {
    /// The largest number of namespaces whose accesses can be told apart.
    pub(crate) const MOST: usize = 1 << NAMESPACE_BITS;

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// One access to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whose key it is.
    pub namespace: NamespaceId,
    /// The key's sampling hash, the same in every process: [`CacheKey::sampling_hash`](crate::CacheKey::sampling_hash).
    pub key: u64,
    /// What was done, and what came of it.
    pub kind: AccessKind,
    /// When, in milliseconds of the clock's monotonic time.
    pub at_ms: u64,
}

/// What an access did, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// A look-up that found a live value.
    Hit,
    /// A look-up that did not. In a bypassed namespace every look-up is one.
    Miss,
    /// A value that was stored, or would have been in a namespace that is bypassed.
    Store {
        /// What it counts for against the capacity, in bytes.
        weight: u32,
        /// How long it took to load, in microseconds, saturating; 0 when it was not loaded.
        cost_us: u32,
        /// A hash of the value; 0 when there is none.
        value: u32,
    },
    /// A key that was deleted or invalidated.
    Delete,
}

const NAMESPACE_BITS: u32 = 22;
const KIND_BITS: u32 = 2;

/// An access as it lies in a lane.
type Words = [AtomicU64; 4];

/// The ring of one [`Caches`](crate::Caches).
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lanes: OnceLock<Box<[Lane]>>,
    /// The number of the tap that may read: taking the tap again takes it from the one before.
    holder: AtomicU64,
    reading: Mutex<()>,
}

/// Which threads write to a lane: one, or (the last lane) all that have none of
/// their own, one at a time.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    /// Accesses written so far; only the lane's writer stores it.
    written: AtomicU64,
    dropped: AtomicU64,
    read: ReadMark,
    slots: Box<[Words]>,
    writers: Mutex<()>,
}

/// Apart from what the writer writes, so that reading does not slow it down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ReadMark(AtomicU64);

impl Lane {
    fn new(slots: usize) -> Self {
        Self {
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            read: ReadMark::default(),
            slots: (0..slots).map(|_| Words::default()).collect(),
            writers: Mutex::new(()),
        }
    }

    /// Writes an access. At most one thread at a time may be here.
    #[inline]
    fn write(&self, access: &Access) {
        let written = self.written.load(Ordering::Relaxed);
        if written.wrapping_sub(self.read.0.load(Ordering::Acquire)) >= self.slots.len() as u64 {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let [key, what, weighed, value] = self.slot(written);
        let kind = match access.kind {
            AccessKind::Hit => 0,
            AccessKind::Miss => 1,
            AccessKind::Store { weight, cost_us, value: hash } => {
                weighed.store(u64::from(weight) << 32 | u64::from(cost_us), Ordering::Relaxed);
                value.store(u64::from(hash), Ordering::Relaxed);
                2
            }
            AccessKind::Delete => 3,
        };
        key.store(access.key, Ordering::Relaxed);
        let namespace = u64::from(access.namespace.0) << KIND_BITS;
        what.store(access.at_ms << (NAMESPACE_BITS + KIND_BITS) | namespace | kind, Ordering::Relaxed);
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// Reads what was written since. At most one thread at a time may be here.
    fn drain(&self, out: &mut Vec<Access>) -> u64 {
        let written = self.written.load(Ordering::Acquire);
        let mut read = self.read.0.load(Ordering::Relaxed);
        while read != written {
            let [key, what, weighed, value] =
                self.slot(read).each_ref().map(|word| word.load(Ordering::Relaxed));
            #[expect(clippy::cast_possible_truncation, reason = "each part is taken out of its word")]
            let kind = match what & ((1 << KIND_BITS) - 1) {
                0 => AccessKind::Hit,
                1 => AccessKind::Miss,
                2 => AccessKind::Store {
                    weight: (weighed >> 32) as u32,
                    cost_us: weighed as u32,
                    value: value as u32,
                },
                _ => AccessKind::Delete,
            };
            #[expect(clippy::cast_possible_truncation, reason = "22 bits")]
            let namespace = NamespaceId((what >> KIND_BITS) as u32 & ((1 << NAMESPACE_BITS) - 1));
            out.push(Access { namespace, key, kind, at_ms: what >> (NAMESPACE_BITS + KIND_BITS) });
            read = read.wrapping_add(1);
        }
        self.read.0.store(read, Ordering::Release);
        self.dropped.swap(0, Ordering::Relaxed)
    }

    #[inline]
    fn slot(&self, index: u64) -> &Words {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is asked for")]
        &self.slots[index as usize & (self.slots.len() - 1)]
    }
}

impl Ring {
    /// Makes the lanes, of at most `capacity` accesses together (at least 16 each),
    /// if there are none yet; whoever held the tap holds it no more.
    pub(crate) fn take(&self, capacity: usize) -> u64 {
        self.lanes.get_or_init(|| {
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
            let lanes = (2 * threads).clamp(4, 16);
            let slots = 1 << (capacity / lanes).max(16).ilog2();
            (0..lanes).map(|_| Lane::new(slots)).collect()
        });
        let number = self.holder.fetch_add(1, Ordering::Relaxed) + 1;
        // Nothing that was meant for the one before is left.
        self.drain(number, &mut Vec::new());
        number
    }

    /// Returns whether the tap of that number is the last one taken.
    pub(crate) fn is_held_by(&self, number: u64) -> bool {
        self.holder.load(Ordering::Relaxed) == number
    }

    /// Writes an access to the calling thread's lane. Nothing happens before the first tap.
    #[inline]
    pub(crate) fn write(&self, access: &Access) {
        let Some(lanes) = self.lanes.get() else { return };
        let shared = lanes.len() - 1;
        let slot = slots::own();
        if slot < shared {
            lanes[slot].write(access);
        } else {
            let lane = &lanes[shared];
            let _writing = lane.writers.lock().unwrap_or_else(PoisonError::into_inner);
            lane.write(access);
        }
    }

    fn drain(&self, number: u64, out: &mut Vec<Access>) -> u64 {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_held_by(number) {
            return 0;
        }
        self.lanes.get().map_or(0, |lanes| lanes.iter().map(|lane| lane.drain(out)).sum())
    }
}

/// The holder of the thresholds, behind which [`Tap`] hides the caches.
pub(crate) trait Thresholds: Send + Sync {
    /// Sets the threshold of one namespace, or of all, if the tap of that number is the
    /// last one taken: it cannot be taken meanwhile by one that then finds its own undone.
    fn set(&self, number: u64, namespace: Option<NamespaceId>, threshold: u64);

    fn ring(&self) -> &Ring;
}

/// The sampled stream of accesses to all namespaces of one [`Caches`](crate::Caches).
///
/// It begins with *every* access of every namespace, also of those opened later;
/// [`Self::set_threshold`] lets it keep fewer. It is bounded: when it is not drained
/// in time, accesses are dropped and counted. Accesses of one thread are in their
/// order; between threads only [`Access::at_ms`] tells. Once it is dropped, accesses
/// are no longer looked at.
pub struct Tap {
    thresholds: Arc<dyn Thresholds>,
    number: u64,
}

impl Tap {
    pub(crate) fn new(thresholds: Arc<dyn Thresholds>, capacity: usize) -> Self {
        let number = thresholds.ring().take(capacity);
        thresholds.set(number, None, u64::MAX);
        Self { thresholds, number }
    }

    /// Appends what was accessed since the last call; returns how many accesses
    /// were dropped since then. Nothing comes any more once the tap was taken again.
    pub fn drain(&self, out: &mut Vec<Access>) -> u64 {
        self.thresholds.ring().drain(self.number, out)
    }

    /// Keeps the accesses of a namespace whose sampling hash is at most `threshold`:
    /// `u64::MAX` is all of them, 0 none.
    pub fn set_threshold(&self, namespace: NamespaceId, threshold: u64) {
        self.thresholds.set(self.number, Some(namespace), threshold);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.thresholds.set(self.number, None, 0);
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(key: u64, kind: AccessKind) -> Access {
        Access { namespace: NamespaceId(4_194_303), key, kind, at_ms: 1_099_511_627_775 }
    }

    #[test]
    fn what_is_written_is_read_in_order() {
        let ring = Ring::default();
        let tap = ring.take(1_000);
        let store = AccessKind::Store { weight: u32::MAX, cost_us: 7, value: u32::MAX - 1 };
        let written: Vec<Access> = [AccessKind::Hit, AccessKind::Miss, store, AccessKind::Delete]
            .into_iter()
            .enumerate()
            .map(|(key, kind)| access(key as u64, kind))
            .collect();
        for access in &written {
            ring.write(access);
        }
        let mut read = Vec::new();
        assert_eq!(ring.drain(tap, &mut read), 0);
        assert_eq!(read, written);
        read.clear();
        assert_eq!((ring.drain(tap, &mut read), read.len()), (0, 0));
    }

    #[test]
    fn a_full_lane_drops_and_counts() {
        let ring = Ring::default();
        let tap = ring.take(0);
        for round in 0..3 {
            (0..100).for_each(|key| ring.write(&access(key, AccessKind::Hit)));
            let mut read = Vec::new();
            assert_eq!((ring.drain(tap, &mut read), read.len()), (84, 16), "{round}");
            assert!(read.iter().zip(0..).all(|(access, key)| access.key == key));
        }
    }

    #[test]
    fn no_access_is_lost_or_torn_between_threads() {
        const EACH: u64 = 20_000;
        let ring = Ring::default();
        let tap = ring.take(1 << 14);
        let (mut read, mut dropped) = (Vec::new(), 0);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u64)
                .map(|thread| {
                    let ring = &ring;
                    scope.spawn(move || {
                        for step in 0..EACH {
                            let value = u32::try_from(step).unwrap();
                            let kind = AccessKind::Store { weight: value, cost_us: value, value };
                            ring.write(&access(thread << 32 | step, kind));
                        }
                    })
                })
                .collect();
            while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                dropped += ring.drain(tap, &mut read);
            }
        });
        dropped += ring.drain(tap, &mut read);
        assert_eq!(read.len() as u64 + dropped, 8 * EACH);
        let mut last = [None; 8];
        for access in read {
            let (thread, step) = ((access.key >> 32) as usize, access.key & 0xffff_ffff);
            assert!(last[thread].is_none_or(|last| last < step), "one thread's accesses are in order");
            last[thread] = Some(step);
            let AccessKind::Store { weight, cost_us, value } = access.kind else { panic!("{access:?}") };
            assert!([weight, cost_us, value].iter().all(|part| u64::from(*part) == step));
        }
    }

    #[test]
    fn taking_the_tap_again_takes_it_away() {
        let ring = Ring::default();
        let first = ring.take(100);
        ring.write(&access(1, AccessKind::Hit));
        let second = ring.take(100);
        ring.write(&access(2, AccessKind::Hit));
        let mut read = Vec::new();
        assert_eq!((ring.drain(first, &mut read), read.len()), (0, 0));
        assert_eq!((ring.drain(second, &mut read), read.len()), (0, 1));
        assert_eq!(read[0].key, 2);
    }
}
