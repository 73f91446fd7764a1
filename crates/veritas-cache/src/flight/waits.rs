//! Waits: which load waits for which, so that no ring of them ever closes.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which load waits for which. Only loads that wait are here, so it is short.
#[derive(Debug, Default)]
pub(super) struct Waits {
    links: Mutex<Vec<(u64, u64)>>,
}

impl Waits {
    /// Notes that every load of `waiting` waits for the load `awaited`, until the
    /// links are dropped; or returns `None` and notes nothing when `awaited` waits,
    /// through any chain, for one of `waiting`.
    ///
    /// A ring closes with its last link, and whoever makes that one is told.
    pub(super) fn link(&self, waiting: &[u64], awaited: u64) -> Option<Vec<Link<'_>>> {
        if waiting.is_empty() {
            return Some(Vec::new()); // Nothing can wait for a caller that loads nothing.
        }
        let mut links = self.locked();
        let mut reached = vec![awaited];
        let mut index = 0;
        while let Some(&at) = reached.get(index) {
            if waiting.contains(&at) {
                return None;
            }
            for &(_, to) in links.iter().filter(|(from, _)| *from == at) {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
            index += 1;
        }
        links.extend(waiting.iter().map(|&from| (from, awaited)));
        Some(waiting.iter().map(|&from| Link { waits: self, from, to: awaited }).collect())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One load waits for another while this lives.
#[derive(Debug)]
pub(super) struct Link<'a> {
    waits: &'a Waits,
    from: u64,
    to: u64,
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        let mut links = self.waits.locked();
        if let Some(index) = links.iter().position(|link| *link == (self.from, self.to)) {
            links.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_link_of_a_ring_is_refused() {
        let waits = Waits::default();
        let first = waits.link(&[1], 2).unwrap();
        let second = waits.link(&[2, 5], 3).unwrap();
        assert!(waits.link(&[3], 1).is_none());
        assert!(waits.link(&[7, 3], 4).is_some());
        drop(second);
        assert!(waits.link(&[3], 1).is_some());
        drop(first);
        assert!(waits.locked().is_empty());
    }

    #[test]
    fn a_caller_that_loads_nothing_is_in_no_ring() {
        let waits = Waits::default();
        let _first = waits.link(&[1], 2).unwrap();
        assert!(waits.link(&[], 1).unwrap().is_empty());
    }
}
