//! A conversation with a server: blocking, each statement under a limit, read-only unless asked otherwise.
//!
//! Set before the first statement: `SET SESSION TRANSACTION READ ONLY`, a limit for
//! statements (`max_statement_time`, in `MySQL` `max_execution_time`), limits for locks.
//! On our side the socket has a time-out a little above: past it the connection is gone.

mod error;

use std::{fmt, path::PathBuf, time::Duration};

use mysql::{Conn, Opts, OptsBuilder, Params, Row, Value, prelude::Queryable as _};
use veritas_database::server::Engine;

pub use error::SessionError;

/// How much longer than the server's own limit we wait.
const GRACE: Duration = Duration::from_secs(2);

/// What a session is opened with. Printing it shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The URL: `mysql://user@host:3306/database` (or `mariadb://…`), with `?socket=PATH` for
    /// a Unix socket.
    pub url: String,
    /// The file that holds the password, used where the URL has none.
    pub password_file: Option<PathBuf>,
    /// How long the server works on one statement.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock; the server counts whole seconds.
    pub lock_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl ConnectOptions {
    /// Makes options with our limits: statements 5 s, locks 1 s, connecting 5 s.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
        }
    }

    fn understood(&self) -> Result<OptsBuilder, SessionError> {
        // The driver knows one of the names that the two servers' URLs begin with.
        let url = match self.url.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => self.url.clone(),
        };
        let opts = Opts::from_url(&url).map_err(|_| SessionError::Options)?;
        let mut builder = OptsBuilder::from_opts(opts.clone());
        if let Some(path) = self.password_file.as_deref().filter(|_| opts.get_pass().is_none()) {
            let text = std::fs::read_to_string(path).map_err(|error| SessionError::PasswordFile {
                path: path.to_path_buf(),
                reason: error.to_string(),
            })?;
            builder = builder.pass(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        let patience = Some(self.statement_timeout.saturating_add(GRACE));
        Ok(builder
            .tcp_connect_timeout(Some(self.connect_timeout))
            .read_timeout(patience)
            .write_timeout(patience)
            .stmt_cache_size(0))
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        formatter
            .debug_struct("ConnectOptions")
            .field("password_file", &self.password_file)
            .field("statement_timeout", &self.statement_timeout)
            .finish_non_exhaustive()
    }
}

/// One row: every column as text, `None` where it is null.
pub type Texts = Vec<Option<String>>;

/// A connection to a server. Dropping it closes the connection.
pub struct Session {
    connection: Conn,
    engine: Engine,
    version: String,
    database: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, version, database, .. } = self;
        formatter
            .debug_struct("Session")
            .field("engine", engine)
            .field("version", version)
            .field("database", database)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects for reading.
    ///
    /// # Errors
    ///
    /// [`SessionError::Options`] and [`SessionError::PasswordFile`] before anything is
    /// sent, the others by what happens then.
    pub fn connect(options: &ConnectOptions) -> Result<Self, SessionError> {
        Self::open(options, true)
    }

    /// Connects for writing: for schemas of our own.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_writing(options: &ConnectOptions) -> Result<Self, SessionError> {
        Self::open(options, false)
    }

    fn open(options: &ConnectOptions, read_only: bool) -> Result<Self, SessionError> {
        let mut connection = Conn::new(options.understood()?).map_err(|error| SessionError::of(&error))?;
        let identity = "SELECT VERSION(), COALESCE(DATABASE(), '')";
        let row: Option<(String, String)> =
            connection.query_first(identity).map_err(|error| SessionError::of(&error))?;
        let (full, database) = row.ok_or(SessionError::Lost)?;
        let engine = if full.contains("MariaDB") { Engine::MariaDb } else { Engine::MySql };
        let version = full.split('-').next().unwrap_or_default().to_owned();
        let mut session = Self { connection, engine, version, database };
        let limit = match engine {
            Engine::MySql => {
                format!("SET SESSION max_execution_time = {}", options.statement_timeout.as_millis().max(1))
            }
            _ => format!(
                "SET SESSION max_statement_time = {:.3}",
                options.statement_timeout.as_secs_f64().max(0.001)
            ),
        };
        session.run(&limit)?;
        let locks = options.lock_timeout.as_secs().max(1);
        session
            .run(&format!("SET SESSION lock_wait_timeout = {locks}, innodb_lock_wait_timeout = {locks}"))?;
        if read_only {
            session.run("SET SESSION TRANSACTION READ ONLY")?;
        }
        Ok(session)
    }

    /// Returns which server it is.
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// Returns its version (`10.11.6`).
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the database that the URL names; empty when it names none.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Runs one statement of ours and throws its rows away.
    ///
    /// # Errors
    ///
    /// Every kind but those of connecting.
    pub fn run(&mut self, sql: &str) -> Result<(), SessionError> {
        // To the last row: the server may refuse after the first ones.
        let mut rows = self.connection.query_iter(sql).map_err(|error| SessionError::of(&error))?;
        rows.try_for_each(|row| row.map(drop)).map_err(|error| SessionError::of(&error))
    }

    /// Runs one statement of ours and returns its rows, all of them: it must bound them.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn query(&mut self, sql: &str) -> Result<Vec<Texts>, SessionError> {
        let rows: Vec<Row> = self.connection.query(sql).map_err(|error| SessionError::of(&error))?;
        Ok(rows.into_iter().map(texts).collect())
    }

    /// Runs one statement with values in place of its `?`, as a prepared statement: what
    /// is more than one statement is refused by the server.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn query_with(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Texts>, SessionError> {
        let parameters = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let rows: Vec<Row> =
            self.connection.exec(sql, parameters).map_err(|error| SessionError::of(&error))?;
        Ok(rows.into_iter().map(texts).collect())
    }
}

fn texts(row: Row) -> Texts {
    row.unwrap_raw().into_iter().map(|value| value.and_then(text)).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// Quotes a name so that it is that name and nothing else, whatever is in it.
///
/// ```
/// assert_eq!(veritas_mysql::session::ident("odd `name`"), "`odd ``name```");
/// ```
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('\0', "").replace('`', "``"))
}

/// Quotes a name within its schema.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}
