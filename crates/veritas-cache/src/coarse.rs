//! The coarse clock: the time as of less than a millisecond ago, for look-ups, to
//! which reading the real clock would be half of their cost.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use veritas_model::Clock;

use crate::engine::Now;

/// How often the hand moves while it is looked at.
const TICK: Duration = Duration::from_micros(500);

/// After so many ticks without a look, the ticker sleeps until it is worth its while again.
const IDLE_TICKS: u32 = 20;

/// The ticker wakes when so many readings went to the real clock …
const READINGS: u64 = 256;

/// … within this time, in nanoseconds: 25,600 a second, of which a tick spares a dozen.
const WITHIN: u64 = 10_000_000;

/// Nobody moves the hand.
const ASLEEP: u64 = 0;

/// Set by the first look at the hand after a tick.
const LOOKED_AT: u64 = 1;

/// Tells the time, exactly or as of the last tick.
///
/// A clock that does not run by itself (a test moves it) is read each time. The
/// machine's clock is read each time too, until that happens so often that a thread
/// is worth it which reads it every half millisecond and sleeps when nobody looks.
/// When the machine is so busy that this thread does not run, look-ups see an
/// earlier time, and an entry may be served that much past its deadline; whatever
/// is stored, loaded or purged goes by the exact time, and tells it to the look-ups.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    clock: Arc<dyn Clock>,
    hand: Arc<Hand>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Hand {
    /// Nanoseconds, the lowest bit aside; or [`ASLEEP`].
    now: AtomicU64,
    readings: AtomicU64,
    counted_from: AtomicU64,
    ticker: OnceLock<Option<Thread>>,
    stopped: AtomicBool,
}

impl Hand {
    /// Moves the hand, and returns whether someone looked since it was moved.
    fn move_to(&self, now: u64) -> bool {
        // Above both marks, however young the clock is.
        let now = (now & !LOOKED_AT).max(LOOKED_AT + 1);
        // Never back: who saw that we are late may have moved it further.
        let before = self.now.fetch_max(now, Ordering::Relaxed);
        before & LOOKED_AT != 0
    }
}

impl CoarseClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, hand: Arc::default() }
    }

    /// Returns the time as of the last tick.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        let now = self.hand.now.load(Ordering::Relaxed);
        if now <= LOOKED_AT {
            return self.read();
        }
        if now & LOOKED_AT == 0 {
            self.look(now);
        }
        Now(now & !LOOKED_AT)
    }

    /// Returns the exact time.
    pub(crate) fn exact(&self) -> Now {
        let now = nanos(&*self.clock);
        let hand = self.hand.now.load(Ordering::Relaxed);
        if hand > LOOKED_AT && hand + 1_000_000 < now {
            // The ticker is late. If it ticks or falls asleep just now, that stands.
            let moved = (now & !LOOKED_AT) | LOOKED_AT;
            _ = self.hand.now.compare_exchange(hand, moved, Ordering::Relaxed, Ordering::Relaxed);
        }
        Now(now)
    }

    pub(crate) fn runs_by_itself(&self) -> bool {
        self.clock.runs_by_itself()
    }

    /// Tells the ticker that someone looks. Once a tick.
    #[cold]
    fn look(&self, now: u64) {
        _ = self.hand.now.compare_exchange(now, now | LOOKED_AT, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn read(&self) -> Now {
        let now = nanos(&*self.clock);
        let readings = self.hand.readings.fetch_add(1, Ordering::Relaxed);
        if readings % READINGS == READINGS - 1 {
            let from = self.hand.counted_from.swap(now, Ordering::Relaxed);
            if now.saturating_sub(from) < WITHIN && self.runs_by_itself() {
                self.wake();
            }
        }
        Now(now)
    }

    #[cold]
    fn wake(&self) {
        let ticker = self.hand.ticker.get_or_init(|| {
            let (clock, hand) = (Arc::clone(&self.clock), Arc::clone(&self.hand));
            let thread = std::thread::Builder::new().name("veritas-cache-clock".to_owned());
            // Without a thread the clock goes on being read each time.
            thread.spawn(move || tick(&*clock, &hand)).ok().map(|ticker| ticker.thread().clone())
        });
        if let Some(ticker) = ticker {
            ticker.unpark();
        }
    }
}

impl Drop for CoarseClock {
    fn drop(&mut self) {
        self.hand.stopped.store(true, Ordering::Release);
        if let Some(Some(ticker)) = self.hand.ticker.get() {
            ticker.unpark();
        }
    }
}

/// Moves the hand until the clock is dropped.
fn tick(clock: &dyn Clock, hand: &Hand) {
    let mut idle = 0;
    while !hand.stopped.load(Ordering::Acquire) {
        idle = if hand.move_to(nanos(clock)) { 0 } else { idle + 1 };
        if idle < IDLE_TICKS {
            std::thread::park_timeout(TICK);
        } else {
            hand.now.store(ASLEEP, Ordering::Relaxed);
            std::thread::park();
            idle = 0;
        }
    }
}

fn nanos(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.monotonic().since_origin().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use veritas_model::SystemClock;
    use veritas_testkit::VirtualClock;

    use super::*;

    #[test]
    fn a_clock_that_a_test_moves_is_read_each_time() {
        let clock = VirtualClock::new();
        let coarse = CoarseClock::new(Arc::new(clock.clone()));
        for _ in 0..10 * READINGS {
            let before = coarse.now();
            clock.advance(Duration::from_nanos(1));
            assert_eq!(coarse.now().0, before.0 + 1);
        }
        assert!(coarse.hand.ticker.get().is_none());
    }

    #[test]
    fn a_ticker_that_was_held_up_does_not_move_the_hand_back() {
        let clock = VirtualClock::new();
        let coarse = CoarseClock::new(Arc::new(clock.clone()));
        clock.advance(Duration::from_secs(1));
        let early = nanos(&clock);
        coarse.hand.move_to(early);
        // While the ticker is about to move the hand, someone else sees that it is late.
        clock.advance(Duration::from_secs(1));
        let seen = coarse.exact();
        assert_eq!(coarse.now(), seen);
        assert!(coarse.hand.move_to(early));
        assert_eq!(coarse.now(), seen);
    }

    #[test]
    fn the_hand_moves_while_it_is_looked_at_and_never_ahead_of_the_time() {
        let clock = Arc::new(SystemClock::new());
        let coarse = CoarseClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut moves = 0;
        let mut before = coarse.now();
        while moves < 20 || coarse.hand.ticker.get().is_none() {
            let now = coarse.now();
            assert!(now <= coarse.exact());
            moves += u32::from(now != before && coarse.hand.now.load(Ordering::Relaxed) > LOOKED_AT);
            before = now;
        }
        // It falls asleep when nobody looks.
        while coarse.hand.now.load(Ordering::Relaxed) != ASLEEP {
            std::thread::yield_now();
        }
        let (asleep, exact) = (coarse.now(), coarse.exact());
        assert!(asleep <= exact);
    }
}
