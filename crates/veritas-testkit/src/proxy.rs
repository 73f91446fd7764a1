//! A bad network between a client and a server, whose faults are switched while it runs.

mod connection;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use self::connection::Connection;
use crate::{Redis, port::Port, wait_for};

/// How long a closing connection may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a proxy sends what clients say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A TCP server.
    Tcp(SocketAddr),
    /// A server on a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<&Path> for Upstream {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_path_buf())
    }
}

impl From<&Redis> for Upstream {
    fn from(redis: &Redis) -> Self {
        Self::from(redis.socket())
    }
}

/// What the network does to bytes and to new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: all bytes pass at once.
    Pass,
    /// All bytes arrive this much later, in each direction; a round trip takes twice
    /// as long. Bytes that are under way do not delay those behind them.
    Latency(Duration),
    /// Each direction of each connection passes this many bytes per second (at least one).
    Slow(u64),
    /// Nothing passes until the fault changes; then it goes on where it stopped.
    Stall,
    /// Packets vanish: connections are accepted and what is said on them, and on the
    /// established ones, is swallowed. Nobody is told of any end.
    BlackHole,
    /// The server has lost all connections and its clients have not heard of it: the
    /// server's side is closed, the client's stays open and what it says is swallowed.
    HalfOpen,
    /// New connections are refused. Established ones go on: see [`FaultProxy::cut`].
    Refuse,
}

impl Fault {
    /// Tells whether bytes that arrive now are lost.
    const fn loses_bytes(self) -> bool {
        matches!(self, Self::BlackHole | Self::HalfOpen)
    }
}

/// A TCP proxy on a loopback port that does to its connections what bad networks do.
///
/// A change of the fault holds from the moment the call returns: no byte passes under
/// the old one. A connection that lost bytes in [`Fault::BlackHole`] or
/// [`Fault::HalfOpen`] is cut when the fault ends: a stream with a hole is never resumed.
/// Dropping the proxy cuts all connections and ends its threads.
///
/// What it cannot do: lose the packets of a handshake, so that connecting itself hangs.
///
/// ```no_run
/// use std::time::Duration;
/// use veritas_testkit::{Fault, FaultProxy, Redis};
///
/// let redis = Redis::start();
/// let proxy = FaultProxy::start(&redis);
/// println!("connect to {}", proxy.url());
/// proxy.set(Fault::Latency(Duration::from_millis(20)));
/// proxy.cut();
/// ```
pub struct FaultProxy {
    shared: Arc<Shared>,
    port: Port,
    door: Mutex<Option<Door>>,
}

/// The listener and the thread that accepts from it.
struct Door {
    listener: Arc<TcpListener>,
    thread: JoinHandle<()>,
}

/// What the proxy and its threads share.
struct Shared {
    upstream: Upstream,
    /// Bytes are delivered under a read lock, so that a writer knows that none passes
    /// under the old fault any more.
    fault: RwLock<Fault>,
    /// How many bytes may still pass to clients before a cut, if one is set.
    until_cut: Mutex<Option<u64>>,
    changes: Mutex<u64>,
    changed: Condvar,
    /// Held while clients are let in, so that who waits for it finds them listed.
    entering: Mutex<()>,
    open: Mutex<Vec<Weak<Connection>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    accepted: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    lost: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy that passes everything to `upstream`: a [`Redis`], a socket's
    /// path, or an address. Nobody need be listening there yet.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start(upstream: impl Into<Upstream>) -> Self {
        let shared = Shared {
            upstream: upstream.into(),
            fault: RwLock::new(Fault::Pass),
            until_cut: Mutex::new(None),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            entering: Mutex::new(()),
            open: Mutex::new(Vec::new()),
            threads: Mutex::new(Vec::new()),
            accepted: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        let proxy = Self { shared: Arc::new(shared), port: Port::reserve(), door: Mutex::new(None) };
        proxy.open_door();
        proxy
    }

    /// Returns the address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Returns the address as a URL of Redis.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Sets what happens from now on, to established connections and to new ones.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
        if fault == Fault::HalfOpen {
            for connection in self.shared.connections() {
                connection.leave_server();
            }
        }
        self.shared.announce_change();
        if !fault.loses_bytes() {
            self.close_all(Connection::has_hole);
        }
        if fault == Fault::Refuse {
            self.close_door();
        } else {
            self.open_door();
        }
    }

    /// Resets all established connections, on both sides; new ones are as before.
    /// When it returns, the resets are sent.
    pub fn cut(&self) {
        if let Some(door) = &*lock(&self.door) {
            self.shared.let_in(&door.listener);
        }
        self.close_all(|_| true);
    }

    /// Resets one connection in the middle of a reply: the one on which the byte number
    /// `bytes` from now, counted over all connections, passes to a client. That byte
    /// still passes, none after it does. Happens once.
    pub fn cut_after(&self, bytes: u64) {
        *lock(&self.shared.until_cut) = Some(bytes);
    }

    /// Returns how many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Returns how many connections are open on the client's side.
    pub fn open_connections(&self) -> usize {
        self.shared.connections().len()
    }

    /// Returns how many bytes passed to the server so far. What was swallowed did not pass.
    pub fn bytes_to_server(&self) -> u64 {
        self.shared.to_server.load(Ordering::Relaxed)
    }

    /// Returns how many bytes passed to clients so far.
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.to_client.load(Ordering::Relaxed)
    }

    /// Returns how many bytes were swallowed so far, in both directions.
    pub fn bytes_lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Resets the connections that `which` names and waits until they are gone.
    fn close_all(&self, which: impl Fn(&Connection) -> bool) {
        let closing: Vec<Weak<Connection>> = lock(&self.shared.open)
            .iter()
            .filter(|open| open.upgrade().is_some_and(|open| which(&open)))
            .cloned()
            .collect();
        for connection in closing.iter().filter_map(Weak::upgrade) {
            connection.reset();
        }
        self.shared.announce_change();
        wait_for(PATIENCE, || closing.iter().all(|connection| connection.strong_count() == 0));
    }

    fn open_door(&self) {
        let mut door = lock(&self.door);
        if door.is_some() {
            return;
        }
        let bound = TcpListener::bind(self.port.address());
        let listener = match bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)) {
            Ok(listener) => Arc::new(listener),
            Err(error) => panic!("failed to listen on {}: {error}", self.port.address()),
        };
        let (shared, waiting) = (Arc::clone(&self.shared), Arc::clone(&listener));
        let thread = thread::spawn(move || while wait_for_client(&waiting) && shared.let_in(&waiting) {});
        *door = Some(Door { listener, thread });
    }

    fn close_door(&self) {
        if let Some(Door { listener, thread }) = lock(&self.door).take() {
            // Whoever is connected already stays connected.
            self.shared.let_in(&listener);
            // A listening socket that is shut down refuses, and wakes who accepts from it.
            rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both).ok();
            drop(listener);
            thread.join().ok();
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.close_door();
        self.cut();
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        for thread in threads {
            thread.join().ok();
        }
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FaultProxy")
            .field("address", &self.address())
            .field("upstream", &self.shared.upstream)
            .field("fault", &self.shared.fault())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.open).iter().filter_map(Weak::upgrade).collect()
    }

    /// Serves everyone who is connected and was not served yet. Tells whether the
    /// listener still listens.
    fn let_in(self: &Arc<Self>, listener: &TcpListener) -> bool {
        let entering = lock(&self.entering);
        let refusal = loop {
            match listener.accept() {
                Ok((client, _)) => connection::serve(self, client),
                Err(error) => break error,
            }
        };
        drop(entering);
        matches!(refusal.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted)
    }

    /// Wakes every thread that waits for time to pass or for the fault to change.
    fn announce_change(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }

    /// Returns the number of the last change, to wait for the next one.
    fn change(&self) -> u64 {
        *lock(&self.changes)
    }

    /// Waits until there is a change after `seen`, at most for `time`.
    fn wait(&self, seen: u64, time: Duration) {
        let changes = lock(&self.changes);
        let waited = self.changed.wait_timeout_while(changes, time, |now| *now == seen);
        drop(waited);
    }

    /// Runs `work` on a thread that the proxy joins when it ends.
    fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread::spawn(work));
    }
}

/// Waits until somebody connects, or the listener is shut down; `false` when there is
/// nothing to wait for.
fn wait_for_client(listener: &TcpListener) -> bool {
    loop {
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], None) {
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
