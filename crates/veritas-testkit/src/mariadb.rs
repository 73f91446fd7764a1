//! A real `MariaDB` of the test's own, on a private Unix socket.
//!
//! `mariadb-install-db` runs once per machine and version; every server is a copy of
//! that directory, with nothing flushed; `performance_schema` counts statements.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    account::Account,
    server::{RunDirectory, SETUP, Server, Stop, find_program, output_of},
    template::{self, must},
};

/// Nothing survives a crash of these servers, and nothing needs to.
const SETTINGS: [&str; 17] = [
    "--skip-networking",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-stats-persistent=ON",
    "--innodb-fast-shutdown=2",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--max-connections=50",
    "--performance-schema=ON",
    "--performance-schema-consumer-statements-digest=ON",
    "--performance-schema-consumer-events-statements-current=ON",
    "--performance-schema-instrument=statement/%=ON",
];

/// The user that owns everything in these servers; no password, the socket is private.
const USER: &str = "root";

/// A running `MariaDB` server. Clones share it; it ends with the last clone or
/// [`MariaDatabase`], and with the test process in any case.
///
/// ```no_run
/// use veritas_testkit::MariaDb;
///
/// let database = MariaDb::start().database();
/// assert_eq!(database.sql("SELECT 6 * 7"), "42\n");
/// println!("connect to {}", database.url());
/// ```
#[derive(Debug, Clone)]
pub struct MariaDb {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    server: Server,
    socket: PathBuf,
    client: PathBuf,
    databases: AtomicU32,
}

impl MariaDb {
    /// Returns the server of this test process, starting it when none is running.
    /// Costs about half a second then, and nothing later.
    ///
    /// # Panics
    ///
    /// When `MariaDB` is not installed, naming the setup command, or does not start.
    pub fn start() -> Self {
        static SHARED: Mutex<Weak<Running>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Self { running };
        }
        let server = Self::start_alone(&[]);
        *shared = Arc::downgrade(&server.running);
        server
    }

    /// Starts a server that no other test uses, with further options, as its command
    /// line takes them (`["--long-query-time=0"]`).
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_alone(options: &[&str]) -> Self {
        let account = Account::unprivileged(&["mysql", "nobody"]);
        let program = program("mariadbd");
        let template = installed(&program, account);
        let directory = must("create a directory", RunDirectory::create(account));
        let data = directory.path().join("data");
        template::copy(&template, &data, account);

        let socket = directory.path().join("mariadb.sock");
        let mut command = Command::new(program);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", directory.path().join("mariadb.pid").display()))
            .arg(format!("--tmpdir={}", directory.path().display()))
            .args(SETTINGS)
            .args(options);
        let server =
            Server::start(command, account, directory, Stop::Kill, || UnixStream::connect(&socket).is_ok());
        let client = self::program("mariadb");
        Self { running: Arc::new(Running { server, socket, client, databases: AtomicU32::new(0) }) }
    }

    /// Creates an empty database.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn database(&self) -> MariaDatabase {
        let number = self.running.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.running.sql("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        MariaDatabase { server: self.clone(), name }
    }

    /// Returns the path of the server's Unix socket.
    pub fn socket(&self) -> &Path {
        &self.running.socket
    }

    /// Returns the process id of the server.
    pub fn process(&self) -> u32 {
        self.running.server.id()
    }
}

/// A database of one test. It keeps its server running; it goes when the server goes.
#[derive(Debug, Clone)]
pub struct MariaDatabase {
    server: MariaDb,
    name: String,
}

impl MariaDatabase {
    /// Returns the connection URL: `mysql://root@localhost/test_0?socket=…`, which the
    /// crate `mysql` reads when `prefer_socket` is left as it is.
    pub fn url(&self) -> String {
        self.url_as(USER)
    }

    /// Returns the connection URL for another user without a password.
    pub fn url_as(&self, user: &str) -> String {
        let socket = self.server.socket().to_string_lossy().replace('/', "%2F");
        format!("mysql://{user}@localhost/{}?socket={socket}", self.name)
    }

    /// Creates a user without a password, and runs `grants`, in which `{user}` stands for its
    /// account (`'test_0_reader'@'localhost'`). Returns its name.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[track_caller]
    pub fn user(&self, name: &str, grants: &str) -> String {
        let user = format!("{}_{name}", self.name);
        let account = format!("'{user}'@'localhost'");
        self.sql(&format!("CREATE USER {account}; {}", grants.replace("{user}", &account)));
        user
    }

    /// Returns the database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the server.
    pub const fn server(&self) -> &MariaDb {
        &self.server
    }

    /// Runs SQL through the client and returns its rows: columns separated by tabs, a
    /// line each, without heads. For setting a scene; costs a process.
    ///
    /// # Panics
    ///
    /// When a statement fails; the panic shows what the server said.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.server.running.sql(&self.name, sql)
    }
}

impl Running {
    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        output_of(
            Command::new(&self.client)
                .args(["--no-defaults", "--batch", "--skip-column-names", "--user", USER])
                .arg(format!("--socket={}", self.socket.display()))
                .args(["--execute", sql, database]),
        )
    }
}

/// Finds a program of `MariaDB`; servers are in `sbin`, which is not on everybody's PATH.
fn program(name: &str) -> PathBuf {
    find_program(name, &["/usr/sbin".into()]).unwrap_or_else(|| panic!("{name} is not installed; {SETUP}"))
}

/// Returns the data directory that servers are copies of, making it when there is none yet.
fn installed(server: &Path, account: Account) -> PathBuf {
    let version = output_of(Command::new(server).arg("--version"));
    let content = veritas_model::stable_hash(version.as_bytes());
    template::directory(&format!("mariadb-{content:016x}"), account, |path| {
        let installer = program("mariadb-install-db");
        output_of(
            account.run(
                Command::new(installer)
                    .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                    .args(["--skip-test-db", "--innodb-log-file-size=8M"])
                    .arg(format!("--datadir={}", path.display()))
                    .current_dir(path.parent().unwrap_or(path)),
            ),
        );
    })
}
