//! A `veritas serve` of a chore's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    steps::{now, output_of},
    workspace,
};

/// How long a server may take to start or to drain.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; killed and its data removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    url: String,
}

/// Returns the binary that the tests built.
pub(crate) fn binary() -> PathBuf {
    workspace::target().join("debug/veritas")
}

impl Server {
    /// Starts the binary on a free port of this machine, with an empty data directory.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let data = workspace::target().join(format!("xtask/data-{}", std::process::id()));
        fs::remove_dir_all(&data).ok();
        fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
        let log =
            fs::File::create(data.with_extension("log")).context("failed to create the server's log")?;
        let child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            // A test of every operation is more than one subject is meant to ask.
            .env("VERITAS_LIMITS_REQUESTS_PER_SECOND", "100000")
            .env("VERITAS_LIMITS_BURST", "100000")
            .env("VERITAS_LIMITS_FAILED_TOKENS_PER_SECOND", "100000")
            .env("VERITAS_LIMITS_FAILED_TOKENS_BURST", "100000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", binary().display()))?;
        let mut server = Self { child, data, url: String::new() };
        server.url = server.wait_for_address()?;
        Ok(server)
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a token of `role`.
    pub(crate) fn token(&self, role: &str) -> anyhow::Result<String> {
        let arguments =
            ["token", "create", "--subject", "xtask", "--ttl", "2h", "--role", role, "--data-dir"];
        Ok(output_of(Command::new(binary()).args(arguments).arg(&self.data))?.trim().to_owned())
    }

    /// Asks it to stop, as an operator does, and checks that it exits 0.
    ///
    /// # Errors
    ///
    /// When it crashed before, does not stop, or exits with something else.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended on its own with {status}:\n{}", self.log());
        }
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let asked_at = now();
        while asked_at.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    bail!("the server exits with {status}:\n{}", self.log())
                };
            }
            pause();
        }
        bail!("the server does not stop within {PATIENCE:?} of SIGTERM:\n{}", self.log())
    }

    fn wait_for_address(&mut self) -> anyhow::Result<String> {
        let started_at = now();
        while started_at.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once with {status}:\n{}", self.log());
            }
            if let Some(address) = address(&self.data) {
                return Ok(format!("http://{address}"));
            }
            pause();
        }
        bail!("the server writes no address within {PATIENCE:?}:\n{}", self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }
}

/// Reads the address file, with or without the scheme.
fn address(data: &Path) -> Option<String> {
    let text = fs::read_to_string(data.join("address")).ok()?;
    let address = text.trim().trim_start_matches("http://").to_owned();
    (!address.is_empty()).then_some(address)
}

#[expect(clippy::disallowed_methods, reason = "a foreign process tells nobody that it is up")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.data).ok();
    }
}
