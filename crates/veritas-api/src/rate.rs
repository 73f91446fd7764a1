//! Rate limits: the generic cell rate algorithm (ITU-T I.371) over a bounded table.
//!
//! Our own sixty lines rather than a crate, because the table must be bounded
//! while a stranger chooses the keys, and time must come from our clock.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use veritas_model::Monotonic;

use crate::limits::Rate;

const SHARDS: usize = 16;
/// At most this often a full shard is searched for idle keys.
const SWEEP_EVERY: u64 = 1_000_000_000;
/// The key that strangers share once a shard is full.
const OVERFLOW: u64 = 0;

/// What the limiter says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the request may go on.
    pub(crate) admitted: bool,
    /// Requests left at once.
    pub(crate) remaining: u64,
    /// Until the whole burst is there again.
    pub(crate) reset: Duration,
    /// How long to wait; zero when admitted.
    pub(crate) retry_after: Duration,
}

/// A limiter for many keys.
pub(crate) struct RateLimiter {
    /// Nanoseconds that one request costs.
    cost: u64,
    /// Nanoseconds that the burst is worth.
    burst: u64,
    keys_per_shard: usize,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// For each key, by its hash, the time at which its allowance is whole again.
#[derive(Default)]
struct Shard {
    whole_at: HashMap<u64, u64>,
    swept_at: u64,
}

impl RateLimiter {
    /// Makes a limiter that tracks about `keys` keys.
    pub(crate) fn new(rate: Rate, keys: usize) -> Self {
        // A request that costs nothing would leave no burst either, and of two requests at
        // the same time the one whose clock was read first would be refused.
        let cost = (1_000_000_000 / u64::from(rate.per_second.get())).max(1);
        Self {
            cost,
            burst: cost.saturating_mul(u64::from(rate.burst.get())),
            keys_per_shard: keys.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
            shards: Default::default(),
        }
    }

    /// Charges one request to `key`.
    pub(crate) fn charge(&self, key: impl Hash, now: Monotonic) -> Verdict {
        let now = u64::try_from(now.since_origin().as_nanos()).unwrap_or(u64::MAX);
        let hash = self.hasher.hash_one(key).max(1);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shard.slot(hash, now, self.keys_per_shard);
        let whole_at = shard.whole_at.get(&slot).copied().unwrap_or(0).max(now);
        let after = whole_at.saturating_add(self.cost);
        let debt = after - now;
        if debt > self.burst {
            return Verdict {
                admitted: false,
                remaining: 0,
                reset: Duration::from_nanos(whole_at - now),
                retry_after: Duration::from_nanos(debt - self.burst),
            };
        }
        shard.whole_at.insert(slot, after);
        Verdict {
            admitted: true,
            remaining: (self.burst - debt) / self.cost.max(1),
            reset: Duration::from_nanos(debt),
            retry_after: Duration::ZERO,
        }
    }

    /// Returns how many keys are tracked.
    #[cfg(test)]
    fn tracked(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().whole_at.len()).sum()
    }
}

impl Shard {
    /// Returns the key itself if there is room, else the one that strangers share.
    fn slot(&mut self, hash: u64, now: u64, capacity: usize) -> u64 {
        if self.whole_at.len() < capacity || self.whole_at.contains_key(&hash) {
            return hash;
        }
        if now.saturating_sub(self.swept_at) >= SWEEP_EVERY || self.swept_at == 0 {
            self.swept_at = now;
            // A key whose allowance is whole is the same as one never seen.
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        if self.whole_at.len() < capacity { hash } else { OVERFLOW }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use veritas_model::Clock;
    use veritas_testkit::VirtualClock;

    fn limiter(per_second: u32, burst: u32, keys: usize) -> RateLimiter {
        let nonzero = |number| NonZeroU32::new(number).unwrap();
        RateLimiter::new(Rate::new(nonzero(per_second), nonzero(burst)), keys)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let clock = VirtualClock::new();
        let limiter = limiter(10, 5, 100);
        for left in (0..5).rev() {
            let verdict = limiter.charge("ann", clock.monotonic());
            assert!(verdict.admitted);
            assert_eq!(verdict.remaining, left);
        }
        let refused = limiter.charge("ann", clock.monotonic());
        assert!(!refused.admitted);
        assert_eq!(refused.retry_after, Duration::from_millis(100));
        assert_eq!(refused.reset, Duration::from_millis(500));
        assert!(limiter.charge("bob", clock.monotonic()).admitted, "keys do not share");
        clock.advance(Duration::from_millis(99));
        assert!(!limiter.charge("ann", clock.monotonic()).admitted);
        clock.advance(Duration::from_millis(1));
        assert!(limiter.charge("ann", clock.monotonic()).admitted);
        assert!(!limiter.charge("ann", clock.monotonic()).admitted);
    }

    #[test]
    fn a_rate_without_bound_refuses_nobody() {
        let limiter = limiter(u32::MAX, u32::MAX, 100);
        let early = VirtualClock::new();
        let late = VirtualClock::new();
        late.advance(Duration::from_millis(1));
        // Clocks are read before the table is locked, so that requests overtake each other.
        for _ in 0..100 {
            assert!(limiter.charge("ann", late.monotonic()).admitted);
            assert!(limiter.charge("ann", early.monotonic()).admitted);
        }
    }

    #[test]
    fn over_a_long_time_not_one_request_too_many_passes() {
        let clock = VirtualClock::new();
        let limiter = limiter(50, 200, 100);
        let mut admitted = 0;
        for _ in 0..100_000 {
            admitted += u32::from(limiter.charge(1, clock.monotonic()).admitted);
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(admitted, 200 + 100 * 50 - 1);
    }

    #[test]
    fn a_million_strangers_take_bounded_room_and_do_not_lock_out_those_known() {
        let clock = VirtualClock::new();
        let limiter = limiter(1, 2, 1_000);
        assert!(limiter.charge("known", clock.monotonic()).admitted);
        for stranger in 0..1_000_000_u32 {
            limiter.charge(stranger, clock.monotonic());
        }
        assert!(limiter.tracked() <= 1_000 + 2 * SHARDS);
        assert!(limiter.charge("known", clock.monotonic()).admitted);
        clock.advance(Duration::from_secs(10));
        assert!(limiter.charge("new", clock.monotonic()).admitted, "idle keys made room");
    }
}
