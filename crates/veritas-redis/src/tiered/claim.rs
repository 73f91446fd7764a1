//! Claims: who loads a key that the process does not have, and who waits for whom.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    Tiers,
    lease::Lease,
    read::{Found, SEAL, Standing, Wanted, count},
    space::Space,
};
use crate::TierError;

/// How long a waiter trusts in being woken before it looks itself: at least.
const SHORTEST_LOOK: u64 = 20;
/// And at most.
const LONGEST_LOOK: u64 = 100;

/// For how long a stale value is served without asking again while another process refreshes it.
const REFRESHED_ELSEWHERE: Duration = Duration::from_millis(50);

/// What came of asking Redis for a key.
#[derive(Debug)]
pub(crate) enum Claim<V> {
    /// It has the value.
    Served(Found<V>),
    /// It has not, and this process loads it for all.
    Lead(Lease),
    /// It does not answer, or another process loads for too long: this process loads for itself.
    Alone,
}

impl Tiers {
    /// Asks Redis for a key, and for the right to load it when it is missing.
    ///
    /// While another process loads, this waits for the server's word that the key
    /// changed; as a fallback it looks every 20 to 100 ms, at most for `patience`.
    /// With `refreshing`, a value that is there is to be replaced if nobody else does
    /// that; with `needed`, a remembered absence is to be replaced in any case.
    pub(crate) async fn claim<V: DeserializeOwned>(
        &self,
        space: &Space,
        wanted: Wanted<'_>,
        refreshing: bool,
        needed: bool,
        patience: Duration,
    ) -> Claim<V> {
        let first = self.read(space, wanted).await;
        count(space, &first);
        let mut standing = match first {
            Err(_) => {
                space.counters.unleased();
                return Claim::Alone;
            }
            Ok(Standing::Found(found)) if needed && found.value.is_none() => {
                return match self.lease_refresh(space, wanted, found.seal).await {
                    Ok(Some(lease)) => Claim::Lead(lease),
                    Ok(None) | Err(_) => Claim::Alone,
                };
            }
            Ok(Standing::Found(found)) if found.fresh.is_zero() || refreshing => {
                return self.claim_refresh(space, wanted, found).await;
            }
            Ok(standing) => standing,
        };
        let (mut waiting_since, mut seen, mut occupied) = (None, None, false);
        loop {
            match standing {
                Standing::Found(found) if needed && found.value.is_none() => return Claim::Alone,
                Standing::Found(found) => return Claim::Served(found),
                Standing::Loading(seal) => seen = Some(seal),
                Standing::Nothing | Standing::Dead(_) => {
                    let dead = if let Standing::Dead(seal) = standing { Some(seal) } else { None };
                    let nothing = dead.is_none();
                    match self.lease(space, wanted, dead).await {
                        Ok(Some(lease)) => return Claim::Lead(lease),
                        // A value or a lease that came between; not twice.
                        Ok(None) if nothing && occupied => self.evict_stranger(space, wanted).await,
                        Ok(None) => occupied = nothing,
                        Err(error) => {
                            space.counters.failed(error);
                            space.counters.unleased();
                            return Claim::Alone;
                        }
                    }
                }
            }
            let now = self.clock.monotonic();
            let since = *waiting_since.get_or_insert_with(|| {
                space.counters.waited();
                now
            });
            if now.since(since) >= patience {
                space.counters.unleased();
                return self.take_over(space, wanted, seen).await;
            }
            // First listen, then look: what changes between is heard.
            let watch = self.redis.watch(wanted.key);
            standing = match self.read(space, wanted).await {
                Ok(Standing::Loading(_)) => {
                    match watch {
                        Some(mut watch) => drop(watch.changed(look_again()).await),
                        None => self.redis.pause(look_again()).await,
                    }
                    match self.read(space, wanted).await {
                        Ok(standing) => standing,
                        Err(_) => return Claim::Alone,
                    }
                }
                Ok(standing) => standing,
                Err(_) => return Claim::Alone,
            };
        }
    }

    /// Removes what is neither read nor leased: a value of another type, which a
    /// batch of reads takes for nothing there.
    async fn evict_stranger(&self, space: &Space, wanted: Wanted<'_>) {
        let mut read = redis::cmd("STRLEN");
        read.arg(wanted.key);
        if self.redis.command(read, Some(wanted.key)).await == Err(TierError::WrongType) {
            space.counters.corrupted();
            // Should that fail, the patience ends it.
            self.redis.delete(wanted.key).await.ok();
        }
    }

    /// Loads in the place of a process that takes too long; of several that lost
    /// their patience one takes the lease, the others load for themselves. (A lease
    /// without an end, which only a hostile peer writes, is gone by that.)
    async fn take_over<V>(&self, space: &Space, wanted: Wanted<'_>, seen: Option<[u8; SEAL]>) -> Claim<V> {
        let Some(seal) = seen else { return Claim::Alone };
        match self.lease(space, wanted, Some(seal)).await {
            Ok(Some(lease)) => Claim::Lead(lease),
            Ok(None) | Err(_) => Claim::Alone,
        }
    }

    /// Takes the right to replace a value, or serves it while another process does.
    async fn claim_refresh<V>(&self, space: &Space, wanted: Wanted<'_>, mut found: Found<V>) -> Claim<V> {
        if let Ok(Some(lease)) = self.lease_refresh(space, wanted, found.seal).await {
            return Claim::Lead(lease);
        }
        let extended = REFRESHED_ELSEWHERE.saturating_sub(found.fresh).min(found.stale);
        found.fresh += extended;
        found.stale -= extended;
        Claim::Served(found)
    }
}

/// Returns after how long to look without having been woken: spread, so that
/// waiters of many processes do not ask in step.
fn look_again() -> Duration {
    Duration::from_millis(SHORTEST_LOOK + super::versions::random() % (LONGEST_LOOK - SHORTEST_LOOK))
}
