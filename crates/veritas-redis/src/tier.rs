//! The tier: what the caches ask of Redis, and how they are answered.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use redis::{Cmd, Value};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::Instant,
};
use veritas_model::{Clock, Condition};

use crate::{
    breaker::Gate,
    counters::{TierCounters, add},
    error::{RedisError, TierError, answer},
    link::{
        Node, Shared, Source, Wire,
        cluster::Table,
        slots::slot_of,
        thread::{self, Duty},
        work::{Answer, Answers, Ask, Command, Keys, Reply, Ticket, Work},
    },
    options::{Endpoint, RedisOptions, Topology},
    tracking::Invalidation,
    wait::block_on,
};

/// How many keys of one call travel together. Smaller than a trip may be, so that a
/// large batch leaves room in each for others.
const CHUNK_LENGTH: usize = 256;

/// How many bytes of values one call sends together, unless a single one is larger.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many chunks of one call may be on their way: while the server works on one,
/// the next is being packed and the last one read.
const CHUNKS: usize = 4;

/// Longer lives are for ever: a server adds them to its clock and refuses an overflow.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

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
/// deadline. A dropped future takes nothing back: a write may still happen.
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

    /// Reads one value; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists; when the breaker is open at once, without an allocation.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TierError> {
        let slot = self.slot(key);
        self.gate(slot, 1)?;
        let mut keys = Keys::with_capacity(1, key.len());
        keys.push(key);
        let answer = self.one(Ask::Get(keys), 0, slot).await;
        self.read(answer)
    }

    /// Reads many values, each with its own outcome, in the order of the keys.
    /// They travel in chunks; a chunk without an answer ends the call, and the keys
    /// after it fail alike.
    pub async fn get_many<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
    ) -> Vec<Result<Option<Vec<u8>>, TierError>> {
        let mut values = Vec::with_capacity(keys.len());
        let pack = |start: usize| {
            let end = keys.len().min(start + CHUNK_LENGTH);
            let bytes = keys[start..end].iter().map(|key| key.as_ref().len()).sum();
            let mut chunk = Keys::with_capacity(end - start, bytes);
            keys[start..end].iter().for_each(|key| chunk.push(key.as_ref()));
            (end, Ask::Get(chunk), 0)
        };
        self.in_chunks(keys.len(), pack, |_, answer| values.push(self.read(answer))).await;
        values
    }

    /// Writes one value.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn set(&self, entry: SetEntry<'_>) -> Result<(), TierError> {
        let slot = self.slot(entry.key);
        self.gate(slot, 1)?;
        let ask = Ask::Commands(vec![self.packed_set(&entry)]);
        let answer = self.one(ask, entry.key.len() + entry.value.len(), slot).await;
        self.written(&entry, &answer)
    }

    /// Writes many values, each with its own life and its own outcome, in order.
    pub async fn set_many(&self, entries: &[SetEntry<'_>]) -> Vec<Result<(), TierError>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let pack = |start: usize| {
            let (mut end, mut bytes) = (start, 0);
            let mut commands = Vec::with_capacity(CHUNK_LENGTH.min(entries.len() - start));
            while let Some(entry) = entries.get(end) {
                let weight = entry.key.len() + entry.value.len();
                if end > start && (end - start >= CHUNK_LENGTH || bytes + weight > CHUNK_BYTES) {
                    break;
                }
                commands.push(self.packed_set(entry));
                bytes += weight;
                end += 1;
            }
            (end, Ask::Commands(commands), bytes)
        };
        let take = |index: usize, answer| outcomes.push(self.written(&entries[index], &answer));
        self.in_chunks(entries.len(), pack, take).await;
        outcomes
    }

    /// Removes one value; returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn delete(&self, key: &[u8]) -> Result<bool, TierError> {
        let slot = self.slot(key);
        self.gate(slot, 1)?;
        let answer = self.one(Ask::Commands(vec![self.packed_delete(key)]), key.len(), slot).await;
        self.deleted(key, &answer)
    }

    /// Removes many values; tells of each whether there was one.
    pub async fn delete_many<K: AsRef<[u8]> + Sync>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        let pack = |start: usize| {
            let end = keys.len().min(start + CHUNK_LENGTH);
            let commands: Vec<_> =
                keys[start..end].iter().map(|key| self.packed_delete(key.as_ref())).collect();
            let bytes = keys[start..end].iter().map(|key| key.as_ref().len()).sum();
            (end, Ask::Commands(commands), bytes)
        };
        let take = |index: usize, answer| outcomes.push(self.deleted(keys[index].as_ref(), &answer));
        self.in_chunks(keys.len(), pack, take).await;
        outcomes
    }

    /// [`Self::get`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn get_blocking(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TierError> {
        block_on(self.get(key))
    }

    /// [`Self::get_many`] for callers outside of futures.
    pub fn get_many_blocking<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
    ) -> Vec<Result<Option<Vec<u8>>, TierError>> {
        block_on(self.get_many(keys))
    }

    /// [`Self::set`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn set_blocking(&self, entry: SetEntry<'_>) -> Result<(), TierError> {
        block_on(self.set(entry))
    }

    /// [`Self::set_many`] for callers outside of futures.
    pub fn set_many_blocking(&self, entries: &[SetEntry<'_>]) -> Vec<Result<(), TierError>> {
        block_on(self.set_many(entries))
    }

    /// [`Self::delete`] for callers outside of futures.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub fn delete_blocking(&self, key: &[u8]) -> Result<bool, TierError> {
        block_on(self.delete(key))
    }

    /// [`Self::delete_many`] for callers outside of futures.
    pub fn delete_many_blocking<K: AsRef<[u8]> + Sync>(&self, keys: &[K]) -> Vec<Result<bool, TierError>> {
        block_on(self.delete_many(keys))
    }

    /// Sends any command that answers at once; blocking ones hold up everybody
    /// else on the connection. `key` says which node of a cluster is asked; without one, any.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn command(&self, command: Cmd, key: Option<&[u8]>) -> Result<Value, TierError> {
        self.commands(vec![(command, key.and_then(|key| self.slot(key)))], self.options().deadline)
            .await
            .pop()
            .unwrap_or(Err(TierError::Unexpected))
    }

    /// Sends several commands about keys in one go, each with its own outcome.
    pub async fn commands_on_keys(&self, commands: Vec<(Cmd, &[u8])>) -> Vec<Result<Value, TierError>> {
        let commands = commands.into_iter().map(|(command, key)| (command, self.slot(key))).collect();
        self.commands(commands, self.options().deadline).await
    }

    /// Sends one command to every node and returns the answers by the nodes' names,
    /// each within `deadline`: for commands that tell of a server, some of which are slow.
    pub async fn command_on_nodes(
        &self,
        command: &Cmd,
        deadline: Duration,
    ) -> Vec<(String, Result<Value, TierError>)> {
        let nodes = match &self.inner.route {
            Route::One(node) => vec![(node.name.clone(), None)],
            Route::Cluster(table) => {
                table.slot_of_each().into_iter().map(|(name, slot)| (name, Some(slot))).collect()
            }
        };
        let sent: Vec<_> = nodes
            .into_iter()
            .map(|(name, slot)| {
                let commands = vec![Command { cmd: command.clone(), slot }];
                let pending =
                    self.gate(slot, 1).and_then(|()| self.submit(Ask::Commands(commands), 64, deadline));
                (name, pending)
            })
            .collect();
        let mut answers = Vec::with_capacity(sent.len());
        for (name, pending) in sent {
            let answer = match pending {
                Ok(pending) => first(pending.await),
                Err(error) => Err(error),
            };
            answers.push((name, answer));
        }
        answers
    }

    /// Returns a slot of every node, for commands without a key; one `None` where there is one node.
    pub(crate) fn node_slots(&self) -> Vec<Option<u16>> {
        match &self.inner.route {
            Route::One(_) => vec![None],
            Route::Cluster(table) => table.slot_of_each().into_iter().map(|(_, slot)| Some(slot)).collect(),
        }
    }

    pub(crate) async fn commands(
        &self,
        commands: Vec<(Cmd, Option<u16>)>,
        deadline: Duration,
    ) -> Vec<Answer> {
        let length = commands.len();
        let all = |error| vec![Err(error); length];
        let slot = if length == 1 { commands[0].1 } else { None };
        if let Err(error) = self.gate(slot, length) {
            return all(error);
        }
        let bytes = commands.iter().map(|(cmd, _)| cmd.args_iter().len() * 16).sum();
        let commands = commands.into_iter().map(|(cmd, slot)| Command { cmd, slot }).collect();
        let answers = match self.submit(Ask::Commands(commands), bytes, deadline) {
            Ok(pending) => pending.await,
            Err(error) => Answers::Failed(error),
        };
        let answers = match answers {
            Answers::Raw(values) => values.into_iter().map(answer).collect(),
            Answers::Each(answers) => answers,
            Answers::Failed(error) => all(error),
        };
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.inner.shared.counters.failed(*error, 1);
        }
        answers
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
        Ok(Pending { receiver })
    }

    /// Asks one question.
    async fn one(&self, ask: Ask, bytes: usize, _slot: Option<u16>) -> Answer {
        first(self.submit(ask, bytes, self.options().deadline)?.await)
    }

    /// Asks `length` questions in chunks, a few at a time. `pack` makes the chunk that
    /// begins at an index and tells its end and weight; `take` gets the answers in order.
    async fn in_chunks(
        &self,
        length: usize,
        pack: impl Fn(usize) -> (usize, Ask, usize),
        mut take: impl FnMut(usize, Answer),
    ) {
        let mut pending: VecDeque<(usize, usize, Pending)> = VecDeque::with_capacity(CHUNKS);
        let mut at = 0;
        let mut failed = self.gate_quietly().err();
        loop {
            while failed.is_none() && at < length && pending.len() < CHUNKS {
                let (end, ask, bytes) = pack(at);
                match self.submit(ask, bytes, self.options().deadline) {
                    Ok(answers) => pending.push_back((at, end, answers)),
                    // Others fill the queue: once our own part of it is done, there is room.
                    Err(TierError::Full) if !pending.is_empty() => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
                at = end;
            }
            let Some((start, end, answers)) = pending.pop_front() else { break };
            match answers.await {
                Answers::Raw(values) => {
                    let mut values = values.into_iter();
                    for index in start..end {
                        take(index, values.next().ok_or(TierError::Unexpected).and_then(answer));
                    }
                }
                Answers::Each(answers) => {
                    let mut answers = answers.into_iter();
                    for index in start..end {
                        take(index, answers.next().unwrap_or(Err(TierError::Unexpected)));
                    }
                }
                Answers::Failed(error) => {
                    failed = failed.or(Some(error));
                    (start..end).for_each(|index| take(index, Err(error)));
                }
            }
        }
        for index in at..length {
            take(index, Err(failed.unwrap_or(TierError::Unexpected)));
        }
    }

    /// Like `gate`, for calls that count their keys themselves.
    fn gate_quietly(&self) -> Result<(), TierError> {
        if self.is_available() { Ok(()) } else { Err(TierError::Unavailable) }
    }

    fn packed_set(&self, entry: &SetEntry<'_>) -> Command {
        let slot = self.slot(entry.key);
        let mut cmd = Cmd::with_capacity(5, entry.key.len() + entry.value.len() + 32);
        match entry.ttl {
            Some(Duration::ZERO) => return self.packed_delete(entry.key),
            Some(ttl) if ttl < FOR_EVER => {
                // A tenth cheaper for the server than SET with PX, which it rewrites.
                cmd.arg("PSETEX").arg(entry.key).arg(milliseconds(ttl)).arg(entry.value);
            }
            _ => {
                cmd.arg("SET").arg(entry.key).arg(entry.value);
            }
        }
        Command { cmd, slot }
    }

    fn packed_delete(&self, key: &[u8]) -> Command {
        let mut cmd = Cmd::with_capacity(2, key.len() + 6);
        cmd.arg("UNLINK").arg(key);
        Command { cmd, slot: self.slot(key) }
    }

    fn read(&self, answer: Answer) -> Result<Option<Vec<u8>>, TierError> {
        let counters = &self.inner.shared.counters;
        match answer {
            Ok(Value::BulkString(value)) => {
                add(&counters.hits, 1);
                add(&counters.bytes_in, value.len());
                Ok(Some(value))
            }
            Ok(Value::Nil) => {
                add(&counters.misses, 1);
                Ok(None)
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(error),
        }
    }

    fn written(&self, entry: &SetEntry<'_>, answer: &Answer) -> Result<(), TierError> {
        match answer {
            Ok(Value::Okay | Value::Int(_)) => {
                add(&self.inner.shared.counters.sets, 1);
                add(&self.inner.shared.counters.bytes_out, entry.value.len());
                // The server does not tell us of our own writes.
                self.inner.shared.coherence.wake(entry.key);
                Ok(())
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(*error),
        }
    }

    fn deleted(&self, key: &[u8], answer: &Answer) -> Result<bool, TierError> {
        match answer {
            Ok(Value::Int(count)) => {
                let present = *count > 0;
                add(&self.inner.shared.counters.deletes, usize::from(present));
                self.inner.shared.coherence.wake(key);
                Ok(present)
            }
            Ok(_) => self.failed(TierError::Unexpected),
            Err(error) => self.failed(*error),
        }
    }

    fn failed<T>(&self, error: TierError) -> Result<T, TierError> {
        self.inner.shared.counters.failed(error, 1);
        Err(error)
    }
}

/// Answers on their way.
#[derive(Debug)]
pub(crate) struct Pending {
    receiver: oneshot::Receiver<Answers>,
}

impl Future for Pending {
    type Output = Answers;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answers> {
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
