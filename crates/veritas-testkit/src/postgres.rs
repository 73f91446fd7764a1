//! A real PostgreSQL of the test's own.
//!
//! `initdb` runs once per machine and version; every server is a copy of that
//! cluster on a private Unix socket, with fsync off; every test gets a database
//! of its own, made from a template. `pg_stat_statements` counts in all of them.

mod database;
mod frozen;
mod programs;
mod tcp;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    Upstream,
    account::Account,
    port::Port,
    server::{RunDirectory, Server, Stop, output_of},
    template::{self, must},
};

use self::programs::Programs;
pub use self::{database::Database, frozen::Frozen};

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
shared_preload_libraries = 'pg_stat_statements'
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
    /// `None` between [`Postgres::stop`] or [`Postgres::kill`] and [`Postgres::restart`].
    server: Mutex<Option<Server>>,
    account: Account,
    programs: Programs,
    databases: AtomicU32,
    /// The template database of each schema text.
    templates: Mutex<HashMap<String, String>>,
    port: Option<Port>,
    /// Last, so that it goes after the server.
    directory: Arc<RunDirectory>,
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
    /// `postgresql.conf`: for tests that change its settings, stop it, or count on
    /// what it counts.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_alone(settings: &str) -> Self {
        Self::launch(None, |programs, account, data| {
            template::copy(&programs.cluster(account), data, account);
            append(&data.join("postgresql.conf"), settings);
        })
    }

    /// Starts a replica that follows this server. It becomes a server of its own by
    /// `SELECT pg_promote()`. Costs about a second.
    ///
    /// # Panics
    ///
    /// When this server is not running, or the replica does not start.
    pub fn replica(&self) -> Self {
        Self::launch(None, |programs, account, data| {
            let mut command = Command::new(&programs.copier);
            command
                .args(["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"])
                .args(["--username", USER, "--host"])
                .arg(self.socket_dir())
                .arg("--pgdata")
                .arg(data)
                .current_dir(data.parent().unwrap_or(data));
            output_of(account.run(&mut command));
        })
    }

    /// Starts a server in a directory that `fill` fills.
    fn launch(port: Option<Port>, fill: impl FnOnce(&Programs, Account, &Path)) -> Self {
        let programs = Programs::find();
        let account = Account::unprivileged(&[USER, "nobody"]);
        let directory = Arc::new(must("create a directory", RunDirectory::create(account)));
        fill(&programs, account, &directory.path().join("data"));
        let running = Running {
            server: Mutex::new(None),
            account,
            programs,
            databases: AtomicU32::new(0),
            templates: Mutex::default(),
            port,
            directory,
        };
        let postgres = Self { running: Arc::new(running) };
        postgres.restart();
        postgres
    }

    /// Ends the server as an operator does: connections are cut, what was committed
    /// stays. Whoever connects is refused until [`Self::restart`]. Does nothing when it
    /// is not running.
    pub fn stop(&self) {
        let server = self.server().take();
        if let Some(server) = server {
            server.end(Stop::Interrupt);
        }
    }

    /// Ends the server at once, as a crash does: what was committed within the last
    /// moments may be lost, since these servers do not wait for their log.
    pub fn kill(&self) {
        let server = self.server().take();
        drop(server);
    }

    /// Starts the server again on the same socket. Does nothing when it is running.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&self) {
        let mut server = self.server();
        if server.is_some() {
            return;
        }
        let running = &self.running;
        let data = running.directory.path().join("data");
        let pid_file = data.join("postmaster.pid");
        // A crash leaves it, with a status that is not the new server's.
        fs::remove_file(&pid_file).ok();
        let mut command = Command::new(&running.programs.server);
        command.arg("-D").arg(&data).arg("-k").arg(running.directory.path());
        if let Some(port) = &running.port {
            command.args(["-c", "listen_addresses=127.0.0.1", "-p"]).arg(port.number().to_string());
        }
        let directory = Arc::clone(&running.directory);
        *server =
            Some(Server::start(command, running.account, directory, Stop::Quit, || is_ready(&pid_file)));
    }

    /// Makes the server hang until the returned guard is dropped: it accepts
    /// connections, and answers nobody.
    ///
    /// # Panics
    ///
    /// When it is not running.
    pub fn freeze(&self) -> Frozen {
        Frozen::of(self.process())
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
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Database { server: self.clone(), name }
    }

    /// Returns the folder of the server's Unix socket (`host` of a libpq connection).
    pub fn socket_dir(&self) -> &Path {
        self.running.directory.path()
    }

    /// Returns the process id of the server (the postmaster).
    ///
    /// # Panics
    ///
    /// When it was ended.
    pub fn process(&self) -> u32 {
        self.server().as_ref().map_or_else(|| panic!("this PostgreSQL was ended"), Server::id)
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.running.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Postgres> for Upstream {
    fn from(postgres: &Postgres) -> Self {
        Self::Unix(postgres.socket_dir().join(format!(".s.PGSQL.{}", postgres.port())))
    }
}

/// The last line of `postmaster.pid` says `ready`, or of a replica `standby`, once
/// connections are accepted.
fn is_ready(pid_file: &Path) -> bool {
    fs::read_to_string(pid_file).is_ok_and(|text| {
        text.lines().nth(7).is_some_and(|status| ["ready", "standby"].contains(&status.trim()))
    })
}

fn append(path: &Path, text: &str) {
    let before = must("read the settings", fs::read_to_string(path));
    must("write the settings", fs::write(path, format!("{before}\n{text}\n")));
}
