//! The watch over one server: a reading each interval, and what statements cost between two.
//!
//! [`Watch::tick`] is called by a thread of the engine, once an interval. Whatever the
//! server does, it ends: connecting has a limit, each statement has one on both sides, and
//! so has the reading. Each reading has a session of its own, so that none is held while
//! nothing is asked. A server that cannot be reached is a reading that says so in every
//! part, so that nobody takes an old one for the present.

mod windows;

use std::sync::Arc;

use veritas_database::server::{NotRead, ServerReading};
use veritas_model::{Condition, Monotonic};

use self::windows::Windows;
use crate::{
    target::MySqlTarget,
    view::{self, MySqlReading},
};

pub use self::windows::MOST_WINDOWS;

/// Watches one target.
#[derive(Debug)]
pub struct Watch {
    target: Arc<MySqlTarget>,
    /// The last reading whose statements were read, and when.
    before: Option<(ServerReading, Monotonic)>,
    last: Option<MySqlReading>,
    windows: Windows,
}

impl Watch {
    /// Makes a watch. Nothing is sent yet.
    pub fn new(target: Arc<MySqlTarget>) -> Self {
        Self { target, before: None, last: None, windows: Windows::default() }
    }

    /// Returns the last reading, with what only these servers tell.
    pub const fn last(&self) -> Option<&MySqlReading> {
        self.last.as_ref()
    }

    /// Takes one reading, publishes it, and says how the server is. Blocks for the time to
    /// connect (5 s) and to read (10 s, one statement longer at most).
    pub fn tick(&mut self) -> Condition {
        let target = Arc::clone(&self.target);
        let mut whole = view::read(&target.name, &target.options, &target.clock);
        let at = target.clock.monotonic();
        if whole.reading.version.is_empty()
            && let Some(last) = &self.last
        {
            // It is still the server that it was, as far as anybody knows.
            whole.reading.engine = last.reading.engine;
            last.reading.version.clone_into(&mut whole.reading.version);
            last.reading.database.clone_into(&mut whole.reading.database);
        }
        if let Some((before, then)) = &self.before {
            self.windows.add(before, &whole.reading, at.since(*then).as_secs_f64());
        }
        if whole.reading.statements.is_ok() {
            self.before = Some((whole.reading.clone(), at));
        }
        target.latest.publish_windows(&target.name, self.windows.all());
        target.latest.publish(whole.reading.clone());
        let condition = condition_of(&whole.reading);
        self.last = Some(whole);
        condition
    }
}

/// Says how a server is: whether it was reached, and what it did not answer in time. Rights
/// that are missing and what is switched off are for the doctor.
fn condition_of(reading: &ServerReading) -> Condition {
    let parts = [
        ("statements", reading.statements.as_ref().err()),
        ("activity", reading.activity.as_ref().err()),
        ("locks", reading.locks.as_ref().err()),
        ("tables", reading.tables.as_ref().err()),
        ("indexes", reading.indexes.as_ref().err()),
        ("settings", reading.settings.as_ref().err()),
        ("replication", reading.replication.as_ref().err()),
    ];
    let unreached = parts.iter().find_map(|(_, why)| match why {
        Some(NotRead::Unreachable { reason }) => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = unreached {
        return Condition::Degraded(reason);
    }
    let late: Vec<&str> =
        parts.into_iter().filter(|(_, why)| *why == Some(&NotRead::TimedOut)).map(|(part, _)| part).collect();
    if late.is_empty() {
        Condition::Ready
    } else {
        Condition::Degraded(format!("no answer in time on {}", late.join(", ")))
    }
}
