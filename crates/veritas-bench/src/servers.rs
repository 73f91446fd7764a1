//! The servers under test, each on core 0, each with a token that it accepts.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use veritas_model::{Clock, SystemClock};

use crate::machine;

/// The core that servers run on; the generator has the other one.
const CORE: usize = 0;
/// The endpoint that both serve.
const PATH: &str = "/api/v1/performance/cache/stats";
/// The twin, shipped beside this crate.
const TWIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/twin.py");

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    token: String,
    data: Option<TempDir>,
}

impl Server {
    /// Starts `veritas serve` with limits that the load does not reach, and waits for it.
    pub(crate) fn veritas(binary: &Path) -> anyhow::Result<Self> {
        let mut server = Self::spawn_veritas(binary, free_port()?)?;
        server.wait()?;
        let data = server.data.as_ref().context("the server has a data directory")?;
        let output = Command::new(binary)
            .args(["token", "create", "--subject", "bench", "--ttl", "1h", "--data-dir"])
            .arg(data.path())
            .output()?;
        ensure!(output.status.success(), "token create failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)?.trim().clone_into(&mut server.token);
        Ok(server)
    }

    /// Starts `veritas serve` and returns at once.
    pub(crate) fn spawn_veritas(binary: &Path, port: u16) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let child = machine::pinned(CORE, binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(data.path())
            .env("VERITAS_LIMITS_REQUESTS_PER_SECOND", "1000000")
            .env("VERITAS_LIMITS_BURST", "1000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        Ok(Self { child, address: local(port), token: String::new(), data: Some(data) })
    }

    /// Starts the FastAPI twin and waits for it.
    pub(crate) fn twin(python: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut child = machine::pinned(CORE, python)
            .args([TWIN, &port.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the twin")?;
        let stdout = child.stdout.take().context("the twin has a stdout")?;
        let mut token = String::new();
        BufReader::new(stdout).read_line(&mut token)?;
        ensure!(!token.is_empty(), "the twin did not start: are fastapi, uvicorn and pyjwt installed?");
        let mut server = Self { child, address: local(port), token: token.trim().to_owned(), data: None };
        server.wait()?;
        Ok(server)
    }

    /// Returns the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the bytes of one request.
    pub(crate) fn request(&self) -> Vec<u8> {
        format!(
            "GET {PATH} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            self.address, self.token
        )
        .into_bytes()
    }

    #[expect(clippy::disallowed_methods, reason = "a foreign process tells nobody that it is up")]
    fn wait(&mut self) -> anyhow::Result<()> {
        let clock = SystemClock::new();
        let deadline = clock.monotonic().plus(Duration::from_secs(30));
        while std::net::TcpStream::connect(self.address).is_err() {
            ensure!(self.child.try_wait()?.is_none(), "the server stopped before it listened");
            ensure!(clock.monotonic() < deadline, "the server does not listen after 30 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
