//! The cluster: which node serves which slot, and what happens when that changes.
//!
//! The router is a task beside the links, one of which exists for every primary.
//! It reads the slots from any node that answers, splits calls by node, follows
//! `MOVED` and `ASK`, and reads the slots again when they were wrong, when a node is
//! down, and every few seconds.

mod redirect;
mod table;
mod topology;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Detour, Link, Node, Shared, Source, jittered,
    slots::{SLOTS, slot_of},
    work::{Ask, Keys, Merge, Reply, Work, enqueue},
};
use crate::{breaker::Gate, error::TierError, options::Endpoint, tracking::LossReason};
use redirect::Target;
use topology::{Slots, host_and_port, read_slots};

pub(crate) use redirect::{Redirect, answer_or_redirect};
pub(crate) use table::Table;

/// How often a key is sent on at once. While a slot changes hands, two nodes may each
/// name the other for a moment; later detours wait 1, 2, 4, 8, 16 and then 32 ms.
const PROMPT_DETOURS: u8 = 2;

/// How many nodes a cluster may have: more are not connected, and their slots are served by nobody.
const MAX_NODES: usize = 1024;

/// How old the slots may grow when nothing seems wrong.
const REFRESH: Duration = Duration::from_secs(10);

/// How soon they are read again when something does.
const REFRESH_SOON: Duration = Duration::from_millis(100);

/// How recently read slots may be wrong in a way that reading them again does not mend.
const TROUBLE: Duration = Duration::from_secs(1);

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
            Gate::Connecting => return enqueue(&mut self.waiting, work),
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
            let rest = Duration::from_millis(1 << (detours - PROMPT_DETOURS - 1).min(5));
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
                // The first to notice waits for the slots and is routed anew. While they are
                // read again and again, waiting would cost every call its deadline.
                let known = self.refreshed_at.is_some_and(|at| at.elapsed() < TROUBLE);
                self.refresh_soon();
                if known || work.detours > 1 {
                    work.fail(TierError::ClusterDown);
                } else {
                    enqueue(&mut self.waiting, work);
                }
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
