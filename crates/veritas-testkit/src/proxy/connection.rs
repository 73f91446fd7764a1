//! One connection through the proxy: two sides, and a thread for each direction.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;
use veritas_model::{Clock as _, Monotonic, SystemClock};

use super::{Fault, Shared, Upstream, lock};

/// How many bytes may be under way in one direction; more are not read.
const UNDER_WAY: usize = 4 << 20;

/// How long a write may wait for the reader before it looks whether the fault has changed.
const WRITE_PATIENCE: Duration = Duration::from_millis(10);

/// How often in a second [`Fault::Slow`] passes a piece.
const PIECES_PER_SECOND: u64 = 50;

/// How long to wait for a change that is announced when it comes.
const UNTIL_CHANGED: Duration = Duration::from_hours(1);

/// A client's connection and, unless it was never made or is lost, the server's.
/// It closes when the threads of both directions have let go of it.
pub(super) struct Connection {
    client: Stream,
    server: Option<Stream>,
    reset: AtomicBool,
    hole: AtomicBool,
}

impl Connection {
    /// Tells whether bytes were lost on it.
    pub(super) fn has_hole(&self) -> bool {
        self.hole.load(Ordering::SeqCst)
    }

    /// Ends both sides with a reset, as soon as the threads let go.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        for side in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
            side.prepare_reset();
        }
    }

    /// Closes the server's side; the client is not told.
    pub(super) fn leave_server(&self) {
        self.hole.store(true, Ordering::SeqCst);
        if let Some(server) = &self.server {
            server.close();
        }
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }
}

/// One side of a connection.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(upstream: &Upstream) -> io::Result<Self> {
        let stream = match upstream {
            Upstream::Tcp(address) => Self::Tcp(TcpStream::connect(address)?),
            Upstream::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        };
        stream.prepare()?;
        Ok(stream)
    }

    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_PATIENCE))
            }
            Self::Unix(stream) => stream.set_write_timeout(Some(WRITE_PATIENCE)),
        }
    }

    /// Wakes who reads, and makes closing send a reset. Sends nothing itself: a
    /// shutdown of the reading side is silent.
    fn prepare_reset(&self) {
        match self {
            Self::Tcp(stream) => {
                set_socket_linger(stream, Some(Duration::ZERO)).ok();
                stream.shutdown(Shutdown::Read).ok();
            }
            Self::Unix(stream) => drop(stream.shutdown(Shutdown::Both)),
        }
    }

    fn close(&self) {
        match self {
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Unix(stream) => drop(stream.shutdown(Shutdown::Both)),
        }
    }

    fn end(&self) {
        match self {
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Unix(stream) => drop(stream.shutdown(Shutdown::Write)),
        }
    }

    /// Reads for at most `patience`, or for as long as it takes.
    fn read(&self, buffer: &mut [u8], patience: Option<Duration>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(patience)?;
                (&mut &*stream).read(buffer)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(patience)?;
                (&mut &*stream).read(buffer)
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }
}

/// Serves a client that has just connected, on threads of its own.
pub(super) fn serve(shared: &Arc<Shared>, client: TcpStream) {
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    // Held until the connection is listed, so that a change of the fault finds it.
    let fault = shared.fault.read().unwrap_or_else(PoisonError::into_inner);
    let blocking = client.set_nonblocking(false);
    let client = Stream::Tcp(client);
    let prepared = blocking.and_then(|()| client.prepare());
    let server = if fault.loses_bytes() { None } else { Stream::connect(&shared.upstream).ok() };
    let hole = AtomicBool::new(fault.loses_bytes());
    let connection = Arc::new(Connection { client, server, reset: AtomicBool::new(false), hole });
    if prepared.is_err() || (connection.server.is_none() && !fault.loses_bytes()) {
        // Nobody listens upstream: the client hears of it as of a server that died.
        connection.reset();
        return;
    }
    {
        let mut open = lock(&shared.open);
        open.retain(|other| other.strong_count() > 0);
        open.push(Arc::downgrade(&connection));
    }
    if connection.server.is_some() {
        let (shared_there, there) = (Arc::clone(shared), Arc::clone(&connection));
        shared.spawn(move || Pump { shared: &shared_there, connection: &there, way: Way::ToClient }.run());
    }
    let shared_here = Arc::clone(shared);
    shared.spawn(move || Pump { shared: &shared_here, connection: &connection, way: Way::ToServer }.run());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// Why a direction ends.
struct Ended;

/// Carries the bytes of one direction.
struct Pump<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    way: Way,
}

impl Pump<'_> {
    fn run(&self) {
        // `Ended` tells only that there is nothing left to do.
        drop(self.carry());
    }

    /// Reads what arrives and delivers it when it is due, until one side ends.
    fn carry(&self) -> Result<(), Ended> {
        let clock = SystemClock::new();
        let mut buffer = vec![0; 64 << 10];
        let mut under_way: VecDeque<(Monotonic, Vec<u8>)> = VecDeque::new();
        let mut waiting = 0;
        loop {
            let due = under_way.front().map(|(at, _)| at.since(clock.monotonic()));
            if due == Some(Duration::ZERO) {
                if let Some((_, bytes)) = under_way.pop_front() {
                    waiting -= bytes.len();
                    if bytes.is_empty() {
                        return self.end();
                    }
                    self.deliver(&bytes)?;
                }
                continue;
            }
            let ended = under_way.back().is_some_and(|(_, bytes)| bytes.is_empty());
            if ended || waiting > UNDER_WAY {
                self.shared.wait(self.shared.change(), due.unwrap_or_default());
                self.stop_if_reset()?;
                continue;
            }
            match self.receive(&mut buffer, due) {
                Ok(length) => {
                    self.stop_if_reset()?;
                    let delay = match self.shared.fault() {
                        Fault::Latency(delay) => delay,
                        _ => Duration::ZERO,
                    };
                    waiting += length;
                    under_way.push_back((clock.monotonic().plus(delay), buffer[..length].to_vec()));
                }
                Err(error) if is_only_late(&error) => self.stop_if_reset()?,
                // The peer reset it: so do we.
                Err(_) => {
                    self.connection.reset();
                    return Err(Ended);
                }
            }
        }
    }

    /// Reads from the side that this direction comes from; nothing is its end.
    fn receive(&self, buffer: &mut [u8], patience: Option<Duration>) -> io::Result<usize> {
        // The kernel takes a timeout of zero for none.
        let patience = patience.map(|patience| patience.max(Duration::from_micros(100)));
        match (self.way, &self.connection.server) {
            (Way::ToServer, _) => self.connection.client.read(buffer, patience),
            (Way::ToClient, Some(server)) => server.read(buffer, patience),
            (Way::ToClient, None) => Ok(0),
        }
    }

    fn stop_if_reset(&self) -> Result<(), Ended> {
        if self.connection.is_reset() { Err(Ended) } else { Ok(()) }
    }

    /// Passes `bytes` on as the fault of the moment has it.
    fn deliver(&self, bytes: &[u8]) -> Result<(), Ended> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.stop_if_reset()?;
            let seen = self.shared.change();
            let fault = self.shared.fault.read().unwrap_or_else(PoisonError::into_inner);
            let (length, pause) = match *fault {
                Fault::BlackHole | Fault::HalfOpen => {
                    self.connection.hole.store(true, Ordering::SeqCst);
                    self.shared.lost.fetch_add(rest.len() as u64, Ordering::SeqCst);
                    return Ok(());
                }
                Fault::Stall => (0, UNTIL_CHANGED),
                Fault::Slow(rate) => {
                    let piece = (rate / PIECES_PER_SECOND).clamp(1, rest.len() as u64);
                    (usize::try_from(piece).unwrap_or(rest.len()), time_of(piece, rate))
                }
                Fault::Pass | Fault::Latency(_) | Fault::Refuse => (rest.len(), Duration::ZERO),
            };
            rest = &rest[self.pass(&rest[..length])?..];
            drop(fault);
            if !pause.is_zero() {
                self.shared.wait(seen, pause);
            }
        }
        Ok(())
    }

    /// Writes what may pass before a cut, and returns how much it was.
    fn pass(&self, bytes: &[u8]) -> Result<usize, Ended> {
        let (to, count) = match (self.way, &self.connection.server) {
            (Way::ToClient, _) => (&self.connection.client, &self.shared.to_client),
            (Way::ToServer, Some(server)) => (server, &self.shared.to_server),
            (Way::ToServer, None) => return Ok(bytes.len()),
        };
        let mut until_cut = match self.way {
            Way::ToClient => Some(lock(&self.shared.until_cut)),
            Way::ToServer => None,
        };
        let left = until_cut
            .as_ref()
            .and_then(|left| **left)
            .map(|left| usize::try_from(left).unwrap_or(usize::MAX));
        let allowed = &bytes[..bytes.len().min(left.unwrap_or(usize::MAX))];
        // Counted first: whoever has a byte finds it counted.
        count.fetch_add(allowed.len() as u64, Ordering::SeqCst);
        let written = if allowed.is_empty() { Ok(0) } else { to.write(allowed) };
        let passed = *written.as_ref().unwrap_or(&0);
        count.fetch_sub((allowed.len() - passed) as u64, Ordering::SeqCst);
        let written = match written {
            Ok(written) => written,
            Err(error) if is_only_late(&error) => 0,
            Err(_) => {
                self.connection.reset();
                return Err(Ended);
            }
        };
        if let (Some(until_cut), Some(left)) = (&mut until_cut, left) {
            let left = left - written;
            **until_cut = (left > 0).then_some(left as u64);
            if left == 0 {
                self.connection.reset();
                return Err(Ended);
            }
        }
        Ok(written)
    }

    /// Passes on that this direction has ended, unless the network hides it.
    fn end(&self) -> Result<(), Ended> {
        loop {
            self.stop_if_reset()?;
            let seen = self.shared.change();
            let fault = self.shared.fault.read().unwrap_or_else(PoisonError::into_inner);
            if fault.loses_bytes() {
                self.connection.hole.store(true, Ordering::SeqCst);
                return Ok(());
            }
            if *fault != Fault::Stall {
                match (self.way, &self.connection.server) {
                    (Way::ToClient, _) => self.connection.client.end(),
                    (Way::ToServer, Some(server)) => server.end(),
                    (Way::ToServer, None) => {}
                }
                return Ok(());
            }
            drop(fault);
            self.shared.wait(seen, UNTIL_CHANGED);
        }
    }
}

/// Returns how long `bytes` take at `rate` bytes per second.
fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

fn is_only_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
