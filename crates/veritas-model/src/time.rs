//! Time comes in as a value: code that needs the time takes a [`Clock`].

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in wall-clock time: nanoseconds since the Unix epoch.
///
/// Wall time may jump; durations are measured with [`Monotonic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Wraps nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Wraps seconds since the Unix epoch; out of range saturates, NaN is the epoch.
    #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e9) as i64)
    }

    /// Returns nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Returns Unix seconds with a fraction, as the published JSON gives them.
    #[expect(clippy::cast_precision_loss, reason = "a float keeps this century to a microsecond")]
    pub fn seconds(self) -> f64 {
        (self.0 / 1_000) as f64 / 1e6
    }

    /// Returns how long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// Returns the point `later` after this one, saturating.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Returns the point `earlier` before this one, saturating.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// A point on a clock that never goes back: the time since the clock's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// Wraps the time since the clock's origin.
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns the time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// Returns how long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the point `later` after this one, saturating.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// Tells the time. The real one is [`SystemClock`]; tests use the virtual clock
/// of `veritas-testkit`.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the wall-clock time. It may jump both ways.
    fn now(&self) -> Timestamp;

    /// Returns the time on a clock that never goes back.
    fn monotonic(&self) -> Monotonic;

    /// Returns whether time goes on by itself, so that a reading may stand for the
    /// next moment too. A clock that is moved by hand says no, and is read each time.
    fn runs_by_itself(&self) -> bool {
        false
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts a clock whose monotonic origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn monotonic(&self) -> Monotonic {
        Monotonic(Instant::now().saturating_duration_since(self.origin))
    }

    fn runs_by_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_a_microsecond() {
        assert_eq!(Timestamp::from_nanos(1_672_531_200_123_456_789).seconds(), 1_672_531_200.123_456);
    }

    #[test]
    fn time_before_is_no_time() {
        let early = Timestamp::from_nanos(5);
        let late = Timestamp::from_nanos(9);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_nanos(4));
    }

    #[test]
    fn the_real_clock_does_not_go_back() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now() > Timestamp::from_seconds(1_600_000_000.0));
    }
}
