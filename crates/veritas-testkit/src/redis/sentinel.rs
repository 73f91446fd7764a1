//! A primary, a replica and three sentinels that watch them.

use std::{fmt::Write as _, net::SocketAddr, thread, time::Duration};

use super::Redis;
use crate::{
    port::Port,
    wait_for,
    wire::{Reply, Wire, ask},
};

/// How long a failover may take, on a busy machine: a sentinel that did not get its turn
/// for two seconds does nothing for half a minute (`SENTINEL_TILT_PERIOD` in Redis).
const PATIENCE: Duration = Duration::from_mins(2);

/// After how many milliseconds of silence a server is taken for dead while none was
/// killed: a busy machine keeps a live one silent for a second and more.
const UNHURRIED: &str = "30000";

/// The same once the primary was killed, when the sentinels are to find out.
const HURRIED: &str = "1000";

/// The name under which the sentinels know the primary.
const NAME: &str = "main";

/// A primary with one replica, watched by three sentinels of which two must agree.
///
/// The sentinels are told of each other in their files: finding each other by
/// themselves takes them seconds.
///
/// ```no_run
/// use veritas_testkit::RedisSentinel;
///
/// let redis = RedisSentinel::start();
/// let before = redis.primary();
/// redis.failover();
/// assert_ne!(redis.primary(), before);
/// ```
#[derive(Debug)]
pub struct RedisSentinel {
    sentinels: Vec<Redis>,
    servers: Vec<Redis>,
}

impl RedisSentinel {
    /// Starts all five, and waits until the sentinels could fail over.
    ///
    /// # Panics
    ///
    /// When Redis is not installed, naming the setup command, or they do not agree.
    pub fn start() -> Self {
        let primary = Redis::start_tcp_with(&["--repl-diskless-sync-delay", "0"]);
        let port = primary.port_address().port().to_string();
        let follow = format!("127.0.0.1 {port}");
        let replica = Redis::start_tcp_with(&["--replicaof", &follow, "--repl-diskless-sync-delay", "0"]);
        wait_for(PATIENCE, || {
            ask(replica.port_address(), &["INFO", "replication"]).text().contains("master_link_status:up")
        });
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve()).collect();
        let files: Vec<String> = (0..3).map(|me| configuration(me, &ports, &primary, &replica)).collect();
        let sentinels = thread::scope(|scope| {
            let start = |(port, file): (Port, String)| {
                scope.spawn(move || Redis::launch(Some(port), &[("server.conf", &file)], &["--sentinel"]))
            };
            let starting: Vec<_> = ports.into_iter().zip(files).map(start).collect();
            let join = |node: thread::ScopedJoinHandle<'_, Redis>| {
                node.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            starting.into_iter().map(join).collect()
        });
        let all = Self { sentinels, servers: vec![primary, replica] };
        all.wait_until_watched();
        all
    }

    /// Waits until each sentinel sees both servers and the other sentinels up.
    fn wait_until_watched(&self) {
        wait_for(PATIENCE, || {
            self.sentinels.iter().all(|sentinel| {
                let reply = |command: &[&str]| {
                    Wire::connect(sentinel.port_address()).and_then(|mut wire| wire.ask(command))
                };
                let quorum = reply(&["SENTINEL", "CKQUORUM", NAME]);
                let replicas = reply(&["SENTINEL", "REPLICAS", NAME]);
                quorum.is_ok_and(|quorum| quorum.text().starts_with("OK 3 usable"))
                    && replicas.is_ok_and(|replicas| {
                        let replica = replicas.items().first().map(fields).unwrap_or_default();
                        replica.contains("flags slave\n") && replica.contains("master-link-status ok")
                    })
            })
        });
    }

    /// Returns the name under which the sentinels know the primary.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Returns the addresses of the sentinels.
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Redis::port_address).collect()
    }

    /// Returns the sentinel `index` (0 to 2), to kill it.
    pub fn sentinel(&self, index: usize) -> &Redis {
        &self.sentinels[index]
    }

    /// Returns the server `index` (0 was started as the primary, 1 as its replica).
    pub fn server(&self, index: usize) -> &Redis {
        &self.servers[index]
    }

    /// Returns the index of the primary, as the first sentinel that answers knows it.
    ///
    /// # Panics
    ///
    /// When no sentinel answers.
    pub fn primary(&self) -> usize {
        let port = self.sentinels.iter().find_map(primary_known_to);
        let port = port.unwrap_or_else(|| panic!("no sentinel answers"));
        let index = self.servers.iter().position(|server| server.port_address().port() == port);
        index.unwrap_or_else(|| panic!("no server of ours has port {port}"))
    }

    /// Makes the replica the primary and the primary a replica, and waits until all
    /// running sentinels name the new one, it accepts writes and the old one refuses them.
    ///
    /// # Panics
    ///
    /// When that does not happen within a minute.
    pub fn failover(&self) {
        let before = self.primary();
        let sentinel = self.sentinels.iter().find(|sentinel| primary_known_to(sentinel).is_some());
        let sentinel = sentinel.unwrap_or_else(|| panic!("no sentinel answers"));
        let port_before = self.servers[before].port_address().port();
        wait_for(PATIENCE, || {
            if primary_known_to(sentinel) == Some(port_before) {
                // Refused as long as the sentinel has not seen the replica lately, and while it
                // is at it. What takes it more than five seconds it gives up: then it is asked again.
                let asked = Wire::connect(sentinel.port_address());
                asked.and_then(|mut wire| wire.ask(&["SENTINEL", "FAILOVER", NAME])).ok();
            }
            self.primary_is(1 - before)
        });
        // Sentinels watch an old primary for eight seconds before they make it follow.
        let port = self.servers[1 - before].port_address().port().to_string();
        ask(self.servers[before].port_address(), &["REPLICAOF", "127.0.0.1", &port]);
    }

    /// Kills the primary and waits until the sentinels have made the replica the
    /// primary: as a failure does, within a second or two.
    ///
    /// # Panics
    ///
    /// When that does not happen within a minute.
    pub fn kill_primary(&self) {
        let before = self.primary();
        self.servers[before].kill();
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.running().is_some()) {
            ask(sentinel.port_address(), &["SENTINEL", "SET", NAME, "down-after-milliseconds", HURRIED]);
        }
        wait_for(PATIENCE, || self.primary_is(1 - before));
    }

    /// Tells whether all running sentinels name server `index`, and it knows.
    fn primary_is(&self, index: usize) -> bool {
        let address = self.servers[index].port_address();
        let mut running = self.sentinels.iter().filter(|sentinel| sentinel.running().is_some());
        running.all(|sentinel| primary_known_to(sentinel) == Some(address.port()))
            && ask(address, &["INFO", "replication"]).text().contains("role:master")
    }
}

/// Returns the port of the primary that `sentinel` names, if it answers.
fn primary_known_to(sentinel: &Redis) -> Option<u16> {
    let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
    let reply = Wire::connect(sentinel.port_address()).ok()?.ask(&command).ok()?;
    reply.items().get(1)?.text().parse().ok()
}

/// Joins the names and values of a flat map, a line each.
fn fields(map: &Reply) -> String {
    let mut text = String::new();
    for pair in map.items().chunks(2) {
        let value = pair.get(1).map_or("", Reply::text);
        writeln!(text, "{} {value}", pair[0].text()).ok();
    }
    text
}

/// Writes the file of sentinel `me`, which names all the others.
fn configuration(me: usize, ports: &[Port], primary: &Redis, replica: &Redis) -> String {
    let id = |index: usize| format!("{:040x}", 0xace0 + index);
    let mut text = format!("sentinel myid {}\n", id(me));
    let (primary, replica) = (primary.port_address().port(), replica.port_address().port());
    let known = "sentinel known-";
    write!(
        text,
        "sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {NAME} {UNHURRIED}\n\
         sentinel failover-timeout {NAME} 5000\n\
         {known}replica {NAME} 127.0.0.1 {replica}\n"
    )
    .ok();
    for (index, port) in ports.iter().enumerate().filter(|(index, _)| *index != me) {
        writeln!(text, "{known}sentinel {NAME} 127.0.0.1 {} {}", port.number(), id(index)).ok();
    }
    text
}
