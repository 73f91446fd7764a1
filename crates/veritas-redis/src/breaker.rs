//! The breaker: whether calls to one node are sent, wait, or fail at once.

use std::sync::atomic::{AtomicU32, Ordering};

/// What happens to a call for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Gate {
    /// The first attempt to connect is under way: calls wait for it, up to their deadline.
    Connecting = 0,
    /// Calls are sent.
    Up = 1,
    /// Calls fail at once; attempts to connect go on in the background.
    Down = 2,
}

/// The gate of one node and the calls in a row that it has failed.
///
/// There is no half-open state that calls could fall into: a connection that was
/// given up is replaced by one that has answered a probe within the deadline, and
/// only then do calls go there again.
#[derive(Debug)]
pub(crate) struct Breaker {
    gate: AtomicU32,
    failed_in_row: AtomicU32,
    limit: u32,
}

impl Breaker {
    pub(crate) fn new(limit: u32) -> Self {
        Self { gate: AtomicU32::new(Gate::Connecting as u32), failed_in_row: AtomicU32::new(0), limit }
    }

    /// Returns what happens to a call now. One load, so that a refused call costs nothing.
    #[inline]
    pub(crate) fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Acquire) {
            0 => Gate::Connecting,
            1 => Gate::Up,
            _ => Gate::Down,
        }
    }

    /// Moves the gate; a change forgets the failures. Returns where it was.
    pub(crate) fn set(&self, gate: Gate) -> Gate {
        let before = self.gate();
        self.gate.store(gate as u32, Ordering::Release);
        if before != gate {
            self.failed_in_row.store(0, Ordering::Relaxed);
        }
        before
    }

    /// Notes calls that were answered.
    pub(crate) fn succeeded(&self) {
        if self.failed_in_row.load(Ordering::Relaxed) != 0 {
            self.failed_in_row.store(0, Ordering::Relaxed);
        }
    }

    /// Notes `calls` calls that failed; returns whether the connection is to be given up.
    pub(crate) fn failed(&self, calls: u32) -> bool {
        let before = self.failed_in_row.fetch_add(calls, Ordering::Relaxed);
        before.saturating_add(calls) >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let breaker = Breaker::new(3);
        assert!(!breaker.failed(1));
        assert!(!breaker.failed(1));
        breaker.succeeded();
        assert!(!breaker.failed(2));
        assert!(breaker.failed(1));
    }

    #[test]
    fn a_moved_gate_forgets_the_failures() {
        let breaker = Breaker::new(2);
        assert_eq!(breaker.gate(), Gate::Connecting);
        assert!(!breaker.failed(1));
        assert_eq!(breaker.set(Gate::Up), Gate::Connecting);
        assert!(!breaker.failed(1));
        assert_eq!(breaker.set(Gate::Up), Gate::Up);
        assert!(breaker.failed(1));
    }
}
