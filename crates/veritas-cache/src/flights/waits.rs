//! Waits: which load waits for which, so that no ring of them ever closes.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{LazyLock, PoisonError},
};

use super::super::sync::thread_local;

thread_local! {
    /// The flights whose loaders are running on this thread right now, outermost
    /// first: a synchronous loader from start to end, a future's during its polls.
    static LEADS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The waits of the whole process: a ring may go through several caches. Its lock
/// is the standard one even under a test's scheduler, being held for no step of it.
static WAITS: LazyLock<Waits> = LazyLock::new(Waits::default);

/// Runs a step of the loader that serves the flights `leads`; what it asks of the
/// cache meanwhile is known to come from them.
pub(crate) fn running<R>(leads: impl IntoIterator<Item = u64>, step: impl FnOnce() -> R) -> R {
    struct Leave(usize);
    impl Drop for Leave {
        fn drop(&mut self) {
            // A thread that is being torn down has no list any more.
            let _torn_down = LEADS.try_with(|running| running.borrow_mut().truncate(self.0));
        }
    }
    let before = LEADS.try_with(|running| {
        let mut running = running.borrow_mut();
        let before = running.len();
        running.extend(leads);
        before
    });
    let _leave = before.ok().map(Leave);
    step()
}

/// Returns whether the calling thread is running the loader of that flight.
pub(super) fn is_running(flight: u64) -> bool {
    LEADS.try_with(|running| running.borrow().contains(&flight)).unwrap_or(false)
}

/// Notes that the loads of the calling thread wait for the flight `awaited`, until
/// the links are dropped. `None`: it waits for one of them, so go alone.
pub(super) fn link(awaited: u64) -> Option<Links> {
    LEADS.try_with(|running| WAITS.link(&running.borrow(), awaited)).unwrap_or(Some(Links::none()))
}

/// Which load waits for which. Only loads that wait are here.
#[derive(Debug, Default)]
struct Waits {
    links: std::sync::Mutex<HashMap<u64, Vec<u64>>>,
}

impl Waits {
    /// Notes that every load of `waiting` waits for the load `awaited`; or returns
    /// `None` and notes nothing when `awaited` waits, through any chain, for one
    /// of `waiting`. A ring closes with its last link, and whoever makes that one
    /// is told.
    fn link(&'static self, waiting: &[u64], awaited: u64) -> Option<Links> {
        if waiting.is_empty() {
            return Some(Links::none()); // Nothing can wait for a caller that loads nothing.
        }
        let mut links = self.locked();
        let mut reached = vec![awaited];
        let mut index = 0;
        while let Some(&at) = reached.get(index) {
            if waiting.contains(&at) {
                return None;
            }
            for &to in links.get(&at).into_iter().flatten() {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
            index += 1;
        }
        for &from in waiting {
            links.entry(from).or_default().push(awaited);
        }
        Some(Links { waits: Some(self), from: waiting.to_vec(), to: awaited })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<u64>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some loads wait for another one while this lives.
#[derive(Debug)]
pub(super) struct Links {
    waits: Option<&'static Waits>,
    from: Vec<u64>,
    to: u64,
}

impl Links {
    const fn none() -> Self {
        Self { waits: None, from: Vec::new(), to: 0 }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let Some(waits) = self.waits else { return };
        let mut links = waits.locked();
        for from in &self.from {
            if let Some(awaited) = links.get_mut(from) {
                if let Some(index) = awaited.iter().position(|to| *to == self.to) {
                    awaited.swap_remove(index);
                }
                if awaited.is_empty() {
                    links.remove(from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits() -> &'static Waits {
        Box::leak(Box::default())
    }

    #[test]
    fn the_last_link_of_a_ring_is_refused() {
        let waits = waits();
        let first = waits.link(&[1], 2).unwrap();
        let _second = waits.link(&[2], 3).unwrap();
        assert!(waits.link(&[3], 1).is_none());
        assert!(waits.link(&[9, 3], 1).is_none(), "any load of the caller counts");
        assert!(waits.link(&[3], 4).is_some());
        drop(first);
        assert!(waits.link(&[3], 1).is_some(), "a wait that ended is no link");
    }

    #[test]
    fn nothing_is_left_of_waits_that_ended() {
        let waits = waits();
        drop((waits.link(&[1, 2], 3), waits.link(&[1], 3), waits.link(&[4], 1)));
        assert!(waits.locked().is_empty());
    }

    #[test]
    fn a_load_never_waits_for_itself() {
        assert!(waits().link(&[7], 7).is_none());
    }
}
