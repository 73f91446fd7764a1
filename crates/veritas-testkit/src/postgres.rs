//! A real PostgreSQL of the test's own.
//!
//! `initdb` runs once per machine and version; every server is a copy of that
//! cluster on a private Unix socket, with fsync off; every test gets a database
//! of its own, made from a template.

use std::{
    collections::HashMap,
    fs,
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
const SETTINGS: &str = "
listen_addresses = ''
unix_socket_permissions = 0700
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 32MB
max_connections = 100
max_wal_size = 64MB
log_destination = stderr
logging_collector = off
";

/// The user that owns everything in these servers; no password, the socket is private.
const USER: &str = "postgres";

/// A running PostgreSQL server. Clones share it; it ends with the last clone or
/// [`Database`], and with the test process in any case.
///
/// ```no_run
/// use veritas_testkit::Postgres;
///
/// let database = Postgres::start().database();
/// assert_eq!(database.psql("SELECT 6 * 7"), "42\n");
/// println!("connect to {}", database.url());
/// ```
#[derive(Debug, Clone)]
pub struct Postgres {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    server: Server,
    programs: Programs,
    databases: AtomicU32,
    /// The template database of each schema text.
    templates: Mutex<HashMap<String, String>>,
}

impl Postgres {
    /// Returns the server of this test process, starting it when none is running.
    /// Costs about 0.3 s then, and nothing later.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, naming the setup command, or does not start.
    pub fn start() -> Self {
        static SHARED: Mutex<Weak<Running>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Self { running };
        }
        let postgres = Self::start_alone("");
        *shared = Arc::downgrade(&postgres.running);
        postgres
    }

    /// Starts a server that no other test uses, with further lines of
    /// `postgresql.conf`: for tests that change its settings.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_alone(settings: &str) -> Self {
        let programs = Programs::find();
        let account = Account::unprivileged(&[USER, "nobody"]);
        let template = cluster(&programs, account);
        let directory = must("create a directory", RunDirectory::create(account));
        let data = directory.path().join("data");
        template::copy(&template, &data, account);
        append(&data.join("postgresql.conf"), settings);

        let mut command = Command::new(&programs.server);
        command.arg("-D").arg(&data).arg("-k").arg(directory.path());
        let pid_file = data.join("postmaster.pid");
        let server = Server::start(command, account, directory, Stop::Quit, || is_ready(&pid_file));
        let running = Running { server, programs, databases: AtomicU32::new(0), templates: Mutex::default() };
        Self { running: Arc::new(running) }
    }

    /// Creates an empty database. Costs about 50 ms.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn database(&self) -> Database {
        self.database_from("template1")
    }

    /// Creates a database in which `schema` (any SQL) has been run. The SQL runs
    /// once per server; later databases with the same text are copies.
    ///
    /// # Panics
    ///
    /// When the server refuses the SQL.
    pub fn database_with(&self, schema: &str) -> Database {
        let mut templates = self.running.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let template = templates.entry(schema.to_owned()).or_insert_with(|| {
            let database = self.database();
            database.psql(schema);
            database.name
        });
        self.database_from(template)
    }

    fn database_from(&self, template: &str) -> Database {
        let number = self.running.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.running.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Database { server: self.clone(), name }
    }

    /// Returns the folder of the server's Unix socket (`host` of a libpq connection).
    pub fn socket_dir(&self) -> &Path {
        self.running.server.directory()
    }

    /// Returns the process id of the server (the postmaster).
    pub fn process(&self) -> u32 {
        self.running.server.id()
    }
}

/// A database of one test. It keeps its server running; it goes when the server goes.
#[derive(Debug, Clone)]
pub struct Database {
    server: Postgres,
    name: String,
}

impl Database {
    /// Returns the connection URL, in the form that libpq and tokio-postgres read.
    pub fn url(&self) -> String {
        let socket_dir = self.server.socket_dir().to_string_lossy().replace('/', "%2F");
        format!("postgresql://{USER}@{socket_dir}/{}", self.name)
    }

    /// Returns the database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the user to connect as; there is no password.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// Returns the server.
    pub const fn server(&self) -> &Postgres {
        &self.server
    }

    /// Runs SQL through `psql` and returns its rows: columns separated by `|`, a
    /// line each. For setting a scene; costs a process.
    ///
    /// # Panics
    ///
    /// When a statement fails; the panic shows what the server said.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        self.server.running.psql(&self.name, sql)
    }
}

impl Running {
    #[track_caller]
    fn psql(&self, database: &str, sql: &str) -> String {
        output_of(
            Command::new(&self.programs.client)
                .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
                .args(["--set", "ON_ERROR_STOP=1", "--username", USER, "--dbname", database])
                .arg("--host")
                .arg(self.server.directory())
                .args(["--command", sql]),
        )
    }
}

/// The programs of one PostgreSQL version.
#[derive(Debug)]
struct Programs {
    init: PathBuf,
    server: PathBuf,
    client: PathBuf,
}

impl Programs {
    /// Finds the newest version: Debian keeps each in a folder of its own, off PATH.
    fn find() -> Self {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        let folders: Vec<PathBuf> = versions.into_iter().map(|(_, folder)| folder).collect();
        let find = |program| {
            find_program(program, &folders)
                .unwrap_or_else(|| panic!("PostgreSQL's {program} is not installed; {SETUP}"))
        };
        Self { init: find("initdb"), server: find("postgres"), client: find("psql") }
    }
}

/// Returns the cluster that servers are copies of, making it when there is none yet.
fn cluster(programs: &Programs, account: Account) -> PathBuf {
    let version = output_of(Command::new(&programs.server).arg("--version"));
    let version: String =
        version.chars().filter(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    // Part of the name is everything that the cluster's content depends on.
    let content = veritas_model::stable_hash(SETTINGS.as_bytes());
    template::directory(&format!("cluster-{version}-{content:016x}"), account, |path| {
        output_of(
            account.run(
                Command::new(&programs.init)
                    .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--wal-segsize=1"])
                    .args(["--username", USER, "--pgdata"])
                    .arg(path)
                    .current_dir(path.parent().unwrap_or(path)),
            ),
        );
        append(&path.join("postgresql.conf"), SETTINGS);
    })
}

/// The last line of `postmaster.pid` says `ready` once connections are accepted.
fn is_ready(pid_file: &Path) -> bool {
    fs::read_to_string(pid_file)
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|status| status.trim() == "ready"))
}

fn append(path: &Path, text: &str) {
    let before = must("read the settings", fs::read_to_string(path));
    must("write the settings", fs::write(path, format!("{before}\n{text}\n")));
}
