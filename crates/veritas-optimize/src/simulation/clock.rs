//! A clock that only the simulation moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, Monotonic, Timestamp};

/// A clock that only the simulation moves. Clones show the same time.
#[derive(Debug, Clone)]
pub(super) struct SimulatedClock {
    monotonic_nanos: Arc<AtomicU64>,
    wall_offset_nanos: Arc<AtomicI64>,
}

impl SimulatedClock {
    pub(super) fn new() -> Self {
        Self {
            monotonic_nanos: Arc::default(),
            wall_offset_nanos: Arc::new(AtomicI64::new(1_700_000_000_000_000_000)),
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn jump_wall(&self, nanos: i64) {
        self.wall_offset_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.monotonic_nanos.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        Timestamp::from_nanos(self.wall_offset_nanos.load(Ordering::Relaxed).saturating_add(passed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_origin(Duration::from_nanos(self.monotonic_nanos.load(Ordering::Relaxed)))
    }
}
