//! The monitor: where the sampler leaves its last reading and everyone else finds it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Reading;

/// Holds the last reading. Shared between the sampler's thread and all readers.
#[derive(Debug, Default)]
pub struct Monitor {
    // A standard mutex: it is held for the exchange of one pointer.
    latest: Mutex<Option<Arc<Reading>>>,
}

impl Monitor {
    /// Builds a monitor that has no reading yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `reading` the one that [`Self::latest`] returns.
    pub fn publish(&self, reading: Reading) {
        let reading = Some(Arc::new(reading));
        // The old reading is dropped after the lock is released.
        let _previous =
            std::mem::replace(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner), reading);
    }

    /// Returns the last reading, or `None` before the first tick. Never blocks
    /// for longer than the exchange of a pointer.
    pub fn latest(&self) -> Option<Arc<Reading>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::tests::full_reading;

    #[test]
    fn the_last_published_reading_is_the_one_that_is_seen() {
        let monitor = Monitor::new();
        assert!(monitor.latest().is_none());
        monitor.publish(full_reading());
        let mut second = full_reading();
        second.process.threads = 99;
        monitor.publish(second);
        assert_eq!(monitor.latest().expect("published").process.threads, 99);
    }
}
