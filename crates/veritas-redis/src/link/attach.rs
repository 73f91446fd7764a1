//! Attaching: finding the server, the handshake, and the proof that it answers in time.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, Value, cmd, pipe,
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{Former, Link, Plain, Shared, Source, Wire, jittered, work::enqueue};
use crate::{breaker::Gate, counters::add, error::TierError, options::Endpoint, tracking::LossReason};

/// How much a probe carries there and back: a link that is too slow for values fails it.
const PROBE: usize = 16 * 1024;

/// After how long a second attempt is begun beside one that has no outcome yet.
const HEDGE: Duration = Duration::from_millis(250);

/// How many attempts may be under way at once.
const ATTEMPTS: usize = 3;

/// A connection that has answered a probe.
pub(crate) struct Connection {
    pub(crate) wire: Box<dyn Wire>,
    pub(crate) tracked: bool,
    /// Why it is not tracked.
    pub(crate) untracked: Option<String>,
    /// Rings when the connection is closed.
    pub(crate) closed: Arc<Notify>,
    /// What the server calls it, if it tells.
    pub(crate) name: Option<Former>,
    /// Where the sentinels said that the primary is.
    pub(crate) primary: Option<String>,
}

impl Link {
    /// Returns the next connection, or `None` when nobody needs one any more.
    /// Meanwhile calls wait until the first attempt has failed, and fail at once afterwards.
    pub(super) async fn attach(&mut self) -> Option<Connection> {
        let retry = self.shared.options.breaker.retry;
        let mut attempts = JoinSet::new();
        let mut pause = retry / 10;
        let mut next = Instant::now();
        loop {
            let expiry = self.waiting.front().map(|work| work.expires);
            tokio::select! {
                biased;
                Some(outcome) = attempts.join_next() => match outcome {
                    Ok(Ok(connection)) => {
                        let connection: Connection = connection;
                        self.node.remember(connection.name.clone());
                        add(&self.shared.counters.connects, 1);
                        return Some(connection);
                    }
                    Ok(Err(trouble)) => {
                        self.attempt_failed(trouble);
                        next = Instant::now() + jittered(pause);
                        pause = (pause * 2).min(retry);
                    }
                    Err(_) => self.attempt_failed("the attempt to connect was broken off".into()),
                },
                () = sleep_until(next), if attempts.len() < ATTEMPTS => {
                    attempts.spawn(self.source.attempt(&self.shared, &self.node));
                    next = Instant::now() + HEDGE.max(pause);
                }
                work = self.works.recv() => {
                    let work = work?;
                    if self.node.breaker.gate() == Gate::Down {
                        work.fail(TierError::Unavailable);
                    } else {
                        enqueue(&mut self.waiting, work);
                    }
                }
                () = sleep_until(expiry.unwrap_or(next)), if expiry.is_some() => {
                    if self.expire_waiting() {
                        self.node.breaker.set(Gate::Down);
                        self.fail_waiting(TierError::Unavailable);
                    }
                }
            }
        }
    }

    fn attempt_failed(&mut self, trouble: String) {
        add(&self.shared.counters.failed_connects, 1);
        tracing::debug!(node = self.node.name, trouble, "failed to connect to redis");
        self.node.with_state(|state| state.trouble = Some(trouble));
        if self.node.breaker.set(Gate::Down) != Gate::Down {
            self.fail_waiting(TierError::Unavailable);
        }
    }

    /// Answers what has waited too long; returns whether that is too often.
    pub(super) fn expire_waiting(&mut self) -> bool {
        let now = Instant::now();
        let mut expired = 0;
        while self.waiting.front().is_some_and(|work| work.expires <= now) {
            if let Some(work) = self.waiting.pop_front() {
                work.fail(TierError::TimedOut);
                expired += 1;
            }
        }
        expired > 0 && self.node.breaker.failed(expired)
    }
}

impl Source {
    /// Prepares to ask the sentinels where the primary is; `None` when there are none.
    pub(super) fn look(
        &self,
        limit: Duration,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static> {
        let Self::Sentinel { sentinels, master, server } = self else { return None };
        let (sentinels, master, server) = (sentinels.clone(), master.clone(), server.clone());
        Some(async move {
            ask_sentinels(&sentinels, &master, &server, limit).await.ok().map(|endpoint| endpoint.to_string())
        })
    }

    /// Prepares one attempt to connect.
    fn attempt(
        &self,
        shared: &Arc<Shared>,
        node: &super::Node,
    ) -> impl Future<Output = Result<Connection, String>> + Send + 'static {
        let shared = Arc::clone(shared);
        let former = node.former();
        let plan = match self {
            Self::Server(endpoint) => Plan::Server(endpoint.clone()),
            Self::Sentinel { sentinels, master, server } => Plan::Sentinel {
                sentinels: sentinels.clone(),
                master: master.clone(),
                server: server.clone(),
            },
            Self::Borrowed(wire) => Plan::Borrowed(wire.duplicate()),
        };
        async move {
            let limit = shared.options.connect_timeout;
            match timeout(limit, plan.carry_out(shared, former.as_ref())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no connection within {limit:?}")),
            }
        }
    }
}

enum Plan {
    Server(Endpoint),
    Sentinel { sentinels: Vec<Endpoint>, master: String, server: Endpoint },
    Borrowed(Box<dyn Wire>),
}

impl Plan {
    async fn carry_out(self, shared: Arc<Shared>, former: Option<&Former>) -> Result<Connection, String> {
        match self {
            Self::Server(endpoint) => connect(&shared, &endpoint, former, false).await,
            Self::Sentinel { sentinels, master, server } => {
                let endpoint =
                    ask_sentinels(&sentinels, &master, &server, shared.options.connect_timeout).await?;
                let connection = connect(&shared, &endpoint, former, true).await?;
                Ok(Connection { primary: Some(endpoint.to_string()), ..connection })
            }
            Self::Borrowed(mut wire) => {
                probe(&mut *wire, shared.options.deadline).await?;
                let untracked = Some("the application's connection does not tell us of changes".into());
                Ok(Connection {
                    wire,
                    tracked: false,
                    untracked,
                    closed: Arc::new(Notify::new()),
                    name: None,
                    primary: None,
                })
            }
        }
    }
}

/// Asks one sentinel after the other where the primary is.
async fn ask_sentinels(
    sentinels: &[Endpoint],
    master: &str,
    server: &Endpoint,
    limit: Duration,
) -> Result<Endpoint, String> {
    let mut trouble = String::from("no sentinel is known");
    let each = limit / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
    for sentinel in sentinels {
        match timeout(each, ask_sentinel(sentinel, master)).await {
            Ok(Ok((host, port))) => return Ok(server.at(&host, port)),
            Ok(Err(why)) => trouble = format!("sentinel {sentinel}: {why}"),
            Err(_) => trouble = format!("sentinel {sentinel} did not answer"),
        }
    }
    Err(trouble)
}

async fn ask_sentinel(sentinel: &Endpoint, master: &str) -> Result<(String, u16), String> {
    let settings = sentinel.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    let info = sentinel.info.clone().set_redis_settings(settings);
    let mut connection =
        plain(info, AsyncConnectionConfig::new()).await.map_err(|error| error.to_string())?;
    let address: Option<(String, u16)> = cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(master)
        .query_async(&mut connection)
        .await
        .map_err(|error| error.to_string())?;
    address.ok_or_else(|| format!("it knows no {master:?}"))
}

pub(crate) async fn plain(
    info: redis::ConnectionInfo,
    config: AsyncConnectionConfig,
) -> Result<Plain, redis::RedisError> {
    #[cfg(feature = "tls")]
    choose_cryptography();
    // The whole attempt has one limit, and calls have their own.
    let config = config.set_connection_timeout(None).set_response_timeout(None);
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// Names the cryptography of TLS, unless the application has: with two of them in
/// a build, rustls would not choose.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Whoever was faster has chosen too.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    }
}

/// Connects, has the server tell of changes, and makes sure that it answers in time.
async fn connect(
    shared: &Arc<Shared>,
    endpoint: &Endpoint,
    former: Option<&Former>,
    must_be_primary: bool,
) -> Result<Connection, String> {
    let closed = Arc::new(Notify::new());
    let (mut wire, speaks_resp3) = match plain(endpoint.info.clone(), listening(shared, &closed)).await {
        Ok(connection) => (connection, true),
        // An old server or a proxy, or a user who may not say HELLO.
        Err(error) if error.kind() == ErrorKind::RESP3NotSupported || is_forbidden(&error) => {
            let settings = endpoint.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            let info = endpoint.info.clone().set_redis_settings(settings);
            let connection = plain(info, AsyncConnectionConfig::new()).await.map_err(|error| told(&error))?;
            (connection, false)
        }
        Err(error) => return Err(told(&error)),
    };
    let (name, untracked) = if speaks_resp3 {
        introduce(&mut wire, &shared.options.prefix, former).await?
    } else {
        (None, Some("the server does not speak RESP3 with us".to_owned()))
    };
    if must_be_primary {
        match cmd("ROLE").query_async::<Vec<Value>>(&mut wire).await {
            Ok(role) if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => {}
            Ok(_) => return Err("the sentinels named a server that is no primary".into()),
            // Then its answers to writes will tell.
            Err(error) if is_forbidden(&error) => {}
            Err(error) => return Err(told(&error)),
        }
    }
    probe(&mut wire, shared.options.deadline).await?;
    Ok(Connection {
        wire: Box::new(wire),
        tracked: untracked.is_none(),
        untracked,
        closed,
        name,
        primary: None,
    })
}

/// Turns tracking on. Also has the connection before this one closed by the server:
/// what we sent there and gave up must not take effect after what we send here. Only by
/// the process that gave it its number: any other has given that to somebody else.
async fn introduce(
    wire: &mut Plain,
    prefix: &str,
    former: Option<&Former>,
) -> Result<(Option<Former>, Option<String>), String> {
    let mut hello = pipe();
    hello.cmd("CLIENT").arg("ID");
    hello
        .cmd("CLIENT")
        .arg("TRACKING")
        .arg("ON")
        .arg("BCAST")
        .arg("NOLOOP")
        .arg("PREFIX")
        .arg(format!("{prefix}:"));
    hello.cmd("INFO").arg("server");
    let count = hello.len();
    let answers = wire.send_packed_commands(&hello, 0, count).await.map_err(|error| told(&error))?;
    let name = match (answers.first(), answers.get(2).and_then(run_of)) {
        (Some(Value::Int(id)), Some(run)) => Some(Former { run, id: *id }),
        _ => None,
    };
    if let (Some(former), Some(name)) = (former, &name)
        && former.run == name.run
    {
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(former.id);
        // That there is none, or that we may not, is no trouble: it is closed already, as a rule.
        if let Err(error) = wire.send_packed_command(&kill).await
            && error.code().is_none()
        {
            return Err(told(&error));
        }
    }
    let untracked = match answers.get(1) {
        Some(Value::Okay) => None,
        Some(Value::ServerError(error)) => Some(format!(
            "CLIENT TRACKING was refused: {} {}",
            error.code(),
            error.details().unwrap_or_default()
        )),
        _ => Some("CLIENT TRACKING was answered oddly".into()),
    };
    Ok((name, untracked))
}

/// Reads the random name that a server gives itself at each start out of `INFO server`.
fn run_of(info: &Value) -> Option<String> {
    let info: String = redis::from_redis_value_ref(info).ok()?;
    info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned)
}

/// Sends a payload there and back within the deadline.
async fn probe(
    wire: &mut (impl redis::aio::ConnectionLike + ?Sized),
    deadline: Duration,
) -> Result<(), String> {
    let ping = ping(PROBE);
    match timeout(deadline, wire.req_packed_command(&ping)).await {
        // Whoever may not say PING has an answer all the same.
        Ok(Ok(Value::ServerError(error))) if error.code() != "NOPERM" => {
            Err(format!("{} {}", error.code(), error.details().unwrap_or_default()))
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(format!("a probe had no answer within {deadline:?}")),
    }
}

fn is_forbidden(error: &redis::RedisError) -> bool {
    // The handshake of the library wraps what the server said.
    error.code() == Some("NOPERM") || error.to_string().contains("no permissions to run")
}

/// A `PING` that carries `size` bytes.
pub(super) fn ping(size: usize) -> Cmd {
    let mut ping = cmd("PING");
    if size > 0 {
        ping.arg(vec![b'.'; size]);
    }
    ping
}

/// Says what went wrong, for operators. The library's errors hold no credentials.
fn told(error: &redis::RedisError) -> String {
    error.to_string()
}

/// Hears what the server tells by itself. It runs in the task that reads the
/// connection, so that a change is noted before any answer that was given after it.
fn listening(shared: &Arc<Shared>, closed: &Arc<Notify>) -> AsyncConnectionConfig {
    let (shared, closed) = (Arc::downgrade(shared), Arc::clone(closed));
    AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
        match push.kind {
            PushKind::Invalidate => {
                if let Some(shared) = shared.upgrade() {
                    hear(&shared, push.data);
                }
            }
            // A permit, not only a call: the link may not be listening yet.
            PushKind::Disconnection => closed.notify_one(),
            _ => {}
        }
        Ok::<(), redis::aio::SendError>(())
    })
}

fn hear(shared: &Shared, data: Vec<Value>) {
    for part in data {
        match part {
            Value::Array(keys) | Value::Set(keys) => {
                for key in keys {
                    match key {
                        Value::BulkString(key) => shared.coherence.invalidate(&key, &shared.counters),
                        Value::SimpleString(key) => {
                            shared.coherence.invalidate(key.as_bytes(), &shared.counters);
                        }
                        _ => {}
                    }
                }
            }
            Value::Nil => shared.coherence.lose(LossReason::Flushed, &shared.counters),
            _ => {}
        }
    }
}
