//! The binary as a process, and HTTP as bytes on a socket.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use veritas_testkit::wait_for;

/// Everything here is over long before; a hanging test is a failing one.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The binary, with nothing of this shell's configuration.
pub(crate) fn veritas(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veritas"));
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    veritas(directory).args(arguments).output().unwrap()
}

/// A running `veritas serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Server {
    /// Starts it on a free port with `data` in `directory` as its data directory.
    pub(crate) fn start(directory: &Path, extra: &[&str]) -> Self {
        let mut child = veritas(directory)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"])
            .args(extra)
            // Tests wait for values by asking again and again.
            .env("VERITAS_LIMITS_REQUESTS_PER_SECOND", "100000")
            .env("VERITAS_LIMITS_BURST", "100000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it stopped: {seen}");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
            seen.push_str(&line);
        };
        Self { child, address, stderr }
    }

    pub(crate) fn token(directory: &Path, role: &str) -> String {
        let output =
            run(directory, &["token", "create", "--subject", "test", "--role", role, "--data-dir", "data"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        request(self.address, "GET", path, token)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(PATIENCE, || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends one request on a connection of its own; returns the status and the body.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n{authorization}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
