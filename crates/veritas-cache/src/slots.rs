//! Slots: a small number of its own for each thread, so that what only one thread
//! writes needs no locked instruction.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

/// How many threads have a slot to themselves at a time; the others share [`SHARED`].
pub(crate) const SLOTS: usize = 64;

/// The slot of all threads that found none free, and of threads being torn down.
pub(crate) const SHARED: usize = SLOTS;

const UNSET: usize = usize::MAX;

/// A bit for each slot that a living thread has.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Without a destructor, so that it can be read as long as the thread runs.
    static OWN: Cell<usize> = const { Cell::new(UNSET) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

/// Gives the slot back when its thread ends.
struct Lease(usize);

impl Drop for Lease {
    fn drop(&mut self) {
        OWN.set(SHARED);
        // What this thread wrote in its slot is seen by the next one that takes it.
        TAKEN.fetch_and(!(1 << self.0), Ordering::Release);
    }
}

/// Returns the calling thread's slot, lowest first: no other living thread has it,
/// unless it is [`SHARED`].
#[inline]
pub(crate) fn own() -> usize {
    let own = OWN.get();
    if own == UNSET { take() } else { own }
}

#[cold]
fn take() -> usize {
    let taken = TAKEN.try_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
        (taken != u64::MAX).then(|| taken | (taken + 1))
    });
    let slot = taken.map_or(SHARED, |before| before.trailing_ones() as usize);
    OWN.set(slot);
    if slot != SHARED && LEASE.try_with(|lease| lease.set(Some(Lease(slot)))).is_err() {
        // The thread is being torn down, and the lease was dropped just now.
        debug_assert_eq!(OWN.get(), SHARED);
    }
    OWN.get()
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn living_threads_have_slots_of_their_own_and_leave_them_behind() {
        for _ in 0..3 {
            let (together, seen) = (Barrier::new(8), Mutex::new(Vec::new()));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let slot = own();
                        assert_eq!(slot, own());
                        together.wait();
                        seen.lock().unwrap().push(slot);
                    });
                }
            });
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 8);
            // Other tests of this process have slots too, but never that many.
            assert!(seen.iter().all(|slot| *slot < SLOTS), "{seen:?}");
        }
    }
}
