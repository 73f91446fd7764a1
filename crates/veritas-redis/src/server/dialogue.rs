//! A connection of our own to one server: RESP2, which every version speaks, and no
//! command that nobody asked for.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value,
    aio::{ConnectionLike as _, MultiplexedConnection},
    cmd,
};
use tokio::time::{Instant, timeout_at};
use veritas_cache::server::NotRead;

use crate::{link::attach, options::Endpoint};

/// What a wrong user name and a wrong password are called: the server does not tell them apart.
pub(super) const WRONG_PASSWORD: &str = "the log-in failed: wrong user or password";

/// A connection whose every step ends at one deadline.
pub(super) struct Dialogue {
    connection: MultiplexedConnection,
    deadline: Instant,
}

impl Dialogue {
    /// Connects and logs in.
    pub(super) async fn begin(endpoint: &Endpoint, deadline: Instant) -> Result<Self, NotRead> {
        // The name of the library is not set: a user who may not set it would be
        // written to the server's log of refusals at every reading.
        let plain =
            RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let info = endpoint.info.clone().set_redis_settings(plain);
        let connect = attach::plain(info, AsyncConnectionConfig::new());
        let connection = match timeout_at(deadline, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unreachable(&error)),
            Err(_) => return Err(NotRead::TimedOut),
        };
        let mut dialogue = Self { connection, deadline };
        dialogue.log_in(endpoint).await?;
        Ok(dialogue)
    }

    /// Logs in and chooses the database, as the library would, but for its taking
    /// every refusal for a wrong password.
    async fn log_in(&mut self, endpoint: &Endpoint) -> Result<(), NotRead> {
        let settings = endpoint.info.redis_settings();
        let mut commands = Vec::new();
        if let Some(password) = settings.password() {
            let mut auth = cmd("AUTH");
            if let Some(user) = settings.username() {
                auth.arg(user);
            }
            auth.arg(password);
            commands.push(auth);
        }
        if settings.db() != 0 {
            commands.push(cmd("SELECT").arg(settings.db()).clone());
        }
        if commands.is_empty() {
            return Ok(());
        }
        let replies = self.ask(&commands).await?;
        let refused = replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(error.code()),
            _ => None,
        });
        match refused {
            None => Ok(()),
            Some("WRONGPASS") => Err(NotRead::Unreachable { reason: WRONG_PASSWORD.into() }),
            Some(code) => {
                Err(NotRead::Unreachable { reason: format!("the server answered {code} to the log-in") })
            }
        }
    }

    /// Sends `commands` together and returns a reply to each; errors of the server
    /// are among the replies.
    pub(super) async fn ask(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, NotRead> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let asking = self.connection.req_packed_commands(&pipeline, 0, commands.len());
        match timeout_at(self.deadline, asking).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(NotRead::TimedOut),
        }
    }

    /// Sends one command and returns its reply, which may be an error of the server.
    pub(super) async fn ask_one(&mut self, command: Cmd) -> Result<Value, NotRead> {
        self.ask(&[command]).await?.pop().ok_or(NotRead::TimedOut)
    }

    /// Sets when the next steps end.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Returns how much time is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Tells why a server was not reached, in words that hold no credentials: the
/// server's own code, or what the system said.
pub(super) fn unreachable(error: &RedisError) -> NotRead {
    if error.is_timeout() {
        return NotRead::TimedOut;
    }
    let reason = match error.code() {
        Some(code) => format!("the server answered {code}"),
        None => system_error(error),
    };
    NotRead::Unreachable { reason }
}

/// Returns what the system said; of other errors only their kind, because their text
/// could quote what was sent.
fn system_error(error: &RedisError) -> String {
    if error.is_io_error() { error.to_string() } else { error.category().to_owned() }
}
