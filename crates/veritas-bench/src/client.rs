//! The load generator: one spinning thread, keep-alive connections, HTTP/1.1.
//!
//! In an open loop, requests start on a fixed schedule whether or not earlier
//! ones were answered, and a latency runs from the *planned* start: a server
//! that stalls is charged for every request it kept waiting (no coordinated
//! omission, after Gil Tene).

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use veritas_model::{Clock, Monotonic, SystemClock};
use veritas_statistics::Histogram;

/// Connections of the open loop: enough that a free one is there unless the server stalls.
const OPEN_LOOP_CONNECTIONS: usize = 64;

/// What one phase showed.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Requests answered with 200.
    pub(crate) answered: u64,
    /// Requests answered otherwise.
    pub(crate) failed: u64,
    /// Nanoseconds from the planned start to the last byte.
    pub(crate) latency: Histogram,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Phase {
    /// Returns answered requests per second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay small")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns a quantile of the latency in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a phase")]
    pub(crate) fn milliseconds(&self, quantile: f64) -> Option<f64> {
        self.latency.quantile(quantile).map(|nanos| nanos as f64 / 1e6)
    }
}

/// Keeps `connections` requests in flight for `duration`.
pub(crate) fn saturate(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Phase> {
    Generator::connect(address, request, connections)?.run(Schedule::Saturate, duration)
}

/// Starts `rate` requests per second for `duration`.
pub(crate) fn open_loop(
    address: SocketAddr,
    request: &[u8],
    rate: u64,
    duration: Duration,
) -> anyhow::Result<Phase> {
    let between = Duration::from_secs(1) / u32::try_from(rate.max(1)).context("the rate is too high")?;
    Generator::connect(address, request, OPEN_LOOP_CONNECTIONS)?.run(Schedule::Every(between), duration)
}

#[derive(Debug, Clone, Copy)]
enum Schedule {
    Saturate,
    Every(Duration),
}

struct Connection {
    stream: TcpStream,
    planned: Option<Monotonic>,
    received: Vec<u8>,
}

struct Generator<'a> {
    clock: SystemClock,
    poll: Poll,
    request: &'a [u8],
    connections: Vec<Connection>,
    idle: Vec<usize>,
    waiting: VecDeque<Monotonic>,
    phase: Phase,
}

impl<'a> Generator<'a> {
    fn connect(address: SocketAddr, request: &'a [u8], connections: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let connections = (0..connections)
            .map(|index| {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
                Ok(Connection { stream, planned: None, received: Vec::with_capacity(4_096) })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            clock: SystemClock::new(),
            poll,
            request,
            idle: (0..connections.len()).collect(),
            connections,
            waiting: VecDeque::new(),
            phase: Phase { answered: 0, failed: 0, latency: Histogram::new(), elapsed: Duration::ZERO },
        })
    }

    fn run(mut self, schedule: Schedule, duration: Duration) -> anyhow::Result<Phase> {
        let mut events = Events::with_capacity(256);
        let start = self.clock.monotonic();
        let end = start.plus(duration);
        // What is still open long after the end will not be answered.
        let give_up = end.plus(Duration::from_secs(10));
        let mut next = start;
        loop {
            let now = self.clock.monotonic();
            if now < end {
                match schedule {
                    Schedule::Saturate => self.waiting.extend(self.idle.iter().map(|_| now)),
                    Schedule::Every(between) => {
                        while next <= now {
                            self.waiting.push_back(next);
                            next = next.plus(between);
                        }
                    }
                }
            } else if self.idle.len() == self.connections.len() && self.waiting.is_empty() {
                break;
            } else if now > give_up {
                bail!("{} requests were never answered", self.connections.len() - self.idle.len());
            }
            self.send_waiting()?;
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                self.receive(event.token().0)?;
            }
        }
        self.phase.elapsed = self.clock.monotonic().since(start);
        Ok(self.phase)
    }

    fn send_waiting(&mut self) -> anyhow::Result<()> {
        while let (Some(&planned), Some(&index)) = (self.waiting.front(), self.idle.last()) {
            self.waiting.pop_front();
            self.idle.pop();
            let connection = &mut self.connections[index];
            connection.planned = Some(planned);
            // A request fits into an empty socket buffer: this never waits.
            connection.stream.write_all(self.request).context("failed to send a request")?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let mut chunk = [0; 4_096];
        loop {
            match connection.stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(length) => connection.received.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("failed to read an answer"),
            }
        }
        let Some(is_success) = complete_answer(&connection.received) else { return Ok(()) };
        connection.received.clear();
        let Some(planned) = connection.planned.take() else { bail!("an answer that nobody asked for") };
        let latency = self.clock.monotonic().since(planned);
        self.phase.latency.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if is_success {
            self.phase.answered += 1;
        } else {
            self.phase.failed += 1;
        }
        self.idle.push(index);
        Ok(())
    }
}

/// Returns whether the answer is a 200, or `None` while it is not complete.
fn complete_answer(received: &[u8]) -> Option<bool> {
    const END: &[u8] = b"\r\n\r\n";
    let head = received.windows(END.len()).position(|window| window == END)?;
    let text = std::str::from_utf8(&received[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    })?;
    (received.len() >= head + END.len() + length).then(|| text.starts_with("HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(received: &str, expected: Option<bool>) {
        assert_eq!(complete_answer(received.as_bytes()), expected);
    }

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Some(true));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None);
        check("HTTP/1.1 200 OK\r\ncontent-le", None);
        check("HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n", Some(false));
    }
}
