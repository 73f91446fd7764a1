//! Grants: how the namespaces divide one capacity among themselves.
//!
//! A shard of a table may weigh what was granted to it. Grants come out of one
//! [`Budget`], in steps, as a shard fills; what was granted never exceeds it. Once
//! it is used up, a namespace that has less than its share (its *entitlement*) is
//! given room that one with more than its share holds.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The capacity of all namespaces together.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    free: AtomicU64,
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, free: AtomicU64::new(total) }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn take(&self, wanted: u64) -> u64 {
        let subtract = |free: u64| free.saturating_sub(wanted);
        self.free.update(Ordering::Relaxed, Ordering::Relaxed, subtract).min(wanted)
    }

    pub(crate) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    fn is_used_up(&self) -> bool {
        self.free() == 0
    }

    fn give(&self, returned: u64) {
        self.free.fetch_add(returned, Ordering::Relaxed);
    }
}

/// What one namespace was granted, of what it may have.
#[derive(Debug)]
pub(crate) struct Grants {
    /// Held by whoever changes the two figures below, which may be read without.
    changing: Mutex<()>,
    granted: AtomicU64,
    limit: AtomicU64,
    /// What others may not take away from it.
    entitled: AtomicU64,
}

impl Grants {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            changing: Mutex::new(()),
            granted: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            entitled: AtomicU64::new(0),
        }
    }

    /// Takes up to `wanted` out of the budget; returns how much.
    pub(crate) fn take(&self, budget: &Budget, wanted: u64) -> u64 {
        if budget.is_used_up() || self.granted() >= self.limit() {
            return 0; // So it is mostly, in a full cache: without a lock.
        }
        let _changing = self.locked();
        let granted = self.granted();
        let taken = budget.take(wanted.min(self.limit().saturating_sub(granted)));
        self.granted.store(granted + taken, Ordering::Relaxed);
        taken
    }

    /// Gives back what a shard may no longer weigh.
    pub(crate) fn give(&self, budget: &Budget, returned: u64) {
        let changing = self.locked();
        self.granted.store(self.granted() - returned, Ordering::Relaxed);
        drop(changing);
        budget.give(returned);
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets what it may have. What it was granted beyond that is for the caller to give back.
    pub(crate) fn set_limit(&self, limit: u64) {
        let _changing = self.locked();
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn entitled(&self) -> u64 {
        self.entitled.load(Ordering::Relaxed)
    }

    pub(crate) fn entitle(&self, share: u64) {
        self.entitled.store(share, Ordering::Relaxed);
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Divides `total` into one share for each namespace, given what each was promised
/// (`None`: nothing in particular). Promises are kept as far as they leave every
/// namespace a quarter of an equal share; the rest goes to those without one. The shares sum to at most
/// `total`.
pub(crate) fn shares(total: u64, promises: &[Option<u64>]) -> Vec<u64> {
    let count = promises.len().max(1) as u64;
    let least = total / count / 4;
    let wanted: u128 = promises.iter().flatten().map(|promise| u128::from(*promise)).sum();
    let others = promises.iter().filter(|promise| promise.is_none()).count() as u64;
    let for_promises = u128::from(total - least * others);
    let (scaled, left) = if wanted <= for_promises {
        (None, u128::from(total) - wanted)
    } else {
        (Some(wanted), u128::from(least * others))
    };
    let open = u64::try_from(left / u128::from(others.max(1))).unwrap_or(u64::MAX);
    let part = |promise: u64| match scaled {
        None => promise,
        Some(wanted) => u64::try_from(u128::from(promise) * for_promises / wanted).unwrap_or(u64::MAX),
    };
    promises.iter().map(|promise| promise.map_or(open, part)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_granted_is_within_the_budget_and_the_limit() {
        let budget = Budget::new(100);
        let (one, other) = (Grants::new(70), Grants::new(u64::MAX));
        assert_eq!((one.take(&budget, 60), one.take(&budget, 60)), (60, 10));
        assert_eq!((other.take(&budget, 60), other.take(&budget, 60)), (30, 0));
        one.give(&budget, 25);
        assert_eq!((one.granted(), other.take(&budget, 60)), (45, 25));
        one.set_limit(10);
        assert_eq!(one.take(&budget, 1), 0);
    }

    #[test]
    fn promises_are_kept_and_nobody_is_left_without() {
        assert_eq!(shares(100, &[None, None]), [50, 50]);
        assert_eq!(shares(100, &[Some(70), None]), [70, 30]);
        assert_eq!(shares(100, &[Some(99), None]), [88, 12]);
        assert_eq!(shares(100, &[Some(300), Some(100)]), [75, 25]);
        assert_eq!(shares(100, &[Some(1), Some(1)]), [1, 1]);
        assert_eq!(shares(0, &[Some(1), None]), [0, 0]);
        assert_eq!(shares(7, &[]), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn shares_never_exceed_the_total(
            total: u64,
            promises in prop::collection::vec(prop::option::of(any::<u64>()), 0..50),
        ) {
            let sum: u128 = shares(total, &promises).iter().map(|share| u128::from(*share)).sum();
            prop_assert!(sum <= u128::from(total));
        }
    }
}
