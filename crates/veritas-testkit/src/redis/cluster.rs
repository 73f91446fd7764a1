//! A real Redis Cluster on loopback ports: three primaries that hold all slots.

use std::{net::SocketAddr, thread, time::Duration};

use veritas_model::{Clock as _, Monotonic, SystemClock};

use super::Redis;
use crate::{
    FaultProxy,
    port::Port,
    wait_for,
    wire::{Reply, Wire, ask},
};

/// How long the nodes may take to agree, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// After how many milliseconds of silence a node is taken for dead while none is: a busy
/// machine keeps a live one silent for a second and more.
const UNHURRIED: &str = "20000";

/// The same once a node was killed, when the others are to find out.
const HURRIED: &str = "1000";

/// After what time a replica has given up to take over (`CLUSTER_MF_TIMEOUT` in Redis).
const GIVEN_UP: Duration = Duration::from_secs(6);

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// A running Redis Cluster: nodes 0, 1 and 2 are primaries with a third of the slots
/// each; replicas, if asked for, are nodes 3 and on (node 3 + i of primary i).
///
/// It starts in about 2.5 s, most of it the two seconds for which a new primary of
/// Redis 7 refuses to serve (`CLUSTER_WRITABLE_DELAY` in its `cluster.c`).
///
/// ```no_run
/// use veritas_testkit::RedisCluster;
///
/// let cluster = RedisCluster::start();
/// let slot = cluster.slot_of("user:1");
/// let to = (cluster.owner_of(slot) + 1) % 3;
/// cluster.move_slot(slot, to);
/// assert_eq!(cluster.owner_of(slot), to);
/// ```
#[derive(Debug)]
pub struct RedisCluster {
    // Dropped before the nodes, so that clients see the network go first.
    proxies: Vec<FaultProxy>,
    nodes: Vec<Redis>,
    ids: Vec<String>,
    /// Held so that nobody takes a node's bus port between a kill and a restart.
    _bus_ports: Vec<Port>,
}

impl RedisCluster {
    /// How many primaries a cluster starts with.
    pub const PRIMARIES: usize = 3;

    /// Starts three primaries that hold all slots, and waits until each of them serves.
    ///
    /// # Panics
    ///
    /// When Redis is not installed, naming the setup command, or the nodes do not agree.
    pub fn start() -> Self {
        Self::launch(0, false, &[])
    }

    /// Starts three primaries with further settings for each node (an ACL user, a
    /// memory limit), as the command line takes them.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::launch(0, false, settings)
    }

    /// Starts three primaries with one replica each, and waits until the replicas follow.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_with_replicas() -> Self {
        Self::launch(1, false, &[])
    }

    /// Starts three primaries, each behind a [`FaultProxy`] whose port is the one that
    /// the cluster announces: clients that follow redirections stay on the proxies.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_behind_proxies() -> Self {
        Self::launch(0, true, &[])
    }

    fn launch(replicas: usize, behind_proxies: bool, settings: &[&str]) -> Self {
        let count = Self::PRIMARIES * (1 + replicas);
        let ports: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        let bus_ports: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        let proxies: Vec<FaultProxy> = if behind_proxies {
            ports.iter().map(|port| FaultProxy::start(port.address())).collect()
        } else {
            Vec::new()
        };
        let bus_numbers: Vec<u16> = bus_ports.iter().map(Port::number).collect();
        let nodes = start_nodes(ports, &bus_numbers, &proxies, settings);
        let ids = nodes.iter().map(|node| text(node, &["CLUSTER", "MYID"])).collect();
        let cluster = Self { proxies, nodes, ids, _bus_ports: bus_ports };
        cluster.assign_slots();
        cluster.introduce(&bus_numbers);
        cluster.wait_until_ok();
        cluster.attach_replicas();
        cluster
    }

    /// Gives each primary a third of the slots, and an epoch of its own so that they
    /// need not settle whose word is newer.
    fn assign_slots(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            text(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < Self::PRIMARIES {
                let share = |part: usize| usize::from(SLOTS) * part / Self::PRIMARIES;
                let (first, last) = (share(index).to_string(), (share(index + 1) - 1).to_string());
                text(node, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
        }
    }

    /// Makes every node meet every other one: gossip would take a second longer.
    fn introduce(&self, bus_ports: &[u16]) {
        for (index, node) in self.nodes.iter().enumerate() {
            for (other, bus) in self.nodes.iter().zip(bus_ports).skip(index + 1) {
                let port = other.port_address().port().to_string();
                text(node, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus.to_string()]);
            }
        }
    }

    fn attach_replicas(&self) {
        for (index, node) in self.nodes.iter().enumerate().skip(Self::PRIMARIES) {
            text(node, &["CLUSTER", "REPLICATE", &self.ids[index % Self::PRIMARIES]]);
        }
        for node in &self.nodes[Self::PRIMARIES..] {
            wait_for(PATIENCE, || answer(node, &["INFO", "replication"]).contains("master_link_status:up"));
        }
        // A replica is shown to clients once its primary tells of it.
        wait_for(PATIENCE, || {
            self.running().all(|node| {
                let slots =
                    Wire::connect(node.port_address()).and_then(|mut wire| wire.ask(&["CLUSTER", "SLOTS"]));
                slots.is_ok_and(|slots| {
                    let shown: usize = slots.items().iter().map(|range| range.items().len() - 2).sum();
                    shown >= self.nodes.len()
                })
            })
        });
    }

    /// Waits until each running node says that the cluster serves and knows all nodes.
    ///
    /// # Panics
    ///
    /// When that takes more than a minute: a node with slots is dead and has no replica.
    pub fn wait_until_ok(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        wait_for(PATIENCE, || {
            self.running().all(|node| {
                let info = answer(node, &["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains(&known)
            })
        });
    }

    /// Returns the URLs that a client starts from: of the proxies if there are some,
    /// else of the nodes.
    pub fn urls(&self) -> Vec<String> {
        self.addresses().iter().map(|address| format!("redis://{address}")).collect()
    }

    /// Returns the addresses that clients use, by node.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        if self.proxies.is_empty() {
            self.nodes.iter().map(Redis::port_address).collect()
        } else {
            self.proxies.iter().map(FaultProxy::address).collect()
        }
    }

    /// Returns the node `index`, to speak to it directly.
    pub fn node(&self, index: usize) -> &Redis {
        &self.nodes[index]
    }

    /// Returns the proxy before node `index`.
    ///
    /// # Panics
    ///
    /// When the cluster was not started by [`Self::start_behind_proxies`].
    pub fn proxy(&self, index: usize) -> &FaultProxy {
        &self.proxies[index]
    }

    /// Ends node `index` at once, as `kill -9` does. The others take it for dead within
    /// a second or two; a node that lives is given far longer to be heard of.
    pub fn kill(&self, index: usize) {
        self.nodes[index].kill();
        self.set_node_timeout(HURRIED);
    }

    fn set_node_timeout(&self, milliseconds: &str) {
        for node in self.running() {
            text(node, &["CONFIG", "SET", "cluster-node-timeout", milliseconds]);
        }
    }

    /// Starts node `index` again, with the slots it had and no keys, and waits until
    /// the cluster serves.
    ///
    /// # Panics
    ///
    /// When it does not start, or the cluster does not come back within a minute.
    pub fn restart(&self, index: usize) {
        self.nodes[index].restart();
        self.wait_until_ok();
        if self.running().count() == self.nodes.len() {
            self.set_node_timeout(UNHURRIED);
        }
    }

    /// Makes replica `index` the primary of its slots, and waits until all nodes know.
    ///
    /// # Panics
    ///
    /// When the node is no replica, or does not take over within a minute.
    pub fn failover(&self, index: usize) {
        text(&self.nodes[index], &["CLUSTER", "FAILOVER"]);
        let clock = SystemClock::new();
        let mut asked_at: Monotonic = clock.monotonic();
        wait_for(PATIENCE, || {
            if clock.monotonic().since(asked_at) > GIVEN_UP {
                // A replica that has taken over meanwhile refuses.
                answer(&self.nodes[index], &["CLUSTER", "FAILOVER"]);
                asked_at = clock.monotonic();
            }
            let myself = |line: &str| line.starts_with(&self.ids[index]) && line.contains("master");
            self.running().all(|node| answer(node, &["CLUSTER", "NODES"]).lines().any(myself))
        });
        self.wait_until_ok();
    }

    /// Returns the slot of `key`.
    pub fn slot_of(&self, key: &str) -> u16 {
        let slot = ask(self.any().port_address(), &["CLUSTER", "KEYSLOT", key]).integer();
        slot.and_then(|slot| u16::try_from(slot).ok()).unwrap_or_else(|| panic!("{key:?} has no slot"))
    }

    /// Returns the index of the node that serves `slot`, as the first running node knows it.
    ///
    /// # Panics
    ///
    /// When no node serves it.
    #[track_caller]
    pub fn owner_of(&self, slot: u16) -> usize {
        let Some(owner) = self.owner_seen_by(self.any(), slot) else { panic!("nobody serves slot {slot}") };
        owner
    }

    fn owner_seen_by(&self, node: &Redis, slot: u16) -> Option<usize> {
        let slots = ask(node.port_address(), &["CLUSTER", "SLOTS"]);
        let holds = |range: &&Reply| {
            let bound = |at: usize| range.items().get(at).and_then(Reply::integer);
            bound(0) <= Some(i64::from(slot)) && Some(i64::from(slot)) <= bound(1)
        };
        let id = slots.items().iter().find(holds)?.items().get(2)?.items().get(2)?.text().to_owned();
        self.ids.iter().position(|known| *known == id)
    }

    /// Moves `slot` with its keys to node `to`, and waits until all nodes know.
    ///
    /// # Panics
    ///
    /// When nobody serves the slot, or a node refuses.
    pub fn move_slot(&self, slot: u16, to: usize) {
        let moving = self.begin_move(slot, to);
        moving.move_keys();
        moving.finish();
    }

    /// Begins to move `slot` to node `to` and stops there: the owner goes on serving
    /// the keys that it has, and sends clients on with `ASK` for every other key.
    ///
    /// # Panics
    ///
    /// When nobody serves the slot, `to` serves it already, or a node refuses.
    #[must_use = "a move that is dropped is not finished"]
    pub fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        let from = self.owner_of(slot);
        assert_ne!(from, to, "node {to} serves slot {slot} already");
        let number = slot.to_string();
        text(&self.nodes[to], &["CLUSTER", "SETSLOT", &number, "IMPORTING", &self.ids[from]]);
        text(&self.nodes[from], &["CLUSTER", "SETSLOT", &number, "MIGRATING", &self.ids[to]]);
        SlotMove { cluster: self, slot, from, to }
    }

    fn running(&self) -> impl Iterator<Item = &Redis> {
        self.nodes.iter().filter(|node| node.running().is_some())
    }

    fn any(&self) -> &Redis {
        self.running().next().unwrap_or_else(|| panic!("all nodes are dead"))
    }
}

/// A slot on its way from one node to another. Dropped unfinished, it stays half moved.
#[derive(Debug)]
pub struct SlotMove<'a> {
    cluster: &'a RedisCluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl SlotMove<'_> {
    /// Moves the slot's keys; from then on the old owner answers `ASK` for all of them.
    pub fn move_keys(&self) {
        let (from, to) = (&self.cluster.nodes[self.from], self.cluster.nodes[self.to].port_address());
        let (slot, port) = (self.slot.to_string(), to.port().to_string());
        loop {
            let keys = ask(from.port_address(), &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<&str> = keys.items().iter().map(Reply::text).collect();
            if keys.is_empty() {
                return;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "30000", "KEYS"];
            command.extend(keys);
            text(from, &command);
        }
    }

    /// Hands the slot over, and waits until all nodes know. Clients that ask the old
    /// owner are sent on with `MOVED`.
    pub fn finish(self) {
        let Self { cluster, slot, to, .. } = self;
        let number = slot.to_string();
        // The new owner first: it must not be told of itself by the old one.
        let rest = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != to).map(|(_, node)| node);
        for node in [&cluster.nodes[to]].into_iter().chain(rest) {
            // A replica refuses to be told, and hears of it from its primary.
            if answer(node, &["INFO", "replication"]).contains("role:master") {
                text(node, &["CLUSTER", "SETSLOT", &number, "NODE", &cluster.ids[to]]);
            }
        }
        wait_for(PATIENCE, || cluster.running().all(|node| cluster.owner_seen_by(node, slot) == Some(to)));
    }
}

/// Starts the processes side by side.
fn start_nodes(ports: Vec<Port>, bus_ports: &[u16], proxies: &[FaultProxy], settings: &[&str]) -> Vec<Redis> {
    thread::scope(|scope| {
        let mut starting = Vec::new();
        for (index, (port, bus)) in ports.into_iter().zip(bus_ports).enumerate() {
            starting.push(scope.spawn(move || {
                let bus = bus.to_string();
                let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", UNHURRIED];
                all.extend(["--cluster-port", &bus, "--repl-diskless-sync-delay", "0"]);
                // A replica is shown to clients once it has heard a ping: by default every 10 s.
                all.extend(["--repl-ping-replica-period", "1"]);
                let announced = proxies.get(index).map(|proxy| proxy.address().port().to_string());
                if let Some(announced) = &announced {
                    all.extend(["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", announced]);
                    all.extend(["--cluster-announce-bus-port", &bus]);
                }
                all.extend(settings);
                Redis::launch(Some(port), &[], &all)
            }));
        }
        starting
            .into_iter()
            .map(|node| node.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Sends `command` to `node`, which must not refuse it, and returns the text of its reply.
#[track_caller]
fn text(node: &Redis, command: &[&str]) -> String {
    ask(node.port_address(), command).text().to_owned()
}

/// Returns the text of the reply to `command`, `""` from a node that does not answer.
fn answer(node: &Redis, command: &[&str]) -> String {
    let reply = Wire::connect(node.port_address()).and_then(|mut wire| wire.ask(command));
    reply.map(|reply| reply.text().to_owned()).unwrap_or_default()
}
