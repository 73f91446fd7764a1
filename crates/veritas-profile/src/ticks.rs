//! Ticks: the clock that calls are timed with, chosen once per process.
//!
//! A tick is what the cheapest trustworthy clock counts in. Recording keeps
//! ticks; [`Scale`] turns them into time when someone reads, by a ratio measured
//! over the whole life of the process until then, so no start-up pause is spent
//! on calibration.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tsc;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use veritas_model::{Clock, SystemClock, Timestamp};

/// How ticks are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickSource {
    /// The processor's time stamp counter, which it says is invariant and which
    /// the kernel itself trusts.
    TimeStampCounter,
    /// The operating system's monotonic clock.
    Monotonic,
    /// The clock that [`install_clock`] was given.
    Installed,
}

/// A clock was already in use: one process has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a clock is already in use")]
pub struct ClockInUse;

struct Timekeeper {
    source: TickSource,
    clock: Arc<dyn Clock>,
    /// The same moment on both clocks.
    origin: Moment<Duration>,
    /// Nanoseconds per tick, once it has been measured over [`LONG_ENOUGH`].
    settled: OnceLock<f64>,
}

static TIMEKEEPER: OnceLock<Timekeeper> = OnceLock::new();

/// 1 once the time stamp counter is in use; 0 before, and with any other source.
static DIRECT: AtomicU8 = AtomicU8::new(0);

/// The ratio of the clocks is settled then: reading both takes below 100 ns, so
/// it is exact to 1e-7.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// What part of that time the readings of both clocks may have taken. A thread that lost
/// its core between them does not know the ratio: it is settled later.
const CLOSE_ENOUGH: f64 = 1e-6;

/// How often both clocks are read to find a reading during which the thread kept its core.
const READINGS: u32 = 5;

/// What the clock said at a moment, and which moment that was in ticks.
#[derive(Debug, Clone, Copy)]
struct Moment<T> {
    said: T,
    ticks: u64,
    /// How many ticks went by while the clock was asked.
    took: u64,
}

/// Makes `clock` the one that calls are timed with, before the first call is:
/// tests give a virtual one.
///
/// # Errors
///
/// [`ClockInUse`] when a clock is in use already.
pub fn install_clock(clock: Arc<dyn Clock>) -> Result<(), ClockInUse> {
    let keeper = Timekeeper::starting(TickSource::Installed, clock);
    TIMEKEEPER.set(keeper).map_err(|_| ClockInUse)
}

/// Returns how calls are timed in this process.
pub fn tick_source() -> TickSource {
    timekeeper().source
}

/// Reads the clock.
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if DIRECT.load(Ordering::Relaxed) == 1 {
        return tsc::read();
    }
    timekeeper().ticks()
}

fn timekeeper() -> &'static Timekeeper {
    TIMEKEEPER.get_or_init(|| {
        let clock = Arc::new(SystemClock::new());
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if tsc::is_trustworthy() {
            DIRECT.store(1, Ordering::Relaxed);
            return Timekeeper::starting(TickSource::TimeStampCounter, clock);
        }
        Timekeeper::starting(TickSource::Monotonic, clock)
    })
}

impl Timekeeper {
    fn starting(source: TickSource, clock: Arc<dyn Clock>) -> Self {
        let origin = Moment { said: Duration::ZERO, ticks: 0, took: 0 };
        let mut keeper = Self { source, clock, origin, settled: OnceLock::new() };
        keeper.origin = keeper.ask(|clock| clock.monotonic().since_origin());
        keeper
    }

    /// Asks the clock between two readings of the ticks that are as close as can be had.
    fn ask<T>(&self, question: impl Fn(&(dyn Clock + 'static)) -> T) -> Moment<T> {
        let once = || {
            let before = self.ticks();
            let said = question(&*self.clock);
            let took = self.ticks().saturating_sub(before);
            Moment { said, ticks: before + took / 2, took }
        };
        (1..READINGS)
            .map(|_| once())
            .fold(once(), |best, next| if next.took < best.took { next } else { best })
    }

    fn ticks(&self) -> u64 {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.source == TickSource::TimeStampCounter {
            return tsc::read();
        }
        nanos(self.clock.monotonic().since_origin())
    }

    #[expect(clippy::cast_precision_loss, reason = "the ratio is needed to 1e-7")]
    fn nanos_per_tick(&self) -> f64 {
        if self.source != TickSource::TimeStampCounter {
            return 1.0;
        }
        if let Some(settled) = self.settled.get() {
            return *settled;
        }
        let now = self.ask(|clock| clock.monotonic().since_origin());
        let ticks = now.ticks.saturating_sub(self.origin.ticks).max(1) as f64;
        let elapsed = now.said.saturating_sub(self.origin.said);
        let ratio = nanos(elapsed) as f64 / ticks;
        let is_close = (self.origin.took + now.took) as f64 <= CLOSE_ENOUGH * ticks;
        if elapsed >= LONG_ENOUGH && is_close { *self.settled.get_or_init(|| ratio) } else { ratio }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Turns ticks into time, as well as it is known at one reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    nanos_per_tick: f64,
    now_ticks: u64,
    now: Timestamp,
}

impl Scale {
    /// Takes the ratio and the time of now.
    pub(crate) fn take() -> Self {
        let keeper = timekeeper();
        let now = keeper.ask(Clock::now);
        Self { nanos_per_tick: keeper.nanos_per_tick(), now_ticks: now.ticks, now: now.said }
    }

    /// Builds a scale from its parts, for tests of arithmetic.
    #[cfg(test)]
    pub(crate) const fn of(nanos_per_tick: f64, now_ticks: u64, now: Timestamp) -> Self {
        Self { nanos_per_tick, now_ticks, now }
    }

    /// Returns the duration of a number of ticks, to a nanosecond.
    pub(crate) fn duration(&self, ticks: u64) -> Duration {
        if self.nanos_per_tick == 1.0 {
            return Duration::from_nanos(ticks);
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "exact to a nanosecond below 100 days; the cast saturates"
        )]
        Duration::from_nanos((ticks as f64 * self.nanos_per_tick).round() as u64)
    }

    /// Returns the wall time of a moment in the past.
    pub(crate) fn timestamp(&self, ticks: u64) -> Timestamp {
        self.now.minus(self.since(ticks))
    }

    /// Returns how long ago a moment was.
    pub(crate) fn since(&self, ticks: u64) -> Duration {
        self.duration(self.now_ticks.saturating_sub(ticks))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use veritas_model::Monotonic;

    use super::*;

    #[test]
    fn ticks_become_time_when_they_are_read() {
        let scale = Scale::of(0.5, 10_000, Timestamp::from_nanos(1_000_000));
        assert_eq!(scale.duration(300), Duration::from_nanos(150));
        assert_eq!(scale.timestamp(9_000), Timestamp::from_nanos(999_500));
        assert_eq!(scale.since(11_000), Duration::ZERO);
    }

    #[test]
    fn a_reading_in_the_middle_of_which_the_thread_lost_its_core_is_not_taken() {
        /// Stands still, but for two seconds that pass while it is asked first.
        #[derive(Debug, Default)]
        struct Slow {
            now: AtomicU64,
            looks: AtomicU8,
        }
        impl Clock for Slow {
            fn now(&self) -> Timestamp {
                if self.looks.fetch_add(1, Ordering::Relaxed) == 0 {
                    self.now.fetch_add(2_000_000_000, Ordering::Relaxed);
                }
                Timestamp::from_nanos(self.now.load(Ordering::Relaxed).cast_signed())
            }
            fn monotonic(&self) -> Monotonic {
                Monotonic::from_origin(Duration::from_nanos(self.now.load(Ordering::Relaxed)))
            }
        }
        let keeper = Timekeeper::starting(TickSource::Installed, Arc::new(Slow::default()));
        let moment = keeper.ask(Clock::now);
        assert_eq!((moment.ticks, moment.took), (2_000_000_000, 0));
        assert_eq!(moment.said, Timestamp::from_nanos(2_000_000_000));
    }

    #[test]
    fn the_process_clock_goes_with_the_real_one() {
        // The thread may lose its core between two readings, so the bounds come from
        // readings around it, and the ratio is held to 1 %.
        let clock = SystemClock::new();
        let outer = clock.monotonic();
        let start = now();
        let inner = clock.monotonic();
        while clock.monotonic().since(inner) < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let inner = clock.monotonic().since(inner);
        let ticks = now() - start;
        let outer = clock.monotonic().since(outer);
        let measured = Scale::take().duration(ticks);
        assert!(measured >= inner.mul_f64(0.99), "{measured:?} against at least {inner:?}");
        assert!(measured <= outer.mul_f64(1.01), "{measured:?} against at most {outer:?}");
    }
}
