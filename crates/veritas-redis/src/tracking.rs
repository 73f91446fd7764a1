//! Coherence: what others change reaches us, and what we may have missed is told.
//!
//! A server sends an invalidation for every key below our prefix that another
//! connection changes, that expires, or that is evicted, in order with the answers on
//! the same connection. When a connection is lost, what was changed meanwhile is not
//! known: the generation goes up, and whatever was read under an older generation is
//! taken for stale. It goes up again before the first answer of the next connection.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::counters::{Counters, add};

/// What is no longer true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidation<'a> {
    /// One key: another process changed it, or it expired, or it was evicted.
    Key(&'a [u8]),
    /// Everything that was read before: the generation has gone up already.
    All(LossReason),
}

/// Why everything is taken for stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// A connection was lost, and with it what the server had to tell.
    Disconnected,
    /// A connection was made: what was kept during the outage is not known to be true.
    Connected,
    /// The server was emptied (`FLUSHALL`, `FLUSHDB`).
    Flushed,
    /// Slots of the cluster moved to another node.
    Moved,
}

type Subscriber = Arc<dyn Fn(Invalidation<'_>) + Send + Sync>;

/// How many may wait for keys to change; more are refused and poll instead.
pub(crate) const MAX_WAITERS: usize = 65_536;

/// The generation, who wants to hear of invalidations, and who waits for a key.
#[derive(Default)]
pub(crate) struct Coherence {
    generation: AtomicU64,
    subscribers: RwLock<Arc<Vec<Subscriber>>>,
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
    /// Nodes whose connection is up and tracked, and nodes there are.
    tracked: AtomicU32,
    nodes: AtomicU32,
}

/// One that waits: its number, and how it is woken.
type Waiter = (u64, oneshot::Sender<()>);

#[derive(Default)]
struct Waiters {
    next: u64,
    by_key: HashMap<Box<[u8]>, Vec<Waiter>>,
}

impl fmt::Debug for Coherence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Coherence").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl Coherence {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut subscribers).push(subscriber);
    }

    /// Notes that everything read so far may be stale. First the generation, then the news.
    pub(crate) fn lose(&self, reason: LossReason, counters: &Counters) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        add(&counters.losses, 1);
        self.tell(Invalidation::All(reason));
        let waiters = {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            self.waiting.store(0, Ordering::Release);
            std::mem::take(&mut waiters.by_key)
        };
        wake(waiters.into_values().flatten());
    }

    /// Notes that others changed a key.
    pub(crate) fn invalidate(&self, key: &[u8], counters: &Counters) {
        add(&counters.invalidations, 1);
        self.tell(Invalidation::Key(key));
        self.wake(key);
    }

    /// Wakes who waits for a key: others changed it, or we did, of which no server tells us.
    pub(crate) fn wake(&self, key: &[u8]) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let woken = {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = waiters.by_key.remove(key).unwrap_or_default();
            self.waiting.fetch_sub(woken.len(), Ordering::AcqRel);
            woken
        };
        wake(woken);
    }

    /// Registers a waiter for a key; `None` when there are too many.
    pub(crate) fn wait(&self, key: &[u8]) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waiting.load(Ordering::Acquire) >= MAX_WAITERS {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let id = waiters.next;
        waiters.next += 1;
        let (sender, receiver) = oneshot::channel();
        match waiters.by_key.get_mut(key) {
            Some(present) => present.push((id, sender)),
            None => {
                waiters.by_key.insert(key.into(), vec![(id, sender)]);
            }
        }
        Some((id, receiver))
    }

    /// Takes a waiter back that waits no more.
    pub(crate) fn forget(&self, key: &[u8], id: u64) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(present) = waiters.by_key.get_mut(key) else { return };
        let before = present.len();
        present.retain(|(other, _)| *other != id);
        let gone = before - present.len();
        if present.is_empty() {
            waiters.by_key.remove(key);
        }
        self.waiting.fetch_sub(gone, Ordering::AcqRel);
    }

    /// Notes that there is one node more, or one less.
    pub(crate) fn count_node(&self, present: bool) {
        count(&self.nodes, present);
    }

    /// Notes that a node's connection is tracked, or no longer.
    pub(crate) fn count_tracked(&self, tracked: bool) {
        count(&self.tracked, tracked);
    }

    /// Returns whether the changes on every node reach us now.
    pub(crate) fn is_coherent(&self) -> bool {
        let nodes = self.nodes.load(Ordering::Acquire);
        nodes > 0 && self.tracked.load(Ordering::Acquire) >= nodes
    }

    fn tell(&self, invalidation: Invalidation<'_>) {
        // A subscriber may subscribe others: the lock is not held while they run.
        let subscribers = Arc::clone(&self.subscribers.read().unwrap_or_else(PoisonError::into_inner));
        for subscriber in subscribers.iter() {
            // It runs in the task that reads the connection, which must outlive it.
            let call = std::panic::AssertUnwindSafe(|| subscriber(invalidation));
            if std::panic::catch_unwind(call).is_err() {
                tracing::error!("a subscriber to invalidations panicked");
            }
        }
    }
}

fn count(counter: &AtomicU32, up: bool) {
    if up {
        counter.fetch_add(1, Ordering::AcqRel);
    } else {
        counter.fetch_sub(1, Ordering::AcqRel);
    }
}

fn wake(waiters: impl IntoIterator<Item = Waiter>) {
    for (_, waiter) in waiters {
        // Whoever gave up meanwhile needs no news.
        waiter.send(()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_has_gone_up_when_the_loss_is_told() {
        let coherence = Arc::new(Coherence::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (inner, log) = (Arc::downgrade(&coherence), Arc::clone(&seen));
        coherence.subscribe(Arc::new(move |invalidation| {
            let generation = inner.upgrade().unwrap().generation();
            log.lock().unwrap().push((format!("{invalidation:?}"), generation));
        }));
        let counters = Counters::default();
        coherence.invalidate(b"k", &counters);
        coherence.lose(LossReason::Disconnected, &counters);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], ("Key([107])".into(), 0));
        assert_eq!(seen[1], ("All(Disconnected)".into(), 1));
    }

    #[test]
    fn a_waiter_is_woken_by_its_key_and_by_a_loss_and_by_nothing_else() {
        let (coherence, counters) = (Coherence::default(), Counters::default());
        let (_, mut first) = coherence.wait(b"a").unwrap();
        let (_, mut second) = coherence.wait(b"b").unwrap();
        coherence.invalidate(b"a", &counters);
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        coherence.lose(LossReason::Flushed, &counters);
        assert!(second.try_recv().is_ok());
        assert_eq!(coherence.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_forgotten_waiter_leaves_nothing_behind() {
        let coherence = Coherence::default();
        let (id, _receiver) = coherence.wait(b"a").unwrap();
        coherence.forget(b"a", id);
        coherence.forget(b"a", id);
        assert_eq!(coherence.waiting.load(Ordering::Relaxed), 0);
        assert!(coherence.waiters.lock().unwrap().by_key.is_empty());
    }

    #[test]
    fn a_subscriber_that_panics_harms_no_other() {
        let (coherence, counters) = (Coherence::default(), Counters::default());
        let heard = Arc::new(AtomicUsize::new(0));
        let log = Arc::clone(&heard);
        coherence.subscribe(Arc::new(|_| panic!("on purpose")));
        coherence.subscribe(Arc::new(move |_| {
            log.fetch_add(1, Ordering::Relaxed);
        }));
        coherence.invalidate(b"a", &counters);
        coherence.lose(LossReason::Flushed, &counters);
        assert_eq!(heard.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn waiters_are_bounded() {
        let coherence = Coherence::default();
        let held: Vec<_> = (0..MAX_WAITERS).map(|_| coherence.wait(b"k").unwrap()).collect();
        assert!(coherence.wait(b"k").is_none());
        drop(held);
    }
}
