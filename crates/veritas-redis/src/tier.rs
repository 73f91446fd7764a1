//! The tier: what the caches ask of Redis, and how they are answered.

mod commands;
mod values;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::Instant,
};
use veritas_model::{Clock, Condition};

use crate::{
    breaker::Gate,
    counters::TierCounters,
    error::{RedisError, TierError, answer},
    link::{
        Node, Shared, Source, Wire,
        cluster::Table,
        slots::slot_of,
        thread::{self, Duty},
        work::{Answer, Answers, Ask, Reply, Ticket, Work},
    },
    options::{Endpoint, RedisOptions, Topology},
    tracking::Invalidation,
};

/// A value to be written.
#[derive(Debug, Clone, Copy)]
pub struct SetEntry<'a> {
    /// The whole key, as the server sees it.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// How long it lives, in whole milliseconds, rounded up; `None` is for ever, as is more than a
    /// century. With zero the key is removed instead.
    pub ttl: Option<Duration>,
}

/// The second tier: a handle to the connections. Clones share them; with the last one they end.
///
/// Futures of this type need no runtime, and the `_blocking` forms work anywhere:
/// all waiting is for a thread of our own, which answers everything within the
/// deadline. A dropped future takes nothing back: a write that was begun happens.
#[derive(Clone)]
pub struct RedisTier {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    works: mpsc::UnboundedSender<Work>,
    route: Route,
    thread: Handle,
}

/// Whom a call goes to.
enum Route {
    One(Arc<Node>),
    Cluster(Arc<Table>),
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = &self.inner.shared.options.topology;
        formatter.debug_struct("RedisTier").field("servers", topology).finish_non_exhaustive()
    }
}

impl RedisTier {
    /// Begins to connect. Returns at once: a server that is not there is no error,
    /// and is used as soon as it is. The first calls wait for the connection, up to their deadline.
    ///
    /// `clock` measures outages; deadlines are real time.
    ///
    /// # Errors
    ///
    /// When an option is out of its range or the thread does not start.
    pub fn connect(options: RedisOptions, clock: Arc<dyn Clock>) -> Result<Self, RedisError> {
        options.check()?;
        let name = options.topology.to_string();
        let now = clock.monotonic();
        let node = Arc::new(Node::new(name, &options, now));
        match &options.topology {
            Topology::Single(endpoint) => {
                let source = Source::Server(endpoint.clone());
                Self::start(options, clock, node, source)
            }
            Topology::Sentinel { sentinels, master, server } => {
                let (sentinels, master, server) = (sentinels.clone(), master.clone(), server.clone());
                Self::start(options, clock, node, Source::Sentinel { sentinels, master, server })
            }
            Topology::Cluster(seeds) => {
                let whole = Node::new(options.topology.to_string(), &options, now);
                let table = Arc::new(Table::new(whole));
                let duty = Duty::Cluster(Arc::clone(&table), seeds.clone());
                Self::begin(options, clock, Route::Cluster(table), duty)
            }
        }
    }

    /// Connects to the server that an application's client is for: same address,
    /// credentials and TLS, over connections of our own. `options.topology` is not used.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn from_client(
        client: &redis::Client,
        mut options: RedisOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisError> {
        options.topology = Topology::Single(Endpoint::of(client.get_connection_info().clone()));
        Self::connect(options, clock)
    }

    /// Sends everything over an application's own connection, which reconnects by
    /// its own rules. It does not tell us of changes: the tier is never coherent, and tiered
    /// entries live in the process for `untracked_ttl` at most. A cluster's
    /// connection is good for single keys; its batches are of one slot each.
    ///
    /// `options.topology` is not used but in what is printed.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn over_connection<C>(
        connection: C,
        options: RedisOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisError>
    where
        C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static,
    {
        options.check()?;
        let node = Arc::new(Node::new("the application's connection".into(), &options, clock.monotonic()));
        let wire: Box<dyn Wire> = Box::new(connection);
        Self::start(options, clock, node, Source::Borrowed(wire))
    }

    fn start(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        node: Arc<Node>,
        source: Source,
    ) -> Result<Self, RedisError> {
        let duty = Duty::One(Arc::clone(&node), Box::new(source));
        Self::begin(options, clock, Route::One(node), duty)
    }

    fn begin(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        route: Route,
        duty: Duty,
    ) -> Result<Self, RedisError> {
        let shared = Arc::new(Shared::new(options, clock));
        let (works, receiver) = mpsc::unbounded_channel();
        let thread = thread::start(Arc::clone(&shared), duty, receiver)?;
        Ok(Self { inner: Arc::new(Inner { shared, works, route, thread }) })
    }

    /// Returns the options that the tier was made with.
    pub fn options(&self) -> &RedisOptions {
        &self.inner.shared.options
    }

    /// Has `subscriber` called for everything that is no longer true, on the thread
    /// of the connections and before any answer that was given after the change. It
    /// must not wait for this tier, and its time delays every answer.
    pub fn subscribe(&self, subscriber: Arc<dyn Fn(Invalidation<'_>) + Send + Sync>) {
        self.inner.shared.coherence.subscribe(subscriber);
    }

    /// Returns a number that goes up whenever changes may have been missed: what was
    /// read under an older one is stale. One load.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.inner.shared.coherence.generation()
    }

    /// Returns whether every change of others reaches us now. While it is false,
    /// tiered entries may be stale for as long as they live. Two loads.
    #[inline]
    pub fn is_coherent(&self) -> bool {
        self.inner.shared.coherence.is_coherent()
    }

    /// Returns whether a call would be sent now, or wait for a connection, instead of failing at once.
    #[inline]
    pub fn is_available(&self) -> bool {
        match &self.inner.route {
            Route::One(node) => node.breaker.gate() != Gate::Down,
            Route::Cluster(table) => !table.is_down(None),
        }
    }

    /// Returns what is degraded and why: no connection, or no news of changes.
    pub fn condition(&self) -> Condition {
        let nodes = match &self.inner.route {
            Route::One(node) => vec![Arc::clone(node)],
            Route::Cluster(table) => {
                let state = table.whole.state();
                if state.down_since.is_some() || state.trouble.is_some() {
                    let trouble = state.trouble.as_deref().unwrap_or("connecting");
                    return Condition::Degraded(format!("redis {}: {trouble}", table.whole.name));
                }
                table.nodes()
            }
        };
        let now = self.inner.shared.clock.monotonic();
        let mut troubles = Vec::new();
        for node in nodes {
            let state = node.state();
            match (state.down_since, state.trouble) {
                (Some(since), trouble) => troubles.push(format!(
                    "redis {} has not been connected for {} s: {}",
                    node.name,
                    now.since(since).as_secs(),
                    trouble.as_deref().unwrap_or("connecting"),
                )),
                (None, Some(trouble)) => troubles.push(format!(
                    "redis {} does not tell of changes, entries live {:?} in the process: {trouble}",
                    node.name,
                    self.options().untracked_ttl,
                )),
                (None, None) => {}
            }
        }
        if troubles.is_empty() { Condition::Ready } else { Condition::Degraded(troubles.join("; ")) }
    }

    /// Returns the counters, over all nodes and handles.
    pub fn counters(&self) -> TierCounters {
        self.inner.shared.counters.read(self.inner.shared.clock.monotonic())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// The runtime of the connections' thread, for timers. It must never run what may block.
    pub(crate) fn thread(&self) -> &Handle {
        &self.inner.thread
    }

    pub(crate) fn slot(&self, key: &[u8]) -> Option<u16> {
        matches!(self.inner.route, Route::Cluster(_)).then(|| slot_of(key))
    }

    /// Refuses a call that would fail anyway, and counts its keys.
    #[inline]
    pub(crate) fn gate(&self, slot: Option<u16>, keys: usize) -> Result<(), TierError> {
        let down = match &self.inner.route {
            Route::One(node) => node.breaker.gate() == Gate::Down,
            Route::Cluster(table) => table.is_down(slot),
        };
        if down {
            self.inner.shared.counters.failed(TierError::Unavailable, keys);
            return Err(TierError::Unavailable);
        }
        Ok(())
    }

    pub(crate) fn submit(&self, ask: Ask, bytes: usize, deadline: Duration) -> Result<Pending, TierError> {
        let ticket = Ticket::take(&self.inner.shared, &ask, bytes)?;
        let (sender, receiver) = oneshot::channel();
        let work = Work {
            ask,
            expires: Instant::now() + deadline,
            reply: Reply::direct(sender),
            ticket: Some(ticket),
            detours: 0,
            asking: false,
        };
        // A thread that is gone drops the work, and with it the reply: that is an answer.
        self.inner.works.send(work).ok();
        Ok(Pending { receiver, arrived: None })
    }
}

/// Answers on their way.
#[derive(Debug)]
pub(crate) struct Pending {
    receiver: oneshot::Receiver<Answers>,
    arrived: Option<Answers>,
}

impl Pending {
    /// Waits until the answers are there, without taking them.
    pub(crate) async fn arrive(&mut self) {
        if self.arrived.is_none() {
            self.arrived = Some(Pin::new(&mut *self).await);
        }
    }
}

impl Future for Pending {
    type Output = Answers;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answers> {
        if let Some(answers) = self.arrived.take() {
            return Poll::Ready(answers);
        }
        let receiver = Pin::new(&mut self.receiver);
        receiver.poll(context).map(|answers| answers.unwrap_or(Answers::Failed(TierError::Disconnected)))
    }
}

/// Takes the one answer to one question.
fn first(answers: Answers) -> Answer {
    match answers {
        Answers::Raw(values) => values.into_iter().next().ok_or(TierError::Unexpected).and_then(answer),
        Answers::Each(answers) => answers.into_iter().next().unwrap_or(Err(TierError::Unexpected)),
        Answers::Failed(error) => Err(error),
    }
}

/// Returns whole milliseconds, rounded up, so that what is short is not nothing.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        let check = |nanos, expected| assert_eq!(milliseconds(Duration::from_nanos(nanos)), expected);
        check(1, 1);
        check(1_000_000, 1);
        check(1_000_001, 2);
        check(0, 1);
    }
}
