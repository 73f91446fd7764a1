//! One part of a reading after the other, each under its own deadline.

use std::time::Duration;

use tokio_postgres::{Row, types::ToSql};
use veritas_database::server::{NotRead, Section};
use veritas_model::{Clock, Monotonic};

use crate::session::{Session, SessionError};

/// How much longer than the server's own limit we wait before we give the session up.
const GRACE: Duration = Duration::from_secs(1);

/// Names mean those of the system only, whatever the role's path says; one statement takes no
/// longer than a part may; and nothing is compiled, which would take longer than it saves.
const BEGIN: &str = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), \
                     pg_catalog.set_config('statement_timeout', $1, false), \
                     pg_catalog.set_config('jit', 'off', false)";
/// Back to what the session was opened with.
const END: &str = "RESET search_path; RESET statement_timeout; RESET jit";

/// The session while a reading is taken.
pub(super) struct Parts<'a> {
    session: &'a mut Session,
    clock: &'a dyn Clock,
    /// When nothing more is asked.
    until: Monotonic,
    /// Why nothing more is asked, once that is so.
    lost: Option<NotRead>,
}

impl<'a> Parts<'a> {
    /// Prepares the session.
    pub(super) fn begin(session: &'a mut Session, clock: &'a dyn Clock, part_time: Duration) -> Self {
        let millis = part_time.as_millis().clamp(1, i32::MAX as u128).to_string();
        session.within(part_time.saturating_add(GRACE));
        let until = clock.monotonic().plus(part_time.saturating_mul(super::MOST_PART_TIMES));
        let mut parts = Self { session, clock, until, lost: None };
        if let Err(error) = parts.ask(BEGIN, &[&millis]) {
            parts.lost = Some(error);
        }
        parts
    }

    /// Leaves the session as it was.
    pub(super) fn end(&mut self) {
        if !self.session.is_lost() {
            // What cannot be reset is lost, or has the values that it began with.
            self.session.batch(END).ok();
        }
        self.session.within_default();
    }

    /// Returns the server's version as a number.
    pub(super) const fn version(&self) -> u32 {
        self.session.version()
    }

    /// Asks for the rows of one statement.
    pub(super) fn ask(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Section<Vec<Row>> {
        if let Some(why) = &self.lost {
            return Err(why.clone());
        }
        if self.clock.monotonic() > self.until {
            return Err(NotRead::TimedOut);
        }
        let answer = self.session.query(sql, parameters).map_err(|error| not_read(&error));
        if let Err(why) = &answer {
            self.notice_loss(why);
        }
        answer
    }

    /// Lets somebody else ask, under the same limits.
    pub(super) fn with_session<T, E>(
        &mut self,
        ask: impl FnOnce(&mut Session) -> Result<T, E>,
    ) -> Section<Result<T, E>> {
        // Nobody is asked for anything: this only tells whether there is a session, and time.
        let _answers = self.ask("SELECT 1", &[])?;
        let answer = ask(self.session);
        self.notice_loss(&NotRead::TimedOut);
        Ok(answer)
    }

    /// Notes when the session is gone, so that nothing more is asked.
    fn notice_loss(&mut self, answer: &NotRead) {
        if self.session.is_lost() {
            self.lost = Some(match answer {
                NotRead::TimedOut => NotRead::TimedOut,
                _ => NotRead::Unreachable { reason: "the connection was lost".into() },
            });
        }
    }

    /// Asks for rows, and makes something of each.
    pub(super) fn list<T>(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        make: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Section<Vec<T>> {
        let rows = self.ask(sql, parameters)?;
        rows.iter().map(make).collect::<Result<_, _>>().map_err(|error| not_read(&SessionError::of(&error)))
    }

    /// Asks for the one row that a statement has.
    pub(super) fn one<T>(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        make: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Section<T> {
        let mut rows = self.list(sql, parameters, make)?;
        rows.pop().ok_or_else(|| NotRead::NotKept { reason: "the server has nothing to say on this".into() })
    }
}

/// Says why a part is not there.
pub(super) fn not_read(error: &SessionError) -> NotRead {
    match error {
        SessionError::TimedOut | SessionError::LockNotAvailable => NotRead::TimedOut,
        SessionError::Denied { message, .. } => {
            NotRead::Forbidden { what: message.clone(), grant: "ask an administrator".into() }
        }
        SessionError::Refused { code, .. } => NotRead::Refused { code: code.clone() },
        SessionError::Answer { reason } => {
            NotRead::NotKept { reason: format!("the answer was not understood: {reason}") }
        }
        other => NotRead::Unreachable { reason: other.to_string() },
    }
}

/// Says that a role may not see what others do.
pub(super) fn forbidden(what: &str, role: &str) -> NotRead {
    let role = crate::session::ident(role);
    NotRead::Forbidden { what: what.to_owned(), grant: format!("GRANT pg_read_all_stats TO {role}") }
}
