//! How to connect: where to, as whom, with which limits.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use tokio_postgres::{Config, config::Host};

use super::{
    SessionError,
    tls::{Encryption, encryption},
};

/// What a session is opened with. Printing it shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The URL, in the form that libpq reads: `postgresql://user@host:5432/database`, or
    /// with the folder of a Unix socket, percent-encoded, as host. `sslmode` may also be
    /// `verify-ca` or `verify-full`; all certificates are checked in full.
    pub url: String,
    /// The file that holds the password, used where the URL has none.
    pub password_file: Option<PathBuf>,
    /// How long the server works on one statement; zero is without end, and
    /// [`Self::AS_CONFIGURED`] is what the server has for the role.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock; as above.
    pub lock_timeout: Duration,
    /// How long the server keeps a transaction that says nothing; as above.
    pub idle_in_transaction_timeout: Duration,
    /// How long connecting may take, log-in included.
    pub connect_timeout: Duration,
    /// A file of root certificates (PEM) to trust in place of the public ones; the URL's
    /// `sslrootcert` says the same.
    pub root_certificates: Option<PathBuf>,
}

impl ConnectOptions {
    /// A limit that is left as the server has it for the role, instead of one of ours.
    pub const AS_CONFIGURED: Duration = Duration::MAX;

    /// Makes options with our limits: statements 5 s, locks 100 ms, silent transactions
    /// 30 s, connecting 5 s.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_millis(100),
            idle_in_transaction_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            root_certificates: None,
        }
    }

    /// Returns the same server and user with another database.
    ///
    /// # Errors
    ///
    /// [`SessionError::Options`] when the URL is not understood.
    pub fn in_database(&self, database: &str) -> Result<Self, SessionError> {
        let _understood = self.parsed()?;
        let (front, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (scheme, rest) = front.split_once("://").ok_or(SessionError::Options { reason: NO_URL })?;
        // A path never begins inside of the credentials: a slash in them is encoded.
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("dbname="));
        let kept = kept.collect::<Vec<_>>().join("&");
        let mark = if kept.is_empty() { "" } else { "?" };
        let url = format!("{scheme}://{authority}/{}{mark}{kept}", percent_encoded(database));
        Ok(Self { url, ..self.clone() })
    }

    /// Returns where it connects to, without credentials: `db.example.org:5432/shop`.
    ///
    /// # Errors
    ///
    /// [`SessionError::Options`] when the URL is not understood.
    pub fn address(&self) -> Result<String, SessionError> {
        let (config, _) = self.parsed()?;
        let ports = config.get_ports();
        let host = |(index, host): (usize, &Host)| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(folder) => folder.display().to_string(),
            }
        };
        let hosts = config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(",");
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        Ok(format!("{hosts}/{database}"))
    }

    /// Returns the user that is logged in as, where the URL names one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Options`] when the URL is not understood.
    pub fn user(&self) -> Result<Option<String>, SessionError> {
        Ok(self.parsed()?.0.get_user().map(str::to_owned))
    }

    /// Reads the URL; no error says what is in it.
    fn parsed(&self) -> Result<(Config, Option<PathBuf>), SessionError> {
        if !self.url.starts_with("postgresql://") && !self.url.starts_with("postgres://") {
            return Err(SessionError::Options { reason: NO_URL });
        }
        let (url, roots) = without_certificates(&self.url);
        let config = Config::from_str(&url).map_err(|_| SessionError::Options { reason: NO_URL })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(SessionError::Options { reason: "the URL names no host" });
        }
        Ok((config, self.root_certificates.clone().or(roots)))
    }

    /// Returns what the driver is told.
    pub(super) fn config(&self, read_only: bool) -> Result<(Config, Encryption), SessionError> {
        let (mut config, roots) = self.parsed()?;
        let encryption = encryption(config.get_ssl_mode(), roots.as_deref())
            .map_err(|reason| SessionError::Options { reason })?;
        if let Some(path) = self.password_file.as_deref().filter(|_| config.get_password().is_none()) {
            let _password = config.password(password(path)?);
        }
        let limits = [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction_timeout),
        ];
        // The last one counts, so ours come after those of the URL.
        let mut options = config.get_options().unwrap_or_default().to_owned();
        for (name, limit) in limits.into_iter().filter(|(_, limit)| *limit != Self::AS_CONFIGURED) {
            options.extend([" -c ", name, "=", &milliseconds(limit).to_string()]);
        }
        options += " -c default_transaction_read_only=";
        options += if read_only { "on" } else { "off" };
        let _config =
            config.options(options.trim()).application_name("veritas").connect_timeout(self.connect_timeout);
        Ok((config, encryption))
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConnectOptions")
            .field("address", &self.address().unwrap_or_else(|_| "not understood".into()))
            .field("password_file", &self.password_file)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

const NO_URL: &str = "it is not a URL of PostgreSQL (postgresql://user@host:5432/database)";

/// Takes out what the driver does not know: `sslrootcert`, and the names of libpq for
/// checking certificates, which we always do.
fn without_certificates(url: &str) -> (String, Option<PathBuf>) {
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut roots = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", path)) => roots = Some(PathBuf::from(percent_decoded(path))),
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    (format!("{front}{mark}{}", kept.join("&")), roots)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = code.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%", &format!("{byte:02X}")]);
        }
    }
    encoded
}

/// Reads the password: the file without the end of its last line.
fn password(path: &Path) -> Result<String, SessionError> {
    let text = std::fs::read_to_string(path).map_err(|error| SessionError::PasswordFile {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Returns a limit as the server counts it: at least 1 ms, since 0 is without end.
fn milliseconds(limit: Duration) -> u64 {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).min(i32::MAX as u64);
    if limit.is_zero() { 0 } else { millis.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2";

    #[test]
    fn an_address_has_no_credentials() {
        let cases = [
            ("postgresql://u:hunter2@db:6432/shop?sslmode=disable", "db:6432/shop"),
            ("postgres://u:hunter2@%2Ftmp%2Fsocket/shop", "/tmp/socket/shop"),
            ("postgresql://u:hunter2@a,b:7/shop", "a:5432,b:7/shop"),
            ("postgresql://u@h", "h:5432/u"),
        ];
        for (url, address) in cases {
            assert_eq!(ConnectOptions::new(url).address().unwrap(), address, "{url}");
        }
    }

    #[test]
    fn nothing_that_is_printed_holds_the_password() {
        let wrong = [
            "u:hunter2@db/shop",
            "postgresql://u:hunter2@db:port/shop",
            "postgresql://u:hunter2@db/shop?hunter2=1",
            "host=db password=hunter2 hunter2",
            "postgresql://u:hunter2",
            "postgresql://u:hunter2@db/shop?sslmode=hunter2",
        ];
        for url in wrong {
            let options = ConnectOptions::new(url);
            let shown = match options.config(true) {
                Err(error) => format!("{error} {error:?} {options:?}"),
                Ok(_) => panic!("{url} was understood"),
            };
            assert!(!shown.contains(SECRET), "{shown}");
        }
        let shown = format!("{:?}", ConnectOptions::new("postgresql://u:hunter2@db/shop"));
        assert!(shown.contains("db:5432/shop") && !shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn our_limits_come_after_those_of_the_url() {
        let url = "postgresql://u@db/shop?options=-c%20statement_timeout%3D0%20-c%20search_path%3Dapp";
        let (config, _) = ConnectOptions::new(url).config(true).unwrap();
        assert_eq!(
            config.get_options().unwrap(),
            "-c statement_timeout=0 -c search_path=app -c statement_timeout=5000 -c lock_timeout=100 \
             -c idle_in_transaction_session_timeout=30000 -c default_transaction_read_only=on",
        );
        assert_eq!(config.get_application_name(), Some("veritas"));
    }

    #[test]
    fn another_database_keeps_everything_else() {
        let options = ConnectOptions::new("postgresql://u:p@%2Ftmp/shop?sslmode=disable&dbname=x");
        let other = options.in_database("odd name").unwrap();
        assert_eq!(other.url, "postgresql://u:p@%2Ftmp/odd%20name?sslmode=disable");
        assert_eq!(other.parsed().unwrap().0.get_dbname(), Some("odd name"));
    }

    #[test]
    fn checked_certificates_are_asked_for_as_with_libpq() {
        let (url, roots) =
            without_certificates("postgresql://db/x?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&port=1");
        assert_eq!(url, "postgresql://db/x?sslmode=require&port=1");
        assert_eq!(roots, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn a_password_file_is_used_where_the_url_has_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret word\n").unwrap();
        let with = |url: &str| {
            let options = ConnectOptions { password_file: Some(path.clone()), ..ConnectOptions::new(url) };
            options.config(true).unwrap().0.get_password().map(<[u8]>::to_vec)
        };
        assert_eq!(with("postgresql://u@db/x").unwrap(), b"secret word");
        assert_eq!(with("postgresql://u:own@db/x").unwrap(), b"own");
        let missing = ConnectOptions {
            password_file: Some(folder.path().join("none")),
            ..ConnectOptions::new("postgresql://u@db/x")
        };
        assert!(matches!(missing.config(true), Err(SessionError::PasswordFile { .. })));
    }

    #[test]
    fn a_limit_below_a_millisecond_is_not_taken_for_none() {
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::MAX), i32::MAX as u64);
    }
}
