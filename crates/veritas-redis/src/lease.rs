//! Leases and waiting: one of several processes does the work, the others are woken.
//!
//! A lease is a key that holds a token and dies by itself. It is taken with `SET NX
//! PX`. Renewal and release compare the token on the server, in a script, so that a lease that
//! was lost and taken by another is left alone.

use std::{sync::Arc, time::Duration};

use redis::{Value, cmd};
use tokio::{sync::oneshot, task::AbortHandle};

use crate::{
    error::TierError,
    tier::{RedisTier, milliseconds},
};

/// Deletes the key if it holds the token.
const RELEASE: &str =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) else return 0 end";

/// Sets the key's life if it holds the token.
const RENEW: &str = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) else return 0 end";

impl RedisTier {
    /// Takes a lease: writes `token` under `key` for `life`, if nobody holds it. Returns whether it is ours.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists. After an error it is not known whether it is ours; it dies by itself.
    pub async fn lease(&self, key: &[u8], token: u64, life: Duration) -> Result<bool, TierError> {
        let mut take = cmd("SET");
        take.arg(key).arg(token).arg("NX").arg("PX").arg(milliseconds(life));
        match self.command(take, Some(key)).await? {
            Value::Okay => Ok(true),
            Value::Nil => Ok(false),
            _ => Err(TierError::Unexpected),
        }
    }

    /// Lets a lease that we hold live for `life` from now. Returns whether we still hold it.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn renew(&self, key: &[u8], token: u64, life: Duration) -> Result<bool, TierError> {
        let mut renew = cmd("EVAL");
        renew.arg(RENEW).arg(1).arg(key).arg(token).arg(milliseconds(life));
        self.held(renew, key).await
    }

    /// Gives a lease back. Returns whether we still held it.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists; the lease then dies by itself.
    pub async fn release(&self, key: &[u8], token: u64) -> Result<bool, TierError> {
        let mut release = cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(key).arg(token);
        let held = self.held(release, key).await?;
        // The server does not tell us of our own writes.
        self.shared().coherence.wake(key);
        Ok(held)
    }

    async fn held(&self, script: redis::Cmd, key: &[u8]) -> Result<bool, TierError> {
        match self.command(script, Some(key)).await? {
            Value::Int(count) => Ok(count > 0),
            _ => Err(TierError::Unexpected),
        }
    }

    /// Takes a lease and keeps it alive, renewing it at a third of its life, until
    /// the guard is dropped, which gives it back. `None` when another holds it.
    ///
    /// A lease is renewed for `longest` at most: a holder that hangs does not keep the others waiting for ever.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub async fn hold(
        &self,
        key: &[u8],
        token: u64,
        life: Duration,
        longest: Duration,
    ) -> Result<Option<Lease>, TierError> {
        if !self.lease(key, token, life).await? {
            return Ok(None);
        }
        let key: Arc<[u8]> = key.into();
        let (tier, renewed) = (self.clone(), Arc::clone(&key));
        // The task holds a handle of the tier, and ends with the guard.
        let period = (life / 3).max(Duration::from_millis(1));
        let renewal = self.thread().spawn(async move {
            for _ in 0..longest.as_nanos() / period.as_nanos() {
                tokio::time::sleep(period).await;
                // An outage is no loss yet: the next turn may come in time.
                if tier.renew(&renewed, token, life).await == Ok(false) {
                    break;
                }
            }
        });
        Ok(Some(Lease { tier: self.clone(), key, token, renewal: renewal.abort_handle(), held: true }))
    }

    /// Begins to watch a key: from now on no change by others is missed. Watch first,
    /// then look, then wait. `None` when 65 536 watches are out already.
    ///
    /// A key below the prefix only, and only while the tier [is coherent](Self::is_coherent): otherwise
    /// nothing wakes the watch but its limit.
    pub fn watch(&self, key: &[u8]) -> Option<Watch> {
        let (id, receiver) = self.shared().coherence.wait(key)?;
        Some(Watch { tier: self.clone(), key: key.into(), id, receiver: Some(receiver) })
    }

    /// Waits without a runtime of the caller's. Costs a timer on the connections' thread.
    pub async fn pause(&self, pause: Duration) {
        let (sender, receiver) = oneshot::channel::<()>();
        let timer = self.thread().spawn(async move {
            tokio::time::sleep(pause).await;
            drop(sender);
        });
        let _timer = AbortOnDrop(timer.abort_handle());
        // An error is the end of the timer, or of the thread: either ends the pause.
        receiver.await.ok();
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A lease that we hold. Dropped, it is given back, without waiting for the answer.
#[derive(Debug)]
pub struct Lease {
    tier: RedisTier,
    key: Arc<[u8]>,
    token: u64,
    renewal: AbortHandle,
    held: bool,
}

impl Lease {
    /// Gives the lease back and waits for the answer. Returns whether we still held it.
    ///
    /// # Errors
    ///
    /// As [`RedisTier::release`].
    pub async fn release(mut self) -> Result<bool, TierError> {
        self.renewal.abort();
        self.held = false;
        self.tier.release(&self.key, self.token).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.held {
            let (tier, key, token) = (self.tier.clone(), Arc::clone(&self.key), self.token);
            drop(self.tier.thread().spawn(async move { tier.release(&key, token).await }));
        }
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The key changed, or everything may have.
    Changed,
    /// The limit passed.
    Late,
}

/// A key that is watched until this is dropped.
#[derive(Debug)]
pub struct Watch {
    tier: RedisTier,
    key: Box<[u8]>,
    id: u64,
    receiver: Option<oneshot::Receiver<()>>,
}

impl Watch {
    /// Waits until the key has changed since the watch began, or `limit` has passed. After
    /// a change it returns at once: watch anew. Needs no runtime of the caller's.
    pub async fn changed(&mut self, limit: Duration) -> Woken {
        let Some(receiver) = &mut self.receiver else { return Woken::Changed };
        let mut pause = std::pin::pin!(self.tier.pause(limit));
        let mut receiver = std::pin::pin!(receiver);
        let woken = std::future::poll_fn(|context| {
            if receiver.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(Woken::Changed);
            }
            pause.as_mut().poll(context).map(|()| Woken::Late)
        })
        .await;
        if woken == Woken::Changed {
            self.receiver = None;
        }
        woken
    }

    /// [`Self::changed`] for callers outside of futures.
    pub fn changed_blocking(&mut self, limit: Duration) -> Woken {
        crate::wait::block_on(self.changed(limit))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            self.tier.shared().coherence.forget(&self.key, self.id);
        }
    }
}
