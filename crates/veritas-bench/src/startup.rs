//! Cold start: from spawning the binary to the first 200.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use veritas_model::{Clock, SystemClock};

use crate::servers::{Server, free_port};

/// Starts the binary `times` times on fresh data directories and returns the median.
pub(crate) fn measure(binary: &Path, times: usize) -> anyhow::Result<Duration> {
    let clock = SystemClock::new();
    let mut measured = Vec::with_capacity(times);
    for _ in 0..times {
        let port = free_port()?;
        let started = clock.monotonic();
        let server = Server::spawn_veritas(binary, port)?;
        while clock.monotonic().since(started) < Duration::from_secs(10) {
            if is_alive(server.address()).unwrap_or(false) {
                break;
            }
        }
        measured.push(clock.monotonic().since(started));
    }
    measured.sort_unstable();
    measured.get(times / 2).copied().context("nothing was started")
}

fn is_alive(address: std::net::SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 16];
    stream.read_exact(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
