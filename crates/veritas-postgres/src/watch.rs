//! The watch over one server: a reading each interval, and what statements cost between two.
//!
//! [`Watch::tick`] is called by a thread of the engine, once an interval. Whatever the
//! server does, it ends: connecting, reading and cancelling have limits. A server that
//! cannot be reached is tried again after a growing pause, and its reading says so in
//! every part, so that nobody takes an old one for the present.
//!
//! Counters are comparable only while the same server keeps them: after a restart, a
//! failover to another server, or a reset, the windows between are dropped and counted,
//! never guessed.

mod pause;
mod windows;

use std::sync::Arc;

use veritas_database::server::{LatestReadings, NotRead, ServerReading};
use veritas_model::{Condition, Monotonic, Timestamp};

use self::{pause::Pause, windows::Windows};
use crate::{
    session::{Session, SessionError},
    target::PostgresTarget,
    view::View,
};

pub use self::windows::{MOST_STATEMENTS, MOST_WINDOWS};

/// What a watch has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchCounters {
    /// Readings that were published, those of a server that could not be asked included.
    pub readings: u64,
    /// Readings of a server that could not be asked.
    pub failures: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Times that all windows between two readings were dropped: the server had been restarted,
    /// was another one, or its statistics had been reset.
    pub resets: u64,
    /// Windows of single statements that were dropped, their counters having fallen.
    pub dropped: u64,
    /// Statements whose windows were forgotten to make room for others.
    pub forgotten: u64,
}

/// Watches one target.
#[derive(Debug)]
pub struct Watch {
    target: Arc<PostgresTarget>,
    latest: Arc<LatestReadings>,
    view: View,
    session: Option<Session>,
    pause: Pause,
    /// What was said at the last attempt, repeated while none is made.
    condition: Condition,
    before: Option<Before>,
    windows: Windows,
    counters: WatchCounters,
}

/// The last reading that had an answer.
#[derive(Debug)]
struct Before {
    reading: ServerReading,
    at: Monotonic,
    started_at: Option<Timestamp>,
}

impl Watch {
    /// Makes a watch that publishes to `latest`. Nothing is sent yet.
    pub fn new(target: Arc<PostgresTarget>, latest: Arc<LatestReadings>) -> Self {
        let view = View::of(&target);
        Self {
            target,
            latest,
            view,
            session: None,
            pause: Pause::default(),
            condition: Condition::Degraded("not asked yet".into()),
            before: None,
            windows: Windows::default(),
            counters: WatchCounters::default(),
        }
    }

    /// Reads through another view: with another time for each part.
    #[must_use]
    pub fn reading_by(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// Returns what was done so far.
    pub const fn counters(&self) -> WatchCounters {
        self.counters
    }

    /// Takes one reading, publishes it, and says how the server is. Blocks for the time to connect
    /// (5 s) and to read (10 s) at most; while it pauses after failures, not at all.
    pub fn tick(&mut self) -> Condition {
        let now = self.target.clock.monotonic();
        if self.session.is_none() && self.pause.is_on(now) {
            return self.condition.clone();
        }
        self.condition = match self.read() {
            Ok((reading, started_at)) => self.publish(reading, started_at),
            Err(error) => self.publish_missing(&error),
        };
        self.condition.clone()
    }

    /// Reads on the session that there is, or on a new one. A session that lay idle may have
    /// been lost without a word, so that is tried once more.
    fn read(&mut self) -> Result<(ServerReading, Option<Timestamp>), SessionError> {
        if let Some(mut session) = self.session.take() {
            let (reading, started_at) = self.view.read_identified(&mut session);
            if !session.is_lost() {
                self.session = Some(session);
                return Ok((reading, started_at));
            }
            if reading.activity == Err(NotRead::TimedOut) {
                return Err(SessionError::TimedOut);
            }
        }
        let mut session = self.target.connect()?;
        self.counters.sessions += 1;
        let (reading, started_at) = self.view.read_identified(&mut session);
        if session.is_lost() {
            let timed_out = reading.activity == Err(NotRead::TimedOut);
            return Err(if timed_out { SessionError::TimedOut } else { SessionError::Lost });
        }
        self.session = Some(session);
        Ok((reading, started_at))
    }

    fn publish(&mut self, reading: ServerReading, started_at: Option<Timestamp>) -> Condition {
        let at = self.target.clock.monotonic();
        self.pause.succeeded();
        self.counters.readings += 1;
        if let Some(before) = &self.before {
            let seconds = at.since(before.at).as_secs_f64();
            if before.started_at == started_at {
                self.windows.add(&before.reading, &reading, seconds, &mut self.counters);
            } else {
                self.counters.resets += 1;
                tracing::info!(
                    server = self.target.name,
                    "the server was restarted or replaced: windows start anew"
                );
            }
        }
        self.latest.publish_windows(&self.target.name, self.windows.all());
        let condition = condition_of(&reading);
        // Statements that could not be read leave the last ones to compare with.
        if reading.statements.is_ok() || self.before.is_none() {
            self.before = Some(Before { reading: reading.clone(), at, started_at });
        }
        self.latest.publish(reading);
        condition
    }

    fn publish_missing(&mut self, error: &SessionError) -> Condition {
        let now = self.target.clock.monotonic();
        self.session = None;
        self.pause.failed(now);
        self.counters.readings += 1;
        self.counters.failures += 1;
        let (why, reason) = match error {
            SessionError::TimedOut => (NotRead::TimedOut, error.to_string()),
            SessionError::Unreachable { reason } => {
                (NotRead::Unreachable { reason: reason.clone() }, error.to_string())
            }
            other => (NotRead::Unreachable { reason: other.to_string() }, other.to_string()),
        };
        let before = self.before.as_ref().map(|before| &before.reading);
        self.latest.publish(self.view.missing(&why, before));
        Condition::Degraded(reason)
    }
}

/// Says how a server is whose reading has answers: parts that took too long are worth a word; rights
/// and extensions that are missing are for the doctor.
fn condition_of(reading: &ServerReading) -> Condition {
    let late = [
        ("statements", reading.statements.as_ref().err()),
        ("activity", reading.activity.as_ref().err()),
        ("locks", reading.locks.as_ref().err()),
        ("tables", reading.tables.as_ref().err()),
        ("indexes", reading.indexes.as_ref().err()),
        ("settings", reading.settings.as_ref().err()),
        ("replication", reading.replication.as_ref().err()),
        ("connections", reading.connections.as_ref().err()),
    ];
    let is_late = |why: &NotRead| matches!(why, NotRead::TimedOut | NotRead::Unreachable { .. });
    let late: Vec<&str> =
        late.into_iter().filter(|(_, why)| why.is_some_and(is_late)).map(|(part, _)| part).collect();
    if late.is_empty() {
        Condition::Ready
    } else {
        Condition::Degraded(format!("no answer in time on {}", late.join(", ")))
    }
}
