//! The view of a Redis server, ours or somebody else's: what it tells of itself, what
//! is wrong with it, and whether it can be used at all.
//!
//! [`ServerView`] takes readings; [`findings::findings`] says what is wrong;
//! [`doctor::doctor`] checks a server before anything relies on it.
//!
//! # What is asked
//!
//! `INFO all`, `SLOWLOG GET` and `LEN`, `LATENCY LATEST`, one `SCAN` of about 1,000 keys,
//! 400 times `RANDOMKEY`, and of those keys `MEMORY USAGE`, `PTTL` (of the random ones),
//! `OBJECT FREQ` (under an LFU policy) and `TYPE` (of the 16 biggest); of a cluster
//! `CLUSTER SLOTS`, of sentinels the address of the primary. About a dozen round trips
//! on a connection of its own, at most 250 commands at once, so that other clients are not
//! kept waiting. Never `KEYS`, `MONITOR`, `CONFIG`, `DEBUG`, nor any command that blocks,
//! writes, or returns a value. Reading keys so does not touch their idle times and
//! counters; it does count as hits of the keyspace, which the rates take off again.
//!
//! # Rights
//!
//! The least that a user needs, in Redis 7 (in Redis 6 without the subcommands' names
//! and with `~*`):
//!
//! ```text
//! ACL SETUSER veritas on >PASSWORD resetchannels %R~* -@all +info +ping +slowlog|get +slowlog|len
//!     +latency|latest +scan +randomkey +memory|usage +pttl +object|freq +type +cluster|slots
//! ```
//!
//! Each right that is missing takes its own part of the reading away and no other, and
//! the part says so.

mod blocking;
mod commands;
mod dialogue;
pub mod doctor;
mod events;
pub mod findings;
mod info;
mod node;
mod pattern;
mod reply;
mod sample;
mod topology;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use veritas_cache::server::{NodeReading, NotRead, ServerReading};
use veritas_model::Clock;

use self::sample::Remembered;
use crate::options::RedisOptions;

/// How many nodes are read at most: what a cluster has more is counted and left off.
pub const MAX_NODES: usize = 64;

/// How long a reading takes at most, unless it is told otherwise.
pub const READ_TIME: Duration = Duration::from_secs(1);

/// Takes readings of one server, or of the primaries of one cluster.
///
/// It opens a connection for each reading: none is held, nothing is sent in between,
/// and a reading neither waits for the cache's connections nor delays what they carry.
/// From one reading to the next it remembers only where the scan of keys goes on and
/// 32 keys per node.
#[derive(Debug)]
pub struct ServerView {
    name: String,
    options: RedisOptions,
    clock: Arc<dyn Clock>,
    time: Duration,
    remembered: Mutex<BTreeMap<String, Remembered>>,
}

impl ServerView {
    /// Makes a view of the servers of `options`. Nothing is sent yet. Its name is their
    /// address without credentials.
    pub fn new(options: RedisOptions, clock: Arc<dyn Clock>) -> Self {
        let name = options.topology.to_string();
        Self { name, options, clock, time: READ_TIME, remembered: Mutex::default() }
    }

    /// Gives the view another name, which its findings carry.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how long a reading takes at most.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes a reading. Never fails: what cannot be read says why. Takes 1 s at most
    /// ([`READ_TIME`]), of which the server works some milliseconds. Needs a Tokio runtime with its
    /// timers and I/O; see [`Self::read_blocking`] for everywhere else.
    pub async fn read(&self) -> ServerReading {
        let read_at = self.clock.now();
        let started_at = self.clock.monotonic();
        let deadline = Instant::now() + self.time;
        let (nodes, left_off) = match topology::nodes(&self.options.topology, deadline).await {
            Ok(endpoints) => self.read_nodes(endpoints, deadline).await,
            Err(why) => {
                let address = self.options.topology.to_string();
                (vec![NodeReading::missing(address, self.clock.monotonic(), &why)], 0)
            }
        };
        let took = self.clock.monotonic().since(started_at);
        ServerReading { name: self.name.clone(), read_at, took, nodes, left_off }
    }

    /// Takes a reading as [`Self::read`] does, on a thread of its own: works in and
    /// outside of any runtime, and blocks the caller for 1 s at most.
    pub fn read_blocking(&self) -> ServerReading {
        blocking::run(self.read()).unwrap_or_else(|error| self.missing(&error.to_string()))
    }

    fn missing(&self, reason: &str) -> ServerReading {
        let why = NotRead::Unreachable { reason: reason.to_owned() };
        let node = NodeReading::missing(self.options.topology.to_string(), self.clock.monotonic(), &why);
        ServerReading {
            name: self.name.clone(),
            read_at: self.clock.now(),
            took: Duration::ZERO,
            nodes: vec![node],
            left_off: 0,
        }
    }

    /// Reads the nodes side by side.
    async fn read_nodes(
        &self,
        mut endpoints: Vec<crate::options::Endpoint>,
        deadline: Instant,
    ) -> (Vec<NodeReading>, usize) {
        let left_off = endpoints.len().saturating_sub(MAX_NODES);
        endpoints.truncate(MAX_NODES);
        // Nodes that are gone are forgotten with their keys.
        let mut before = std::mem::take(&mut *self.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut reading = JoinSet::new();
        for endpoint in endpoints {
            let mut remembered = before.remove(&endpoint.to_string()).unwrap_or_default();
            let (clock, prefix) = (Arc::clone(&self.clock), self.options.prefix.clone());
            reading.spawn(async move {
                let node = node::read(&endpoint, &prefix, deadline, &clock, &mut remembered).await;
                (node, remembered)
            });
        }
        let mut nodes = Vec::new();
        let mut after = BTreeMap::new();
        while let Some(read) = reading.join_next().await {
            if let Ok((node, remembered)) = read {
                after.insert(node.address.clone(), remembered);
                nodes.push(node);
            }
        }
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = after;
        nodes.sort_by(|one, other| one.address.cmp(&other.address));
        (nodes, left_off)
    }
}
