//! Server time: the one clock that all processes share is the server's.
//!
//! A frame tells until when its value is good, and hosts disagree about what time
//! it is. So times in frames are the server's, which also counts down its own
//! expirations. Each process asks for it once a connection and once a minute, and
//! between that adds what its monotonic clock counted: a wall clock that someone
//! sets does not matter, nor how far apart two hosts are.
//!
//! The answer is taken as the time when the question was *sent*, so our reckoning is
//! ahead of the server by at most one round trip: a value dies that much too early,
//! not too late. Where the server does not tell its time, the wall clock stands in,
//! and a value still never lives longer here than its own time to live.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::Value;
use veritas_model::{Clock, Monotonic};

use crate::{RedisTier, TierError};

/// How long a reading is good. Clocks drift apart by some 10 µs a second at worst.
const GOOD_FOR: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(crate) struct ServerTime {
    reading: Mutex<Option<Reading>>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The server's milliseconds at our monotonic time.
    server_ms: u64,
    at: Monotonic,
    /// Under which connections it was read.
    generation: u64,
}

impl ServerTime {
    /// Returns the server's time, or the wall clock's as long as it is not known.
    pub(crate) fn now_ms(&self, clock: &dyn Clock) -> u64 {
        match *self.locked() {
            Some(reading) => reading.server_ms.saturating_add(millis(clock.monotonic().since(reading.at))),
            None => u64::try_from(clock.now().nanos() / 1_000_000).unwrap_or(0),
        }
    }

    /// Asks the server when the last answer is too old. A server that does not
    /// answer leaves the reckoning as it is.
    pub(crate) async fn refresh(&self, redis: &RedisTier, clock: &dyn Clock) {
        let (at, generation) = (clock.monotonic(), redis.generation());
        let known = *self.locked();
        if known.is_some_and(|known| known.generation == generation && at.since(known.at) < GOOD_FOR) {
            return;
        }
        let answer = redis.command(redis::cmd("TIME"), None).await;
        let told = answer.as_ref().ok().and_then(server_ms);
        let server_ms = match (told, known, answer) {
            (Some(server_ms), ..) => server_ms,
            // Asked again in a minute: between that the monotonic clock goes on.
            (None, Some(known), _) => known.server_ms.saturating_add(millis(at.since(known.at))),
            // It will not tell: the wall clock stands in, and is not asked for with every look-up.
            (None, None, Ok(_) | Err(TierError::Forbidden | TierError::Other { .. })) => self.now_ms(clock),
            (None, None, Err(_)) => return,
        };
        *self.locked() = Some(Reading { server_ms, at, generation });
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Reading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the answer to `TIME`: seconds and microseconds.
fn server_ms(value: &Value) -> Option<u64> {
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(value).ok()?;
    seconds.checked_mul(1_000)?.checked_add(micros / 1_000)
}

#[cfg(test)]
mod tests {
    use veritas_testkit::VirtualClock;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_answer_is_read_in_milliseconds() {
        let answer = Value::Array(vec![bulk("1700000000"), bulk("123999")]);
        assert_eq!(server_ms(&answer), Some(1_700_000_000_123));
        assert_eq!(server_ms(&Value::Nil), None);
        assert_eq!(server_ms(&Value::Array(vec![bulk("x"), bulk("1")])), None);
    }

    #[test]
    fn the_wall_clock_stands_in_until_the_server_told_and_not_after() {
        let (time, clock) = (ServerTime::default(), VirtualClock::new());
        assert_eq!(time.now_ms(&clock), 1_672_531_200_000);
        *time.locked() = Some(Reading { server_ms: 5_000, at: clock.monotonic(), generation: 0 });
        clock.jump_wall(3_600_000_000_000);
        clock.advance(Duration::from_millis(250));
        assert_eq!(time.now_ms(&clock), 5_250);
    }
}
