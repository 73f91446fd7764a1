//! The cluster: which node serves which slot, and what happens when that changes.
//!
//! The router is a task beside the links, one of which exists for every primary.
//! It reads the slots from any node that answers, splits calls by node, follows
//! `MOVED` and `ASK`, and reads the slots again when they were wrong, when a node is
//! down, and every few seconds.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, cmd};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Detour, Link, Node, Shared, Source,
    attach::plain,
    jittered,
    slots::{SLOTS, slot_of},
    work::{Answers, Ask, Keys, Merge, Reply, Work},
};
use crate::{
    breaker::Gate,
    counters::{Counters, add},
    error::{TierError, answer},
    options::Endpoint,
    tracking::LossReason,
};

/// How often a key is sent on before it is given up.
const MAX_DETOURS: u8 = 16;

/// How often it is sent on at once. While a slot changes hands, two nodes may each
/// name the other for a moment; later detours wait 1, 2, 4 and then 8 ms.
const PROMPT_DETOURS: u8 = 2;

/// How many nodes a cluster may have: more are not connected, and their slots are served by nobody.
const MAX_NODES: usize = 1024;

/// How old the slots may grow when nothing seems wrong.
const REFRESH: Duration = Duration::from_secs(10);

/// How soon they are read again when something does.
const REFRESH_SOON: Duration = Duration::from_millis(100);

/// Which node serves which slot: read by callers, written by the router.
#[derive(Debug)]
pub(crate) struct Table {
    /// The place of the node in `nodes`, plus one; 0 is nobody.
    slots: Box<[AtomicU16]>,
    nodes: RwLock<Vec<Arc<Node>>>,
    /// Whether the slots are known at all.
    pub(crate) whole: Node,
}

impl Table {
    pub(crate) fn new(whole: Node) -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU16::new(0)).collect(), nodes: RwLock::default(), whole }
    }

    fn place(&self, slot: u16) -> Option<usize> {
        usize::from(self.slots[usize::from(slot) % SLOTS].load(Ordering::Acquire)).checked_sub(1)
    }

    /// Returns whether a call for this slot would fail at once.
    pub(crate) fn is_down(&self, slot: Option<u16>) -> bool {
        match self.whole.breaker.gate() {
            Gate::Down => return true,
            Gate::Connecting => return false,
            Gate::Up => {}
        }
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let down = |node: &Arc<Node>| node.breaker.gate() == Gate::Down;
        match slot {
            Some(slot) => self.place(slot).and_then(|place| nodes.get(place)).is_some_and(down),
            None => nodes.iter().all(down),
        }
    }

    /// Returns every node that serves anything, with a slot of it.
    pub(crate) fn slot_of_each(&self) -> Vec<(String, u16)> {
        let mut slots: Vec<Option<u16>> = Vec::new();
        for slot in 0..u16::try_from(SLOTS).unwrap_or(u16::MAX) {
            if let Some(place) = self.place(slot) {
                slots.resize(slots.len().max(place + 1), None);
                slots[place] = slots[place].or(Some(slot));
            }
        }
        let nodes = self.nodes();
        nodes.iter().zip(slots).filter_map(|(node, slot)| Some((node.name.clone(), slot?))).collect()
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What another node has to answer.
#[derive(Debug)]
pub(crate) struct Redirect {
    work: Work,
    target: Target,
    /// Whether it has waited before it is followed.
    rested: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Moved {
        slot: u16,
        address: String,
    },
    Ask {
        address: String,
    },
    /// The slots are to be read again first.
    Again,
}

impl Target {
    /// Reads what the server says: `MOVED 3999 127.0.0.1:6381`. A missing host is the answering node's.
    fn read(value: &Value, from: &str) -> Option<Self> {
        let Value::ServerError(error) = value else { return None };
        let read = || {
            let (slot, address) = error.details()?.split_once(' ')?;
            let host = from.rsplit_once(':').map_or(from, |(host, _)| host);
            let address = address.trim();
            let address =
                if address.starts_with(':') { format!("{host}{address}") } else { address.to_owned() };
            Some((slot.parse::<u16>().ok()?, address))
        };
        match error.code() {
            "MOVED" => read().map(|(slot, address)| Self::Moved { slot, address }),
            "ASK" => read().map(|(_, address)| Self::Ask { address }),
            "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" => Some(Self::Again),
            _ => None,
        }
    }
}

/// Answers a work, but for the questions that the node sent on to another.
pub(super) fn answer_or_redirect(
    work: Work,
    answers: Answers,
    node: &Node,
    router: &mpsc::UnboundedSender<Redirect>,
    counters: &Counters,
) {
    let Answers::Raw(values) = answers else { return work.answer(answers) };
    let targets: Vec<_> = values.iter().map(|value| Target::read(value, &node.name)).collect();
    if targets.iter().all(Option::is_none) || work.detours >= MAX_DETOURS {
        return work.answer(Answers::Raw(values));
    }
    let Work { ask, expires, reply, ticket, detours, .. } = work;
    let merge = Merge::new(values.len(), reply, ticket);
    for (place, (value, target)) in values.into_iter().zip(targets).enumerate() {
        let Some(target) = target else {
            merge.fill(&[place], Answers::Each(vec![answer(value)]));
            continue;
        };
        add(&counters.redirects, 1);
        let ask = match &ask {
            Ask::Get(keys) => {
                let mut one = Keys::with_capacity(1, keys.get(place).len());
                one.push(keys.get(place));
                Ask::Get(one)
            }
            Ask::Commands(commands) => Ask::Commands(vec![commands[place].clone()]),
        };
        let reply = Reply::part(&merge, vec![place]);
        let asking = matches!(target, Target::Ask { .. });
        let work = Work { ask, expires, reply, ticket: None, detours: detours + 1, asking };
        // A router that is gone leaves a lost connection as the answer.
        router.send(Redirect { work, target, rested: false }).ok();
    }
}

/// One node of the cluster and the way to its link.
struct Member {
    node: Arc<Node>,
    works: mpsc::UnboundedSender<Work>,
}

/// The task that knows the slots.
pub(crate) struct Router {
    shared: Arc<Shared>,
    table: Arc<Table>,
    seeds: Vec<Endpoint>,
    works: mpsc::UnboundedReceiver<Work>,
    redirects: mpsc::UnboundedReceiver<Redirect>,
    detour: mpsc::UnboundedSender<Redirect>,
    /// By address, in the order of the table.
    members: Vec<Member>,
    links: JoinSet<()>,
    /// What waits for the slots to be read.
    waiting: VecDeque<Work>,
    refresh_at: Instant,
    refreshed_at: Option<Instant>,
}

type Slots = Vec<(u16, u16, String)>;

impl Router {
    pub(crate) fn new(
        shared: Arc<Shared>,
        table: Arc<Table>,
        seeds: Vec<Endpoint>,
        works: mpsc::UnboundedReceiver<Work>,
    ) -> Self {
        let (detour, redirects) = mpsc::unbounded_channel();
        let refresh_at = Instant::now();
        Self {
            shared,
            table,
            seeds,
            works,
            redirects,
            detour,
            members: Vec::new(),
            links: JoinSet::new(),
            waiting: VecDeque::new(),
            refresh_at,
            refreshed_at: None,
        }
    }

    /// Routes until the last handle is gone, then lets the links finish what they have.
    pub(crate) async fn run(mut self) {
        let mut readings: JoinSet<Result<Slots, String>> = JoinSet::new();
        self.shared.counters.degrade(self.shared.clock.monotonic());
        loop {
            let expiry = self.waiting.front().map(|work| work.expires);
            tokio::select! {
                biased;
                Some(reading) = readings.join_next() => {
                    let reading = reading.unwrap_or_else(|_| Err("reading the slots was broken off".into()));
                    self.take_reading(reading);
                }
                Some(redirect) = self.redirects.recv() => self.follow(redirect),
                work = self.works.recv() => match work {
                    Some(work) => self.route(work),
                    None => break,
                },
                Some(_) = self.links.join_next() => {}
                () = sleep_until(self.refresh_at), if readings.is_empty() => {
                    let known: Vec<_> = self.members.iter().map(|member| member.node.name.clone()).collect();
                    readings.spawn(read_slots(self.seeds.clone(), known, self.shared.options.connect_timeout));
                    self.refresh_at = Instant::now() + jittered(REFRESH);
                }
                () = sleep_until(expiry.unwrap_or(self.refresh_at)), if expiry.is_some() => self.expire(),
            }
            if self.members.iter().any(|member| member.node.breaker.gate() == Gate::Down) {
                self.refresh_soon();
            }
        }
        self.members.clear();
        while self.links.join_next().await.is_some() {}
    }

    fn refresh_soon(&mut self) {
        let soon = match self.refreshed_at {
            Some(at) => (at + REFRESH_SOON).max(Instant::now()),
            None => Instant::now(),
        };
        self.refresh_at = self.refresh_at.min(soon);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let mut expired = 0;
        while self.waiting.front().is_some_and(|work| work.expires <= now) {
            if let Some(work) = self.waiting.pop_front() {
                work.fail(TierError::TimedOut);
                expired += 1;
            }
        }
        if expired > 0
            && self.table.whole.breaker.gate() == Gate::Connecting
            && self.table.whole.breaker.failed(expired)
        {
            self.table.whole.breaker.set(Gate::Down);
            self.waiting.drain(..).for_each(|work| work.fail(TierError::Unavailable));
        }
    }

    fn take_reading(&mut self, reading: Result<Slots, String>) {
        self.refreshed_at = Some(Instant::now());
        match reading {
            Ok(slots) => {
                self.learn(&slots);
                if self.table.whole.breaker.set(Gate::Up) != Gate::Up {
                    self.shared.counters.recover(self.shared.clock.monotonic());
                    self.table.whole.with_state(|state| *state = super::NodeState::default());
                }
                for work in std::mem::take(&mut self.waiting) {
                    self.route(work);
                }
            }
            Err(trouble) => {
                tracing::debug!(trouble, "failed to read the slots of the redis cluster");
                self.refresh_at = Instant::now() + jittered(self.shared.options.breaker.retry);
                self.table.whole.with_state(|state| state.trouble = Some(trouble));
                // What is known of the slots stays in use: the nodes have breakers of their own.
                if self.table.whole.breaker.gate() == Gate::Connecting {
                    self.table.whole.breaker.set(Gate::Down);
                }
                if self.table.whole.breaker.gate() == Gate::Down {
                    self.waiting.drain(..).for_each(|work| work.fail(TierError::Unavailable));
                }
            }
        }
    }

    /// Takes over who serves which slot; links to new nodes are begun, links to nodes that left end.
    fn learn(&mut self, slots: &Slots) {
        let mut moved = false;
        let mut owners = vec![0_u16; SLOTS];
        for (start, end, address) in slots {
            let Some(place) = self.member(address) else { continue };
            for slot in *start..=*end {
                if let Some(owner) = owners.get_mut(usize::from(slot)) {
                    *owner = u16::try_from(place + 1).unwrap_or(0);
                }
            }
        }
        for (slot, owner) in self.table.slots.iter().zip(&owners) {
            let before = slot.swap(*owner, Ordering::AcqRel);
            moved |= before != *owner && before != 0;
        }
        self.leave(&owners);
        if moved {
            self.shared.coherence.lose(LossReason::Moved, &self.shared.counters);
        }
    }

    /// Forgets members that serve no slot. Places change, so the table is written anew.
    fn leave(&mut self, owners: &[u16]) {
        let mut serves = vec![false; self.members.len()];
        for owner in owners {
            if let Some(place) = usize::from(*owner).checked_sub(1) {
                serves[place] = true;
            }
        }
        if serves.iter().all(|serves| *serves) {
            return;
        }
        let mut places = vec![0_u16; serves.len() + 1];
        let mut next = 0;
        for (place, serves) in serves.iter().enumerate() {
            if *serves {
                next += 1;
                places[place + 1] = next;
            }
        }
        let mut keep = serves.iter();
        self.members.retain(|_| keep.next().copied().unwrap_or(false));
        self.publish_members();
        for slot in &self.table.slots {
            slot.store(places[usize::from(slot.load(Ordering::Acquire))], Ordering::Release);
        }
    }

    fn publish_members(&self) {
        let nodes = self.members.iter().map(|member| Arc::clone(&member.node)).collect();
        *self.table.nodes.write().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    /// Returns the place of the node with this address; begins a link to a new one.
    fn member(&mut self, address: &str) -> Option<usize> {
        if let Some(place) = self.members.iter().position(|member| member.node.name == address) {
            return Some(place);
        }
        if self.members.len() >= MAX_NODES {
            return None;
        }
        let (host, port) = host_and_port(address)?;
        let endpoint = self.seeds.first()?.at(host, port);
        let node =
            Arc::new(Node::new(address.to_owned(), &self.shared.options, self.shared.clock.monotonic()));
        let (works, receiver) = mpsc::unbounded_channel();
        let link = Link::new(
            Arc::clone(&self.shared),
            Arc::clone(&node),
            Source::Server(endpoint),
            Detour::Cluster(self.detour.clone()),
            receiver,
        );
        self.links.spawn(link.run());
        self.members.push(Member { node, works });
        self.publish_members();
        Some(self.members.len() - 1)
    }

    /// Sends a work to the node of its keys, or its parts to the nodes of theirs.
    fn route(&mut self, work: Work) {
        match self.table.whole.breaker.gate() {
            Gate::Up => {}
            Gate::Connecting => return self.waiting.push_back(work),
            Gate::Down => return work.fail(TierError::Unavailable),
        }
        let mut parts: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for index in 0..work.ask.len() {
            let place = match &work.ask {
                Ask::Get(keys) => self.table.place(slot_of(keys.get(index))),
                Ask::Commands(commands) => match commands[index].slot {
                    Some(slot) => self.table.place(slot),
                    // No key: any node will do, the first that is up before others.
                    None => self.any_member(),
                },
            };
            parts.entry(place).or_default().push(index);
        }
        if parts.len() <= 1 {
            let place = parts.into_keys().next().flatten();
            return self.forward(place, work);
        }
        let Work { ask, expires, reply, ticket, detours, asking } = work;
        let merge = Merge::new(ask.len(), reply, ticket);
        for (place, places) in parts {
            let ask = match &ask {
                Ask::Get(keys) => {
                    let mut part = Keys::with_capacity(places.len(), keys.weight() / 2);
                    for index in &places {
                        part.push(keys.get(*index));
                    }
                    Ask::Get(part)
                }
                Ask::Commands(commands) => {
                    Ask::Commands(places.iter().map(|index| commands[*index].clone()).collect())
                }
            };
            let reply = Reply::part(&merge, places);
            self.forward(place, Work { ask, expires, reply, ticket: None, detours, asking });
        }
    }

    fn any_member(&self) -> Option<usize> {
        let up = self.members.iter().position(|member| member.node.breaker.gate() == Gate::Up);
        up.or((!self.members.is_empty()).then_some(0))
    }

    fn forward(&mut self, place: Option<usize>, work: Work) {
        let Some(member) = place.and_then(|place| self.members.get(place)) else {
            self.refresh_soon();
            return work.fail(TierError::ClusterDown);
        };
        if member.node.breaker.gate() == Gate::Down {
            return work.fail(TierError::Unavailable);
        }
        // A link that has ended answers by dropping.
        member.works.send(work).ok();
    }

    /// Sends a work where a node has sent it on to.
    fn follow(&mut self, mut redirect: Redirect) {
        let detours = redirect.work.detours;
        if detours > PROMPT_DETOURS && !redirect.rested {
            let rest = Duration::from_millis(1 << (detours - PROMPT_DETOURS - 1).min(3));
            let router = self.detour.clone();
            redirect.rested = true;
            // As many of these as there are calls: their number is bounded by the queue.
            drop(tokio::spawn(async move {
                tokio::time::sleep(rest).await;
                router.send(redirect).ok();
            }));
            return;
        }
        let Redirect { work, target, .. } = redirect;
        match target {
            Target::Moved { slot, address } => {
                let place = self.member(&address);
                if let (Some(place), Some(owner)) = (place, self.table.slots.get(usize::from(slot))) {
                    let owned = u16::try_from(place + 1).unwrap_or(0);
                    let before = owner.swap(owned, Ordering::AcqRel);
                    if before != 0 && before != owned {
                        self.shared.coherence.lose(LossReason::Moved, &self.shared.counters);
                    }
                }
                self.refresh_soon();
                self.forward(place, work);
            }
            Target::Ask { address } => {
                let place = self.member(&address);
                self.forward(place, work);
            }
            Target::Again => {
                // It waits for the slots that are read next, and is routed anew.
                self.refresh_soon();
                self.waiting.push_back(work);
            }
        }
    }
}

/// Without a router nobody knows where keys are.
impl Drop for Router {
    fn drop(&mut self) {
        self.table.whole.breaker.set(Gate::Down);
        self.waiting.drain(..).for_each(|work| work.fail(TierError::Unavailable));
    }
}

fn host_and_port(address: &str) -> Option<(&str, u16)> {
    // Newer servers add the bus port: 127.0.0.1:7001@17001.
    let address = address.split('@').next()?;
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// Asks the known nodes, then the seeds, until one tells the slots.
async fn read_slots(seeds: Vec<Endpoint>, known: Vec<String>, limit: Duration) -> Result<Slots, String> {
    let mut trouble = String::from("no node is known");
    let template = seeds.first().cloned();
    let known = known.iter().filter_map(|address| {
        let (host, port) = host_and_port(address)?;
        Some(template.as_ref()?.at(host, port))
    });
    let endpoints: Vec<_> = seeds.iter().cloned().chain(known).collect();
    // All are asked at once: one that swallows packets holds nobody up.
    let mut asked = JoinSet::new();
    for endpoint in endpoints.into_iter().take(16) {
        asked.spawn(async move {
            let name = endpoint.to_string();
            match timeout(limit, ask_slots(endpoint)).await {
                Ok(Ok(slots)) => Ok(slots),
                Ok(Err(why)) => Err(format!("{name}: {why}")),
                Err(_) => Err(format!("{name} did not answer")),
            }
        });
    }
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(slots)) if !slots.is_empty() => return Ok(slots),
            Ok(Ok(_)) => trouble = "a node knows of no slots".into(),
            Ok(Err(why)) => trouble = why,
            Err(_) => trouble = "asking for the slots was broken off".into(),
        }
    }
    Err(trouble)
}

async fn ask_slots(endpoint: Endpoint) -> Result<Slots, String> {
    let host = endpoint.host_and_port().map(|(host, _)| host.to_owned()).unwrap_or_default();
    let settings = endpoint.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    let info = endpoint.info.clone().set_redis_settings(settings);
    let config = AsyncConnectionConfig::new();
    let mut connection = plain(info, config).await.map_err(|error| error.to_string())?;
    let answer: Value =
        cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.map_err(|error| error.to_string())?;
    parse_slots(answer, &host).ok_or_else(|| "CLUSTER SLOTS was answered oddly".into())
}

/// Reads `[start, end, [host, port, …], replicas…]…`. A host that the node does not know is its own.
fn parse_slots(answer: Value, own_host: &str) -> Option<Slots> {
    let Value::Array(ranges) = answer else { return None };
    let mut slots = Slots::new();
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(start), Value::Int(end), Value::Array(primary), ..] = range.as_slice() else {
            return None;
        };
        let host = match primary.first()? {
            Value::BulkString(host) if !host.is_empty() && host != b"?" => {
                String::from_utf8(host.clone()).ok()?
            }
            Value::BulkString(_) | Value::Nil => own_host.to_owned(),
            _ => return None,
        };
        let Value::Int(port) = primary.get(1)? else { return None };
        slots.push((u16::try_from(*start).ok()?, u16::try_from(*end).ok()?, format!("{host}:{port}")));
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_and_an_unknown_host_is_the_asked_one() {
        let primary =
            |host: &[u8]| Value::Array(vec![Value::BulkString(host.to_vec()), Value::Int(7000), Value::Nil]);
        let range =
            |start, end, host: &[u8]| Value::Array(vec![Value::Int(start), Value::Int(end), primary(host)]);
        let answer = Value::Array(vec![range(0, 9, b"a"), range(10, 16_383, b"")]);
        let expected = vec![(0, 9, "a:7000".to_owned()), (10, 16_383, "me:7000".to_owned())];
        assert_eq!(parse_slots(answer, "me"), Some(expected));
        assert_eq!(parse_slots(Value::Array(vec![range(0, 70_000, b"a")]), "me"), None);
        assert_eq!(parse_slots(Value::Nil, "me"), None);
    }

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        assert_eq!(host_and_port("127.0.0.1:7001@17001"), Some(("127.0.0.1", 7001)));
        assert_eq!(host_and_port("[::1]:7001"), Some(("::1", 7001)));
        assert_eq!(host_and_port("::1:7001"), Some(("::1", 7001)));
        assert_eq!(host_and_port("host"), None);
    }
}
