//! How indexes were used for as long as we watch: counters alone do not tell since when.

use std::{collections::BTreeMap, time::Duration};

use veritas_database::server::ServerReading;
use veritas_index_advisor::Usage;
use veritas_model::Timestamp;

/// Indexes that are watched at most; further ones are never called unused.
const MOST: usize = 10_000;

/// What was seen of each index, by schema and name.
#[derive(Debug, Default)]
pub(super) struct Watched {
    indexes: BTreeMap<(String, String), Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Timestamp,
    scans_then: u64,
    scans_now: u64,
}

impl Watched {
    /// Takes a reading. A counter that went back was reset: the watch begins anew.
    pub(super) fn see(&mut self, reading: &ServerReading, now: Timestamp) {
        let Ok(indexes) = &reading.indexes else { return };
        let there = |(schema, name): &(String, String)| {
            indexes.iter().any(|index| index.schema == *schema && index.name == *name)
        };
        self.indexes.retain(|key, _| there(key));
        for index in indexes {
            let key = (index.schema.clone(), index.name.clone());
            let Some(scans) = index.scans else { continue };
            let has_room = self.indexes.len() < MOST;
            match self.indexes.get_mut(&key) {
                Some(seen) if scans >= seen.scans_now => seen.scans_now = scans,
                Some(seen) => *seen = Seen { since: now, scans_then: scans, scans_now: scans },
                None if has_room => {
                    let _new =
                        self.indexes.insert(key, Seen { since: now, scans_then: scans, scans_now: scans });
                }
                None => {}
            }
        }
    }

    /// Returns how an index was used since it is watched.
    pub(super) fn of(
        &self,
        schema: &str,
        name: &str,
        reading: &ServerReading,
        now: Timestamp,
    ) -> Option<Usage> {
        let seen = self.indexes.get(&(schema.to_owned(), name.to_owned()))?;
        Some(Usage {
            scans: seen.scans_now - seen.scans_then,
            window: now.since(seen.since).max(Duration::ZERO),
            // What replicas read is in their counters only.
            replicas_asked: reading.replication.as_ref().is_ok_and(|known| known.replicas.is_empty()),
        })
    }
}
