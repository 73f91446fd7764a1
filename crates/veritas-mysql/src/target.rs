//! One database that we look at, as its parts share it.

use std::{fmt, sync::Arc};

use veritas_database::server::LatestReadings;
use veritas_model::Clock;

use crate::session::ConnectOptions;

/// A database of a server: its name among the targets, how to connect, and where its
/// readings are kept. Opening it sends nothing.
#[derive(Clone)]
pub struct MySqlTarget {
    /// Its name among those that are looked at.
    pub name: String,
    /// How to connect.
    pub options: ConnectOptions,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where readings are published, and read by whoever advises.
    pub latest: Arc<LatestReadings>,
}

impl MySqlTarget {
    /// Makes a target that publishes to `latest`, which several targets may share.
    pub fn new(
        name: impl Into<String>,
        options: ConnectOptions,
        clock: Arc<dyn Clock>,
        latest: Arc<LatestReadings>,
    ) -> Self {
        Self { name: name.into(), options, clock, latest }
    }
}

impl fmt::Debug for MySqlTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, options, .. } = self;
        formatter
            .debug_struct("MySqlTarget")
            .field("name", name)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
