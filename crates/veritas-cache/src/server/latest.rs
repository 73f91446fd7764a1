//! The last readings of a server, for those who show them.

use std::sync::{Arc, PoisonError, RwLock};

use super::{NodeRates, ServerReading};

/// The last reading of a server and the one before it. Whoever takes readings publishes
/// them here; whoever shows them never waits for a server.
#[derive(Debug, Default)]
pub struct LatestReadings(RwLock<Option<Latest>>);

/// The last reading of a server.
#[derive(Debug, Clone)]
pub struct Latest {
    /// The reading.
    pub reading: Arc<ServerReading>,
    /// The one before it.
    pub before: Option<Arc<ServerReading>>,
    /// What happened per second between it and the one before, by the address of the node.
    pub rates: Arc<Vec<(String, NodeRates)>>,
}

impl LatestReadings {
    /// Publishes a reading.
    pub fn publish(&self, reading: ServerReading) {
        let mut latest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let rates = latest.as_ref().map_or_else(Vec::new, |before| {
            let between = |node: &super::NodeReading| {
                let rates = NodeRates::between(before.reading.node(&node.address)?, node)?;
                Some((node.address.clone(), rates))
            };
            reading.nodes.iter().filter_map(between).collect()
        });
        let before = latest.take().map(|latest| latest.reading);
        *latest = Some(Latest { reading: Arc::new(reading), before, rates: Arc::new(rates) });
    }

    /// Returns the last reading; `None` before the first.
    pub fn get(&self) -> Option<Latest> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
