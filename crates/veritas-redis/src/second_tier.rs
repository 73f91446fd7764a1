//! What Redis tells of itself to the caches: the `SecondTier` of the tiered namespaces.

use std::sync::{
    Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering},
};
use std::{sync::Arc, time::Duration};

use veritas_cache::{KeyPage, ListError, OVERFLOW, SecondTier, TierCounts, TierMemory, TierStatistics};
use veritas_model::{Condition, Monotonic};

use crate::{listing, memory, tiered::Tiers, wait::block_on};

/// How old a reading of the memory may be before the next one is begun.
const FRESH: Duration = Duration::from_secs(10);

/// Redis behind the caches. It does not keep the tiered caches alive.
#[derive(Debug)]
pub(crate) struct RedisSecondTier {
    tiers: Weak<Tiers>,
    reading: Arc<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    last: Mutex<Option<(Monotonic, TierMemory)>>,
    under_way: AtomicBool,
}

impl RedisSecondTier {
    pub(crate) fn new(tiers: Weak<Tiers>) -> Self {
        Self { tiers, reading: Arc::default() }
    }
}

impl SecondTier for RedisSecondTier {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn statistics(&self) -> TierStatistics {
        let Some(tiers) = self.tiers.upgrade() else { return TierStatistics::default() };
        let mut namespaces: Vec<(String, TierCounts)> = Vec::new();
        for space in tiers.spaces.all() {
            let counts = space.counters.read();
            match namespaces.last_mut() {
                // One name in two schemas is one row.
                Some((name, sum)) if *name == space.name => sum.add(&counts),
                _ => namespaces.push((space.name.clone(), counts)),
            }
        }
        if let Some(beyond) = tiers.spaces.counted_beyond() {
            namespaces.push((OVERFLOW.to_owned(), beyond.read()));
        }
        TierStatistics { namespaces }
    }

    fn reset_statistics(&self) {
        if let Some(tiers) = self.tiers.upgrade() {
            tiers.spaces.all().iter().for_each(|space| space.counters.reset());
            tiers.spaces.counted_beyond().iter().for_each(|beyond| beyond.reset());
        }
    }

    /// Returns the last reading, and begins another in the background when that is older than 10 s.
    fn memory(&self) -> Option<TierMemory> {
        let tiers = self.tiers.upgrade()?;
        let now = tiers.clock.monotonic();
        let last = self.reading.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = last.as_ref().is_some_and(|(at, _)| now.since(*at) < FRESH);
        if !fresh && tiers.redis.is_available() && !self.reading.under_way.swap(true, Ordering::AcqRel) {
            let reading = Arc::clone(&self.reading);
            let handle = tiers.redis.thread().clone();
            drop(handle.spawn(async move {
                if let Ok(memory) = memory::measure(&tiers, memory::SCAN_TIME).await {
                    let at = tiers.clock.monotonic();
                    *reading.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, memory));
                }
                reading.under_way.store(false, Ordering::Release);
            }));
        }
        last.map(|(_, memory)| memory)
    }

    fn condition(&self) -> Condition {
        match self.tiers.upgrade() {
            None => Condition::Ready,
            Some(tiers) => match (tiers.redis.condition(), tiers.pending.len()) {
                (Condition::Ready, 0) => Condition::Ready,
                (Condition::Ready, pending) => {
                    Condition::Degraded(format!("{pending} deletes wait to be sent to redis"))
                }
                (Condition::Degraded(why), 0) => Condition::Degraded(why),
                (Condition::Degraded(why), pending) => {
                    Condition::Degraded(format!("{why}; {pending} deletes wait to be sent"))
                }
            },
        }
    }

    fn keys(&self, namespace: &str, cursor: Option<&str>, limit: usize) -> Result<KeyPage, ListError> {
        let tiers = self.tiers.upgrade().ok_or(ListError::UnknownNamespace)?;
        block_on(listing::page(&tiers, namespace, cursor, limit))
    }
}
