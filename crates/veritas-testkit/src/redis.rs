//! A real Redis of the test's own: on a private Unix socket, or on a loopback port
//! besides, without persistence.

mod cluster;
mod sentinel;

use std::{
    ffi::{OsStr, OsString},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    account::Account,
    port::Port,
    server::{RunDirectory, SETUP, Server, Stop, find_program, output_of},
};

pub use cluster::{RedisCluster, SlotMove};
pub use sentinel::RedisSentinel;

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
    /// `None` between [`Self::kill`] and [`Self::restart`].
    server: Mutex<Option<Server>>,
    directory: Arc<RunDirectory>,
    account: Account,
    arguments: Vec<OsString>,
    socket: PathBuf,
    port: Option<Port>,
    client: PathBuf,
}

impl Redis {
    /// Starts an empty server on a private Unix socket. Costs about 70 ms.
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
        Self::launch(None, &[], settings)
    }

    /// Starts an empty server that listens on a free loopback port too, which stays
    /// its own while it is killed and restarted.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_tcp() -> Self {
        Self::start_tcp_with(&[])
    }

    /// Starts an empty server on a free loopback port, with further settings.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_tcp_with(settings: &[&str]) -> Self {
        Self::launch(Some(Port::reserve()), &[], settings)
    }

    /// Starts a server: `files` are written into its directory first, and one that is
    /// called `server.conf` is its configuration.
    fn launch(port: Option<Port>, files: &[(&str, &str)], settings: &[&str]) -> Self {
        let account = Account::unprivileged(&["nobody"]);
        let directory = match RunDirectory::create(account) {
            Ok(directory) => Arc::new(directory),
            Err(error) => panic!("failed to create a directory: {error}"),
        };
        let mut arguments = Vec::new();
        for (name, text) in files {
            let path = directory.path().join(name);
            let written = std::fs::write(&path, text)
                .and_then(|()| std::os::unix::fs::chown(&path, Some(account.uid), Some(account.gid)));
            if let Err(error) = written {
                panic!("failed to write {}: {error}", path.display());
            }
            if *name == "server.conf" {
                arguments.push(path.into_os_string());
            }
        }
        let socket = directory.path().join("redis.sock");
        let number = port.as_ref().map_or(0, Port::number).to_string();
        let fixed = ["--bind", "127.0.0.1", "--port", &number, "--unixsocketperm", "700"];
        arguments.extend(fixed.map(OsString::from));
        arguments.extend(["--unixsocket".into(), socket.clone().into_os_string()]);
        arguments.extend(["--dir".into(), directory.path().as_os_str().to_owned()]);
        if !settings.contains(&"--sentinel") {
            arguments.extend(["--save", "", "--appendonly", "no"].map(OsString::from));
        }
        arguments.extend(settings.iter().map(OsString::from));
        let server = Mutex::new(None);
        let client = program("redis-cli");
        let redis = Self { server, directory, account, arguments, socket, port, client };
        redis.restart();
        redis
    }

    /// Ends the server at once, as `kill -9` does. Whoever connects is refused until
    /// [`Self::restart`]. Does nothing when it is not running.
    pub fn kill(&self) {
        let ended = self.running().take();
        drop(ended);
    }

    /// Starts the server again on the same socket and port, empty. Does nothing when
    /// it is running.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&self) {
        let mut running = self.running();
        if running.is_some() {
            return;
        }
        std::fs::remove_file(&self.socket).ok();
        let mut command = Command::new(program("redis-server"));
        command.args(&self.arguments);
        // It listens on the port first, and may be held up before it does on the socket.
        let ready = || {
            self.address().is_none_or(|address| TcpStream::connect(address).is_ok())
                && UnixStream::connect(&self.socket).is_ok()
        };
        let directory = Arc::clone(&self.directory);
        *running = Some(Server::start(command, self.account, directory, Stop::Kill, ready));
    }

    /// Returns the path of the server's Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the address of the server's port, if it was started with one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.as_ref().map(Port::address)
    }

    /// Returns the connection URL, in the form that the `redis` crate and redis-py
    /// read: `redis://127.0.0.1:PORT` of a server with a port, else `unix://PATH`.
    pub fn url(&self) -> String {
        match self.address() {
            Some(address) => format!("redis://{address}"),
            None => format!("unix://{}", self.socket.display()),
        }
    }

    /// Returns the process id of the server.
    ///
    /// # Panics
    ///
    /// When it was killed.
    pub fn process(&self) -> u32 {
        self.running().as_ref().map_or_else(|| panic!("this Redis was killed"), Server::id)
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

    fn running(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of a server that was started with a port.
    fn port_address(&self) -> SocketAddr {
        self.address().unwrap_or_else(|| panic!("this Redis has no port"))
    }
}

fn program(name: impl AsRef<OsStr>) -> PathBuf {
    let name = name.as_ref().to_string_lossy();
    find_program(&name, &[]).unwrap_or_else(|| panic!("{name} is not installed; {SETUP}"))
}
