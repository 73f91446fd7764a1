//! The process that is killed.

use std::{
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use veritas::store::DataDir;

/// How long the service may take to listen; the first start fills the database.
const TO_LISTEN: Duration = Duration::from_mins(2);
/// How long it may take to stop when it is asked to.
const TO_STOP: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A running stage; killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    address: PathBuf,
}

impl Child {
    /// Starts this binary's stage in `place`; what it says is appended to its log there.
    pub(super) fn start(place: &Path, seed: u64, measures: bool) -> anyhow::Result<Self> {
        let address = DataDir::address_path_in(&place.join("veritas"));
        // The one that was killed could not take its address away.
        match std::fs::remove_file(&address) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = OpenOptions::new().create(true).append(true).open(log(place))?;
        let process = Command::new(std::env::current_exe()?)
            .args(["prove", "stage", "--seed", &seed.to_string(), "--data-dir"])
            .arg(place)
            .args(measures.then_some("--measure"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("failed to start the service")?;
        Ok(Self { process, address })
    }

    /// Waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends by itself: a data directory that does not open, for one.
    pub(super) async fn address(&mut self) -> anyhow::Result<SocketAddr> {
        let listening = async {
            loop {
                if let Some(status) = self.process.try_wait()? {
                    bail!("the service does not start: {status}");
                }
                let text = std::fs::read_to_string(&self.address).unwrap_or_default();
                if let Some(address) = text.strip_suffix('\n') {
                    return Ok(address.parse()?);
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        };
        tokio::time::timeout(TO_LISTEN, listening).await.context("the service does not listen")?
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    ///
    /// When it had ended by itself.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the service ended before it was killed: {status}");
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        let stopped = async {
            loop {
                match self.process.try_wait()? {
                    Some(status) if status.success() => return Ok(()),
                    Some(status) => bail!("the service ended with {status}"),
                    None => tokio::time::sleep(BETWEEN_LOOKS).await,
                }
            }
        };
        tokio::time::timeout(TO_STOP, stopped).await.context("the service does not stop")?
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn log(place: &Path) -> PathBuf {
    place.join("stage.log")
}

/// Returns what the service said last.
pub(super) fn end_of_log(place: &Path) -> String {
    let text = std::fs::read_to_string(log(place)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
