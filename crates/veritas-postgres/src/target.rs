//! One database that we look at and may change, as its parts share it.

use std::{fmt, sync::Arc};

use veritas_database::server::LatestReadings;
use veritas_model::Clock;

use crate::session::{ConnectOptions, Session, SessionError};

/// A database of a server: its name among the targets, how to connect, and where its
/// readings are kept. Opening it sends nothing.
#[derive(Clone)]
pub struct PostgresTarget {
    /// Its name among those that are looked at.
    pub name: String,
    /// How to connect.
    pub options: ConnectOptions,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where readings are published, and read by whoever advises.
    pub latest: Arc<LatestReadings>,
}

impl PostgresTarget {
    /// Makes a target with readings of its own.
    pub fn new(name: impl Into<String>, options: ConnectOptions, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), options, clock, latest: Arc::default() }
    }

    /// Publishes to, and reads from, `latest`, which several targets may share.
    #[must_use]
    pub fn publishing_to(mut self, latest: Arc<LatestReadings>) -> Self {
        self.latest = latest;
        self
    }

    /// Opens a session that only reads.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    pub fn connect(&self) -> Result<Session, SessionError> {
        Session::connect(&self.options)
    }

    /// Opens a session that may write.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    pub fn connect_writing(&self) -> Result<Session, SessionError> {
        Session::connect_writing(&self.options)
    }
}

impl fmt::Debug for PostgresTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, options, .. } = self;
        formatter
            .debug_struct("PostgresTarget")
            .field("name", name)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
