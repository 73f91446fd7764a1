//! Options of the second tier: which servers, how long a call may take, when to stop trying.

use std::{fmt, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::error::RedisError;

/// How a tier reaches its servers and how long it waits for them.
///
/// The user that the addresses name needs `+get +mget +set +psetex +unlink +ping` on keys
/// below the prefix, `+client +info` to be told of changes and to be rid of lost connections,
/// for tiered caches `+eval +getrange +pexpire +del +strlen +time`, behind sentinels `+role`, and
/// what else is asked of the tier (`+scan`, `+memory`, …); on a cluster `+cluster|slots +asking`.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Which servers.
    pub topology: Topology,
    /// What every key of ours begins with, before a colon. Invalidations of these
    /// keys, and of no others, are sent to us. Default `veritas`.
    pub prefix: String,
    /// How long one call waits for its answer. A batch is sent in chunks, and each
    /// chunk has this long. Default 50 ms.
    pub deadline: Duration,
    /// How long one attempt to connect may take, the handshake included. While one is under way another
    /// is begun, so that a lost packet does not delay the return. Default 1 s.
    pub connect_timeout: Duration,
    /// When to stop trying, and when to try again.
    pub breaker: BreakerOptions,
    /// How long tiered entries may live in the process when the server does not
    /// send us invalidations. Default 1 s.
    pub untracked_ttl: Duration,
    /// How many calls may wait for the connections; one more is refused with
    /// [`TierError::Full`](crate::TierError::Full). Together they may not hold more than 64 MiB. Default 4096.
    pub queue: usize,
}

/// Which servers hold the keys.
#[derive(Clone)]
pub enum Topology {
    /// One server.
    Single(Endpoint),
    /// One primary that the sentinels know by name. They are asked at each connect, and
    /// every second whether it is still the same.
    Sentinel {
        /// The sentinels, at least one.
        sentinels: Vec<Endpoint>,
        /// The name of the primary.
        master: String,
        /// Credentials, database and TLS for the primary; its address is not used.
        server: Endpoint,
    },
    /// The nodes of a cluster, of which these are asked first.
    Cluster(Vec<Endpoint>),
}

impl fmt::Debug for Topology {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What TLS trusts and shows, in PEM, where the system's roots are not enough.
#[cfg(feature = "tls")]
#[derive(Clone, Default)]
pub struct Certificates {
    /// Who signed the servers' certificates; `None` trusts the roots of the system.
    pub root: Option<Vec<u8>>,
    /// The certificate that we show and its private key, where the servers ask for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

#[cfg(feature = "tls")]
impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, client) = (self.root.is_some(), self.client.is_some());
        formatter.debug_struct("Certificates").field("root", &root).field("client", &client).finish()
    }
}

/// Prints addresses, never credentials.
impl fmt::Display for Topology {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |endpoints: &[Endpoint]| endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Single(endpoint) => write!(formatter, "{endpoint}"),
            Self::Sentinel { sentinels, master, .. } => {
                write!(formatter, "sentinel {} for {master}", list(sentinels))
            }
            Self::Cluster(endpoints) => write!(formatter, "cluster {}", list(endpoints)),
        }
    }
}

/// The address of one server, with the credentials for it. Prints without them.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) info: ConnectionInfo,
}

impl Endpoint {
    /// Reads `redis://`, `rediss://`, `redis+unix://` or `unix://`.
    ///
    /// # Errors
    ///
    /// When the address is not understood, or asks for TLS and this build has none.
    pub fn parse(url: &str) -> Result<Self, RedisError> {
        let fail = |reason: &str| RedisError::Address { address: redacted(url), reason: reason.into() };
        let scheme = url.split("://").next().unwrap_or_default();
        if matches!(scheme, "rediss" | "valkeys") && !cfg!(feature = "tls") {
            return Err(RedisError::NoTls { address: redacted(url) });
        }
        // The library's error tells the kind; its detail could quote the address.
        let info = url.into_connection_info().map_err(|error| match error.detail() {
            None => fail(error.to_string().split(" - ").next().unwrap_or("not a redis address")),
            Some(_) => fail("not a redis address"),
        })?;
        Ok(Self::of(info))
    }

    /// Takes what the `redis` crate calls connection information, from an
    /// application that has it already. The protocol is RESP3 in any case.
    pub fn of(info: ConnectionInfo) -> Self {
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Self { info: info.set_redis_settings(settings) }
    }

    /// Returns this endpoint with another host and port: credentials and TLS stay.
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        let host = host.to_owned();
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(addr) }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// Returns host and port, unless it is a Unix socket.
    pub(crate) fn host_and_port(&self) -> Option<(&str, u16)> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some((host, *port))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.addr().fmt(formatter)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// When calls stop going to a server, and how soon it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// After how many calls in a row without an answer in time the connection is
    /// given up and calls fail at once. 1 to 5. Default 5.
    pub failures: u32,
    /// The longest pause between two attempts to connect again; the first is a
    /// tenth of it. At most 500 ms, so that a server that is back is used within 1 s. Default 400 ms.
    pub retry: Duration,
    /// After how much silence the connection is tested. It is given up after this
    /// and `failures` deadlines: so long a peer's change may go unheard when a
    /// network swallows everything. Default 250 ms.
    pub heartbeat: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 5, retry: Duration::from_millis(400), heartbeat: Duration::from_millis(250) }
    }
}

impl RedisOptions {
    /// Returns the default options for a topology.
    pub fn new(topology: Topology) -> Self {
        Self {
            topology,
            prefix: "veritas".into(),
            deadline: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            breaker: BreakerOptions::default(),
            untracked_ttl: Duration::from_secs(1),
            queue: 4096,
        }
    }

    /// Reads an address:
    ///
    /// - `redis://user:password@host:6379/0`, with TLS `rediss://`;
    /// - `unix:///run/redis.sock?db=0&user=u&pass=p`, also `redis+unix://`;
    /// - `redis-sentinel://user:password@host1:26379,host2:26379/master/0` (with TLS to
    ///   the servers and sentinels `rediss-sentinel://`); the credentials are those of
    ///   the primary, the sentinels are asked without;
    /// - `redis-cluster://user:password@host1:6379,host2:6379` (with TLS `rediss-cluster://`).
    ///
    /// # Errors
    ///
    /// When the address is not understood, or asks for TLS and this build has none.
    /// No error holds a password.
    pub fn parse(url: &str) -> Result<Self, RedisError> {
        let fail = |reason: &str| RedisError::Address { address: redacted(url), reason: reason.into() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| fail("it has no scheme"))?;
        let topology = match scheme {
            "redis-sentinel" | "rediss-sentinel" => {
                let scheme = scheme.trim_end_matches("-sentinel");
                let (hosts, path) =
                    rest.split_once('/').ok_or_else(|| fail("the name of the primary is missing"))?;
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(fail("the name of the primary is missing"));
                }
                let (credentials, hosts) = split_credentials(hosts);
                let sentinels = endpoints(url, scheme, "", hosts, 26379, "")?;
                let server = endpoints(url, scheme, credentials, "primary.invalid", 6379, db)?.remove(0);
                Topology::Sentinel { sentinels, master: master.to_owned(), server }
            }
            "redis-cluster" | "rediss-cluster" => {
                let scheme = scheme.trim_end_matches("-cluster");
                let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !matches!(path, "" | "0") {
                    return Err(fail("a cluster has the database 0 only"));
                }
                let (credentials, hosts) = split_credentials(hosts);
                Topology::Cluster(endpoints(url, scheme, credentials, hosts, 6379, "")?)
            }
            _ => Topology::Single(Endpoint::parse(url)?),
        };
        Ok(Self::new(topology))
    }

    /// Logs in with this password: where an address may not hold one, it comes from a
    /// file. Sentinels are asked without.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        let endpoints = match &mut self.topology {
            Topology::Single(endpoint) | Topology::Sentinel { server: endpoint, .. } => {
                std::slice::from_mut(endpoint)
            }
            Topology::Cluster(endpoints) => endpoints,
        };
        for endpoint in endpoints {
            let settings = endpoint.info.redis_settings().clone().set_password(password);
            endpoint.info = endpoint.info.clone().set_redis_settings(settings);
        }
        self
    }

    /// Uses these certificates for every server that is reached over TLS.
    ///
    /// # Errors
    ///
    /// When they are no certificates.
    #[cfg(feature = "tls")]
    pub fn with_certificates(mut self, certificates: &Certificates) -> Result<Self, RedisError> {
        let endpoints: Vec<&mut Endpoint> = match &mut self.topology {
            Topology::Single(endpoint) => vec![endpoint],
            Topology::Sentinel { sentinels, server, .. } => sentinels.iter_mut().chain([server]).collect(),
            Topology::Cluster(endpoints) => endpoints.iter_mut().collect(),
        };
        for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.is_tls()) {
            let certificates = redis::TlsCertificates {
                root_cert: certificates.root.clone(),
                client_tls: certificates
                    .client
                    .clone()
                    .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
            };
            let client =
                redis::Client::build_with_tls(endpoint.info.clone(), certificates).map_err(|_| {
                    RedisError::Address {
                        address: endpoint.to_string(),
                        reason: "the certificates are not valid".into(),
                    }
                })?;
            endpoint.info = client.get_connection_info().clone();
        }
        Ok(self)
    }

    /// Checks what would otherwise fail late.
    pub(crate) fn check(&self) -> Result<(), RedisError> {
        let wrong = |option, reason| Err(RedisError::Option { option, reason });
        if self.prefix.is_empty() {
            return wrong("prefix", "empty");
        }
        if self.deadline.is_zero() {
            return wrong("deadline", "zero");
        }
        if self.connect_timeout.is_zero() {
            return wrong("connect_timeout", "zero");
        }
        if self.queue == 0 {
            return wrong("queue", "zero");
        }
        if !(1..=5).contains(&self.breaker.failures) {
            return wrong("breaker.failures", "not between 1 and 5");
        }
        if self.breaker.retry.is_zero() || self.breaker.retry > Duration::from_millis(500) {
            return wrong("breaker.retry", "not between 0 and 500 ms");
        }
        if self.breaker.heartbeat.is_zero() {
            return wrong("breaker.heartbeat", "zero");
        }
        match &self.topology {
            Topology::Sentinel { sentinels, .. } if sentinels.is_empty() => wrong("sentinels", "empty"),
            Topology::Cluster(endpoints) if endpoints.is_empty() => wrong("cluster", "empty"),
            _ => Ok(()),
        }
    }
}

/// Reads a list of hosts, each with an optional port, that share scheme, credentials and database.
fn endpoints(
    url: &str,
    scheme: &str,
    credentials: &str,
    hosts: &str,
    default_port: u16,
    db: &str,
) -> Result<Vec<Endpoint>, RedisError> {
    let at = if credentials.is_empty() { "" } else { "@" };
    hosts
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .map(|host| {
            let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
                // A bare IPv6 address is all colons; one with a port is in brackets.
                let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                is_port && (name.ends_with(']') || !name.contains(':'))
            });
            let port = if has_port { String::new() } else { format!(":{default_port}") };
            Endpoint::parse(&format!("{scheme}://{credentials}{at}{host}{port}/{db}"))
        })
        .collect::<Result<Vec<_>, _>>()
        .and_then(|endpoints| {
            if endpoints.is_empty() {
                return Err(RedisError::Address {
                    address: redacted(url),
                    reason: "it names no host".into(),
                });
            }
            Ok(endpoints)
        })
        .map_err(|error| match error {
            RedisError::Address { reason, .. } => RedisError::Address { address: redacted(url), reason },
            RedisError::NoTls { .. } => RedisError::NoTls { address: redacted(url) },
            other => other,
        })
}

fn split_credentials(hosts: &str) -> (&str, &str) {
    hosts.rsplit_once('@').unwrap_or(("", hosts))
}

/// Returns an address without credentials, wherever they may stand: a query is
/// dropped whole, and what cannot be told apart is not shown.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Without a scheme nobody knows which part is the password.
        return "(no scheme)".into();
    };
    // The last @ wins: a password may hold one, and even a slash.
    let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    if credentials.contains(['?', '#']) {
        return format!("{scheme}://(not shown)");
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(RedisOptions::parse(url).expect(url).topology.to_string(), expected);
    }

    #[test]
    fn addresses_of_every_topology_are_read() {
        check("redis://localhost", "localhost:6379");
        check("redis://user:pass@example:7000/3", "example:7000");
        check("unix:///run/redis.sock?db=2", "/run/redis.sock");
        check("redis+unix:///run/redis.sock", "/run/redis.sock");
        check("redis-sentinel://one,two:7/main", "sentinel one:26379,two:7 for main");
        check("redis-sentinel://u:p@one/main/4", "sentinel one:26379 for main");
        check("redis-cluster://one,two:7001", "cluster one:6379,two:7001");
        check("redis-cluster://u:p@[::1]:7001,[::1]", "cluster ::1:7001,::1:6379");
    }

    #[test]
    fn credentials_and_database_reach_the_server_they_are_for() {
        let options = RedisOptions::parse("redis-sentinel://u:p%40@one/main/4").unwrap();
        let Topology::Sentinel { sentinels, server, .. } = options.topology else { panic!("not sentinels") };
        assert_eq!(sentinels[0].info.redis_settings().password(), None);
        assert_eq!(server.info.redis_settings().username(), Some("u"));
        assert_eq!(server.info.redis_settings().password(), Some("p@"));
        assert_eq!(server.info.redis_settings().db(), 4);
    }

    #[test]
    fn no_error_and_no_print_holds_a_password() {
        let addresses = [
            "redis://user:secret@",
            "redis://user:secret@host:port",
            "redis://user:secret@host/x",
            "redis://user:sec?ret@host/x",
            "redis://user:a/secret@host:1:2",
            "redis-cluster://user:secret@/",
            "redis-cluster://user:secret@host/3",
            "redis-sentinel://user:secret@host",
            "redis-sentinel://user:secret@a:b:c/main",
            "rediss://user:secret@host:x",
            "unix://?pass=secret",
            "unix://?pass=sec@ret",
            "http://user:secret@host",
            "user:secret@host",
        ];
        for address in addresses {
            let error = RedisOptions::parse(address).expect_err(address);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("sec") && !shown.contains("ret"), "{error:?}");
        }
        let options = RedisOptions::parse("redis://user:secret@host/1").unwrap();
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let good = RedisOptions::parse("redis://localhost").unwrap();
        assert_eq!(good.check(), Ok(()));
        let refused = |change: fn(&mut RedisOptions)| {
            let mut options = good.clone();
            change(&mut options);
            assert!(matches!(options.check(), Err(RedisError::Option { .. })), "{options:?}");
        };
        refused(|options| options.prefix.clear());
        refused(|options| options.deadline = Duration::ZERO);
        refused(|options| options.queue = 0);
        refused(|options| options.breaker.failures = 6);
        refused(|options| options.breaker.retry = Duration::from_secs(1));
        refused(|options| options.topology = Topology::Cluster(Vec::new()));
    }
}
