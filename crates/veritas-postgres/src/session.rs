//! A conversation with a server: blocking, each call under a deadline, read-only unless asked otherwise.
//!
//! The threads of the engine are plain threads, so a [`Session`] owns a small runtime and
//! drives its connection only while a call waits. Nothing of it may be used on a thread
//! that is inside of a runtime already.
//!
//! What protects the server from us, set when the connection starts and therefore in
//! force from its first statement on: `default_transaction_read_only`,
//! `statement_timeout`, `lock_timeout` and `idle_in_transaction_session_timeout`. What
//! protects us from the server: a deadline on our side. Past it a cancel request is
//! sent, the connection is dropped, and the session is lost: whoever wants to go on
//! connects again.

mod error;
mod options;
mod tls;

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Client, Connection, Row, SimpleQueryMessage,
    types::{ToSql, Type},
};

pub use error::SessionError;
pub use options::ConnectOptions;

use self::tls::Encryption;

/// How much longer than the server's own limit a call waits before it gives up.
const GRACE: Duration = Duration::from_secs(2);
/// How long a call waits where the server has no limit, until [`Session::within`] says otherwise.
const UNLIMITED: Duration = Duration::from_secs(7);
/// How long the request to cancel a statement may take.
const CANCEL: Duration = Duration::from_secs(2);

/// A connection to a server. Dropping it closes the connection at once.
///
/// ```no_run
/// use veritas_postgres::session::{ConnectOptions, Session};
///
/// let mut session = Session::connect(&ConnectOptions::new("postgresql://veritas@db/shop"))?;
/// for row in session.query("SELECT relname FROM pg_class WHERE reltuples > $1::float4 LIMIT 10", &[&1e6_f32])? {
///     println!("{}", row.get::<_, String>(0));
/// }
/// # Ok::<(), veritas_postgres::session::SessionError>(())
/// ```
pub struct Session {
    /// `None` once the connection is lost.
    link: Option<Link>,
    version: u32,
    version_text: String,
    deadline: Duration,
    /// What `deadline` was at first.
    usual: Duration,
}

/// What there is while there is a connection.
struct Link {
    runtime: Runtime,
    client: Arc<Client>,
    cancel: CancelToken,
    encryption: Encryption,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, deadline, .. } = self;
        formatter
            .debug_struct("Session")
            .field("version", version)
            .field("deadline", deadline)
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects for reading: every transaction is read-only unless it says otherwise.
    /// Waits for `connect_timeout` at most.
    ///
    /// # Errors
    ///
    /// [`SessionError::Options`] and [`SessionError::PasswordFile`] before anything is
    /// sent, [`SessionError::Unreachable`], [`SessionError::Denied`],
    /// [`SessionError::Refused`] and [`SessionError::TimedOut`] by what happens then.
    pub fn connect(options: &ConnectOptions) -> Result<Self, SessionError> {
        Self::open(options, true)
    }

    /// Connects for writing: for changes, and for databases of our own.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_writing(options: &ConnectOptions) -> Result<Self, SessionError> {
        Self::open(options, false)
    }

    fn open(options: &ConnectOptions, read_only: bool) -> Result<Self, SessionError> {
        let (config, encryption) = options.config(read_only)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(SessionError::Runtime)?;
        // The timer belongs to the runtime, so it is made inside.
        let connecting = async { timeout(options.connect_timeout, tls::connect(&config, &encryption)).await };
        let connected = match runtime.block_on(connecting) {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(SessionError::of_connecting(&error)),
            Err(_) => Err(SessionError::TimedOut),
        };
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => {
                // A name that is still being resolved is not waited for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let Some(version) = version_number(&connected.version) else {
            runtime.shutdown_background();
            return Err(SessionError::NotPostgres);
        };
        let (client, driving) = (connected.client, connected.driving);
        let cancel = client.cancel_token();
        drop(runtime.spawn(driving));
        let deadline = if options.statement_timeout.is_zero() {
            UNLIMITED
        } else {
            options.statement_timeout.saturating_add(GRACE)
        };
        let link = Link { runtime, client: Arc::new(client), cancel, encryption };
        Ok(Self { link: Some(link), version, version_text: connected.version, deadline, usual: deadline })
    }

    /// Sets how long the next calls may take on our side, until it is set again.
    /// At first that is two seconds more than the server's own limit.
    pub fn within(&mut self, deadline: Duration) -> &mut Self {
        self.deadline = deadline;
        self
    }

    /// Sets the deadline back to what it was at first.
    pub fn within_default(&mut self) -> &mut Self {
        self.deadline = self.usual;
        self
    }

    /// Returns the version as a number: 150018 is 15.18.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Returns the version in the server's words, without what the packager says (`15.18`).
    pub fn version_text(&self) -> &str {
        self.version_text.split_whitespace().next().unwrap_or_default()
    }

    /// Returns whether the connection is gone. A lost session never comes back.
    pub fn is_lost(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.client.is_closed())
    }

    /// Runs one statement of ours with parameters, and returns its rows, all of them: the
    /// statement must bound them. Prepares it first, which is a round trip more.
    ///
    /// # Errors
    ///
    /// [`SessionError::TimedOut`], [`SessionError::LockNotAvailable`],
    /// [`SessionError::Denied`], [`SessionError::Refused`], [`SessionError::Lost`].
    pub fn query(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, SessionError> {
        let client = self.client()?;
        self.block_on(async { client.query(sql, parameters).await })
    }

    /// Runs one statement with parameters whose types are given: a single round trip,
    /// with nothing prepared.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn query_typed(
        &mut self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, SessionError> {
        let client = self.client()?;
        self.block_on(async { client.query_typed(sql, parameters).await })
    }

    /// Runs one statement of ours that returns no rows, and returns how many it touched.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn execute(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, SessionError> {
        let client = self.client()?;
        self.block_on(async { client.execute(sql, parameters).await })
    }

    /// Runs several statements of ours, separated by semicolons, and throws their rows away.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn batch(&mut self, sql: &str) -> Result<(), SessionError> {
        let client = self.client()?;
        self.block_on(async { client.batch_execute(sql).await })
    }

    /// Runs statements of ours by the simple protocol, and returns their rows as text,
    /// one after the other.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn simple(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SessionError> {
        let client = self.client()?;
        let messages = self.block_on(async { client.simple_query(sql).await })?;
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(messages.iter().filter_map(row).collect())
    }

    /// Returns the client for what has no method here (`COPY`): its futures make
    /// progress inside of [`Self::block_on`] only.
    ///
    /// # Errors
    ///
    /// [`SessionError::Lost`].
    pub fn client(&self) -> Result<Arc<Client>, SessionError> {
        self.link.as_ref().map(|link| Arc::clone(&link.client)).ok_or(SessionError::Lost)
    }

    /// Waits for a future of the client, under the deadline.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    ///
    /// # Panics
    ///
    /// On a thread that is inside of a runtime.
    pub fn block_on<T>(
        &mut self,
        future: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SessionError> {
        let link = self.link.as_ref().ok_or(SessionError::Lost)?;
        // The timer belongs to the runtime, so it is made inside.
        match link.runtime.block_on(async { timeout(self.deadline, future).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = SessionError::of(&error);
                if error == SessionError::Lost || link.client.is_closed() {
                    self.hang_up();
                }
                Err(error)
            }
            Err(_) => {
                let cancelling = tls::cancel(&link.cancel, &link.encryption);
                // Whether it was heard or not, the connection goes.
                drop(link.runtime.block_on(async { timeout(CANCEL, cancelling).await }));
                self.hang_up();
                Err(SessionError::TimedOut)
            }
        }
    }

    fn hang_up(&mut self) {
        if let Some(link) = self.link.take() {
            link.runtime.shutdown_background();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Carries what is said on a connection until it ends. Notices are dropped here: the
/// driver would write them, literals and all, to the log of whoever embeds us.
async fn drive<S, T>(mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {}
}

/// Reads `15.18 (Debian 15.18-0+deb12u1)`, `18beta1` or `16devel` as a number.
fn version_number(text: &str) -> Option<u32> {
    let digits = |text: &str| -> Option<u32> {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok().filter(|number| *number < 10_000)
    };
    let word = text.split_whitespace().next()?;
    let mut parts = word.split('.');
    let major = digits(parts.next()?)?;
    let minor = parts.next().and_then(digits).unwrap_or(0);
    Some(major * 10_000 + minor)
}

/// Quotes a name so that it is that name and nothing else, whatever is in it.
///
/// ```
/// assert_eq!(veritas_postgres::session::ident("odd \"name\""), "\"odd \"\"name\"\"\"");
/// ```
pub fn ident(name: &str) -> String {
    // No name holds a zero byte, and the protocol would end the text there.
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// Quotes a name within its schema.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        let cases = [
            ("15.18 (Debian 15.18-0+deb12u1)", Some(150_018)),
            ("13.0", Some(130_000)),
            ("18beta1", Some(180_000)),
            ("17devel", Some(170_000)),
            ("", None),
            ("bouncer", None),
        ];
        for (text, number) in cases {
            assert_eq!(version_number(text), number, "{text}");
        }
    }

    #[test]
    fn a_name_stays_inside_of_its_quotes() {
        assert_eq!(ident("a\"; DROP TABLE t; --"), "\"a\"\"; DROP TABLE t; --\"");
        assert_eq!(ident("a\0b"), "\"ab\"");
        assert_eq!(qualified("Public", "Order"), "\"Public\".\"Order\"");
    }
}
