//! A clock that stands still until a test moves it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use veritas_model::{Clock, Monotonic, Timestamp};

/// A clock that stands still until a test moves it. Clones share one time, so that
/// a test keeps one and gives the other to what it tests.
///
/// It starts at 2023-01-01 00:00:00 UTC (Unix second 1 672 531 200), its monotonic
/// origin one hour earlier, so that code that looks back a little finds a past.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use veritas_model::Clock;
/// use veritas_testkit::VirtualClock;
///
/// let clock = VirtualClock::new();
/// let given: Arc<dyn Clock> = Arc::new(clock.clone());
/// clock.advance(Duration::from_millis(1_500));
/// assert_eq!(given.now().seconds(), 1_672_531_201.5);
///
/// let before = given.monotonic();
/// clock.jump_wall(-3_600_000_000_000); // someone set the machine's clock back by an hour
/// assert_eq!(given.monotonic(), before);
/// ```
#[derive(Debug, Clone)]
pub struct VirtualClock {
    hands: Arc<Mutex<Hands>>,
}

#[derive(Debug, Clone, Copy)]
struct Hands {
    wall: Timestamp,
    monotonic: Monotonic,
}

impl VirtualClock {
    /// Makes a clock that shows 2023-01-01 00:00:00 UTC.
    pub fn new() -> Self {
        Self::starting_at(Timestamp::from_nanos(1_672_531_200_000_000_000))
    }

    /// Makes a clock that shows `wall`.
    pub fn starting_at(wall: Timestamp) -> Self {
        let monotonic = Monotonic::from_origin(Duration::from_hours(1));
        Self { hands: Arc::new(Mutex::new(Hands { wall, monotonic })) }
    }

    /// Lets time pass: both the wall clock and the monotonic clock go on by `elapsed`.
    pub fn advance(&self, elapsed: Duration) {
        self.with_hands(|hands| {
            hands.wall = hands.wall.plus(elapsed);
            hands.monotonic = hands.monotonic.plus(elapsed);
        });
    }

    /// Sets the wall clock forward (or back, when negative) by `nanos`, as an
    /// administrator or a time server does. The monotonic clock does not notice.
    pub fn jump_wall(&self, nanos: i64) {
        self.with_hands(|hands| {
            hands.wall = Timestamp::from_nanos(hands.wall.nanos().saturating_add(nanos));
        });
    }

    fn with_hands<T>(&self, act: impl FnOnce(&mut Hands) -> T) -> T {
        act(&mut self.hands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.with_hands(|hands| hands.wall)
    }

    fn monotonic(&self) -> Monotonic {
        self.with_hands(|hands| hands.monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_until_it_is_moved() {
        let clock = VirtualClock::new();
        assert_eq!(clock.now(), clock.now());
        assert_eq!(clock.monotonic(), clock.monotonic());
        assert_eq!(clock.now().seconds(), 1_672_531_200.0);
    }

    #[test]
    fn clones_share_one_time() {
        let clock = VirtualClock::new();
        let other = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(other.now().seconds(), 1_672_531_205.0);
    }

    #[test]
    fn wall_time_jumps_both_ways_and_monotonic_time_does_not() {
        let clock = VirtualClock::starting_at(Timestamp::from_seconds(100.0));
        let monotonic = clock.monotonic();
        clock.jump_wall(50_000_000_000);
        assert_eq!(clock.now().seconds(), 150.0);
        clock.jump_wall(-140_000_000_000);
        assert_eq!(clock.now().seconds(), 10.0);
        assert_eq!(clock.monotonic(), monotonic);
    }
}
