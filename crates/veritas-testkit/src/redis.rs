//! A real Redis of the test's own, on a private Unix socket, without persistence.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    account::Account,
    server::{RunDirectory, SETUP, Server, Stop, find_program, output_of},
};

/// A running Redis server. It ends when it is dropped, and with the test process in any case.
///
/// ```no_run
/// use veritas_testkit::Redis;
///
/// let redis = Redis::start();
/// assert_eq!(redis.cli(&["PING"]), "PONG\n");
/// println!("connect to {}", redis.url());
/// ```
#[derive(Debug)]
pub struct Redis {
    server: Server,
    socket: PathBuf,
    client: PathBuf,
}

impl Redis {
    /// Starts an empty server. Costs about 70 ms.
    ///
    /// # Panics
    ///
    /// When Redis is not installed, naming the setup command, or does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty server with further settings, as its command line takes
    /// them (`["--maxmemory", "10mb"]`).
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_with(settings: &[&str]) -> Self {
        let find = |program| {
            find_program(program, &[]).unwrap_or_else(|| panic!("{program} is not installed; {SETUP}"))
        };
        let client = find("redis-cli");
        let account = Account::unprivileged(&["nobody"]);
        let directory = match RunDirectory::create(account) {
            Ok(directory) => directory,
            Err(error) => panic!("failed to create a directory: {error}"),
        };
        let socket = directory.path().join("redis.sock");
        let mut command = Command::new(find("redis-server"));
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocketperm", "700"]);
        command.arg("--unixsocket").arg(&socket).arg("--dir").arg(directory.path()).args(settings);
        let server =
            Server::start(command, account, directory, Stop::Kill, || UnixStream::connect(&socket).is_ok());
        Self { server, socket, client }
    }

    /// Returns the path of the server's Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the connection URL, in the form that the `redis` crate and redis-py read.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Returns the process id of the server.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// Runs one command through `redis-cli` and returns what it prints. For setting
    /// a scene; costs a process.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    #[track_caller]
    pub fn cli(&self, command: &[&str]) -> String {
        output_of(Command::new(&self.client).arg("-s").arg(&self.socket).args(command))
    }
}
