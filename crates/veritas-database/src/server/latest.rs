//! The last readings of each server, for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use veritas_model::Fingerprint;

use super::{PlanReading, ServerReading, StatementWindow};

/// Plans and windows of one statement.
type History = (Vec<PlanReading>, Vec<StatementWindow>);

/// The last reading of one server, and the one before.
#[derive(Debug, Clone)]
pub struct Readings {
    /// The last reading.
    pub reading: Arc<ServerReading>,
    /// The one before, where there is one.
    pub before: Option<Arc<ServerReading>>,
}

/// The last readings of each server. Nobody waits here longer than a copy of a pointer takes.
#[derive(Debug, Default)]
pub struct LatestReadings {
    servers: Mutex<BTreeMap<String, Readings>>,
    histories: Mutex<BTreeMap<String, Arc<BTreeMap<Fingerprint, History>>>>,
}

impl LatestReadings {
    /// Publishes a reading.
    pub fn publish(&self, reading: ServerReading) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let name = reading.name.clone();
        let before = servers.remove(&name).map(|readings| readings.reading);
        let _new = servers.insert(name, Readings { reading: Arc::new(reading), before });
    }

    /// Publishes what is known of the statements of the server `name`, in place of what was.
    pub fn publish_histories(&self, name: &str, histories: BTreeMap<Fingerprint, History>) {
        let mut known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let _before = known.insert(name.to_owned(), Arc::new(histories));
    }

    /// Returns the readings of the server `name`.
    pub fn get(&self, name: &str) -> Option<Readings> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Returns the readings of all servers, by name.
    pub fn all(&self) -> Vec<Readings> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns plans (the present one first) and windows (newest last) of a statement, with the server's name.
    pub fn histories(&self, fingerprint: Fingerprint) -> Vec<(String, History)> {
        let known = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let of_each = known.iter().filter_map(|(name, statements)| {
            statements.get(&fingerprint).map(|history| (name.clone(), history.clone()))
        });
        of_each.collect()
    }
}
