//! A link: one node, the one connection to it, and what is on its way there.
//!
//! A link is a task on the thread `veritas-redis`. It is either *attaching* (trying
//! to connect; calls wait for the first attempt and fail at once after it failed)
//! or *serving*. What waits together is sent together: gets as one `MGET`, as soon
//! as one of a few round trips at a time is free, so that nobody waits for company
//! and a busy link sends few, large requests.
//!
//! Replies are matched to requests by their order on the connection. A request
//! whose caller has given up keeps its place in that order until its reply comes or the
//! connection is dropped, so a late reply answers nobody, never the wrong one.

pub(crate) mod attach;
pub(crate) mod cluster;
mod pack;
mod serve;
pub(crate) mod slots;
pub(crate) mod thread;
pub(crate) mod work;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use tokio::sync::mpsc;
use veritas_model::{Clock, Monotonic};

use crate::{
    breaker::{Breaker, Gate},
    counters::Counters,
    error::TierError,
    options::{Endpoint, RedisOptions},
    tracking::{Coherence, LossReason},
};
use work::Work;

/// What all links and all handles of one tier share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) coherence: Coherence,
    /// Calls that have no answer yet, and the bytes that they hold.
    pub(crate) calls: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(options: RedisOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            options,
            clock,
            counters: Counters::default(),
            coherence: Coherence::default(),
            calls: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }
}

/// What is known of one node from outside of its task.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) breaker: Breaker,
    /// The last connection, to have it killed if it was lost.
    former: Mutex<Option<Former>>,
    state: Mutex<NodeState>,
}

/// A connection as its server calls it: numbers begin anew when a server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    /// The name of that start.
    run: String,
    id: i64,
}

/// What operators want to know of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeState {
    /// Why it is not connected, or not tracked.
    pub(crate) trouble: Option<String>,
    /// Since when it is not connected.
    pub(crate) down_since: Option<Monotonic>,
}

impl Node {
    /// A node that has not been connected since `now`.
    pub(crate) fn new(name: String, options: &RedisOptions, now: Monotonic) -> Self {
        Self {
            name,
            breaker: Breaker::new(options.breaker.failures),
            former: Mutex::default(),
            state: Mutex::new(NodeState { trouble: None, down_since: Some(now) }),
        }
    }

    pub(crate) fn state(&self) -> NodeState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn former(&self) -> Option<Former> {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, connection: Option<Former>) {
        *self.former.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    pub(crate) fn with_state(&self, change: impl FnOnce(&mut NodeState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connection, ours or an application's.
pub(crate) trait Wire: ConnectionLike + Send + Sync {
    fn duplicate(&self) -> Box<dyn Wire>;
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Wire for C {
    fn duplicate(&self) -> Box<dyn Wire> {
        Box::new(self.clone())
    }
}

/// Where the connections of a link come from.
pub(crate) enum Source {
    /// A server at a fixed address.
    Server(Endpoint),
    /// The primary that sentinels know.
    Sentinel { sentinels: Vec<Endpoint>, master: String, server: Endpoint },
    /// An application's own connection, which reconnects itself or never.
    Borrowed(Box<dyn Wire>),
}

/// Where a link sends what another node has to answer.
pub(crate) enum Detour {
    /// Nowhere: there is one node.
    None,
    /// To the router of the cluster.
    Cluster(mpsc::UnboundedSender<cluster::Redirect>),
}

/// Why a link has no connection any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The other side closed it, or it broke.
    Disconnected,
    /// Too many calls in a row had no answer in time.
    Silent,
    /// The server is no primary any more.
    Demoted,
    /// Nobody needs it: the last handle is gone, or the node left the cluster.
    Closed,
}

/// The task of one node.
pub(crate) struct Link {
    shared: Arc<Shared>,
    node: Arc<Node>,
    source: Source,
    detour: Detour,
    works: mpsc::UnboundedReceiver<Work>,
    /// What waits for the connection, in order of arrival.
    waiting: VecDeque<Work>,
    /// Whether the connection is tracked, and whether there is none.
    tracked: bool,
    degraded: bool,
    /// Whether calls had no answer since one last had.
    suspect: bool,
    /// When a demoted server was last left.
    left_demoted: Option<tokio::time::Instant>,
}

impl Link {
    pub(crate) fn new(
        shared: Arc<Shared>,
        node: Arc<Node>,
        source: Source,
        detour: Detour,
        works: mpsc::UnboundedReceiver<Work>,
    ) -> Self {
        shared.coherence.count_node(true);
        shared.counters.degrade(shared.clock.monotonic());
        Self {
            shared,
            node,
            source,
            detour,
            works,
            waiting: VecDeque::new(),
            tracked: false,
            degraded: true,
            suspect: false,
            left_demoted: None,
        }
    }

    /// Attaches and serves until nobody needs the node any more.
    pub(crate) async fn run(mut self) {
        while let Some(connection) = self.attach().await {
            self.up(&connection);
            let lost = self.serve(connection).await;
            if lost == Lost::Closed {
                break;
            }
            self.down(lost);
        }
    }

    /// Opens the gate. Everything read before is stale first: the next answer comes after.
    fn up(&mut self, connection: &attach::Connection) {
        if matches!(self.source, Source::Borrowed(_)) {
            tracing::debug!(node = self.node.name, "redis over the application's connection");
        } else {
            tracing::info!(node = self.node.name, tracked = connection.tracked, "redis connected");
            self.shared.coherence.lose(LossReason::Connected, &self.shared.counters);
        }
        self.track(connection.tracked);
        self.degrade(false);
        self.node.with_state(|state| state.trouble.clone_from(&connection.untracked));
        self.suspect = false;
        self.node.breaker.set(Gate::Up);
    }

    /// Shuts the gate, or lets calls wait for one attempt.
    fn down(&mut self, lost: Lost) {
        let trouble = match lost {
            Lost::Disconnected => "the connection was lost",
            Lost::Silent => "calls had no answer in time",
            Lost::Demoted => "the server takes no writes",
            Lost::Closed => "nobody needs it",
        };
        tracing::warn!(node = self.node.name, trouble, "redis disconnected");
        let gate = if lost == Lost::Silent { Gate::Down } else { Gate::Connecting };
        self.shut(gate, trouble);
        if gate == Gate::Down {
            self.fail_waiting(TierError::Unavailable);
        }
    }

    fn shut(&mut self, gate: Gate, trouble: &str) {
        self.track(false);
        self.degrade(true);
        self.node.with_state(|state| state.trouble = Some(trouble.into()));
        self.shared.coherence.lose(LossReason::Disconnected, &self.shared.counters);
        // Last: whoever is refused finds the loss told already.
        self.node.breaker.set(gate);
    }

    fn track(&mut self, tracked: bool) {
        if self.tracked != tracked {
            self.tracked = tracked;
            self.shared.coherence.count_tracked(tracked);
        }
    }

    fn degrade(&mut self, degraded: bool) {
        if self.degraded == degraded {
            return;
        }
        self.degraded = degraded;
        let now = self.shared.clock.monotonic();
        if degraded {
            self.shared.counters.degrade(now);
        } else {
            self.shared.counters.recover(now);
        }
        self.node.with_state(|state| state.down_since = degraded.then_some(now));
    }

    fn fail_waiting(&mut self, error: TierError) {
        for work in self.waiting.drain(..) {
            work.fail(error);
        }
    }
}

/// However a link ends, by a panic of ours too: nobody waits for it, and nobody
/// takes it for coherent.
impl Drop for Link {
    fn drop(&mut self) {
        self.shut(Gate::Down, "its task has ended");
        self.fail_waiting(TierError::Unavailable);
        self.shared.counters.recover(self.shared.clock.monotonic());
        self.shared.coherence.count_node(false);
    }
}

/// A random share of `duration`, 50 % to 100 %, so that processes do not return in step.
pub(crate) fn jittered(duration: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The keys of a RandomState are random per process and differ per instance.
    let random = RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    let share = u32::try_from(random >> 33).unwrap_or(0);
    duration / 2 + (duration / 2).mul_f64(f64::from(share) / f64::from(1_u32 << 31))
}

/// The plain connection of redis-rs.
pub(crate) type Plain = MultiplexedConnection;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_by_half_at_most() {
        let whole = Duration::from_millis(100);
        let drawn: Vec<_> = (0..200).map(|_| jittered(whole)).collect();
        assert!(drawn.iter().all(|one| *one >= whole / 2 && *one <= whole));
        assert!(drawn.iter().any(|one| one != &drawn[0]));
    }
}
