//! How indexes were used for as long as we watch: counters alone do not tell since when.
//!
//! What was seen outlasts a restart as a note, else a service that is deployed every week
//! would never know an index to be unused for a week.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

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

    /// Writes down what was seen: at most a few MiB, names and counters.
    pub(super) fn note(&self) -> String {
        let seen = self.indexes.iter().map(|((schema, name), seen)| {
            json!([schema, name, seen.since.nanos(), seen.scans_then, seen.scans_now])
        });
        Value::Array(seen.collect()).to_string()
    }

    /// Goes on from a note; what it knows better already stays, what is not understood is left out.
    pub(super) fn go_on_from(&mut self, note: &str) {
        let Ok(Value::Array(entries)) = serde_json::from_str(note) else { return };
        for entry in entries.iter().take(MOST) {
            let text = |at: usize| entry.get(at).and_then(Value::as_str).map(str::to_owned);
            let count = |at: usize| entry.get(at).and_then(Value::as_u64);
            let since = entry.get(2).and_then(Value::as_i64).map(Timestamp::from_nanos);
            if let (Some(schema), Some(name), Some(since), Some(scans_then), Some(scans_now)) =
                (text(0), text(1), since, count(3), count(4))
                && scans_then <= scans_now
            {
                self.indexes.entry((schema, name)).or_insert(Seen { since, scans_then, scans_now });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(entries: &[(&str, i64, u64, u64)]) -> Watched {
        let seen = |(name, since, scans_then, scans_now): &(&str, i64, u64, u64)| {
            let seen =
                Seen { since: Timestamp::from_nanos(*since), scans_then: *scans_then, scans_now: *scans_now };
            (("public".to_owned(), (*name).to_owned()), seen)
        };
        Watched { indexes: entries.iter().map(seen).collect() }
    }

    #[test]
    fn what_was_seen_outlasts_a_restart() {
        let before = watched(&[("a", 1_000, 3, 3), ("b", 2_000, 0, 17)]);
        let mut after = Watched::default();
        after.go_on_from(&before.note());
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
        // What is watched already is not overwritten by an older note.
        let mut newer = watched(&[("a", 5_000, 9, 9)]);
        newer.go_on_from(&before.note());
        assert_eq!(newer.indexes[&("public".to_owned(), "a".to_owned())].scans_then, 9);
    }

    #[test]
    fn a_damaged_note_is_left_out() {
        for note in ["", "{}", "[1]", r#"[["public","a"]]"#, r#"[["public","a",1,5,4]]"#, "[[1,2,3,4,5]]"] {
            let mut watched = Watched::default();
            watched.go_on_from(note);
            assert!(watched.indexes.is_empty(), "{note}");
        }
    }
}
