//! Activity: which namespaces are worth analysing.

use std::collections::HashMap;

use veritas_cache::{NamespaceId, NamespaceReading, OVERFLOW};

use super::tracked::Tracked;

/// A namespace takes another's place when it is so many times as active.
const CLEARLY: f64 = 2.0;
/// How much of the mean the last turn makes up.
const FADING: f64 = 0.25;

/// How active each namespace was in the last turns. Bounded by the number of namespaces
/// that the caches tell apart: 24 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    seen: HashMap<NamespaceId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    total: u64,
    per_turn: f64,
}

impl Activity {
    /// Takes in a reading of all namespaces, and returns those to analyse, `most` of them:
    /// who is analysed stays so until another is clearly more active.
    #[expect(clippy::cast_precision_loss, reason = "counts of look-ups stay below 2^53")]
    pub(crate) fn choose(
        &mut self,
        readings: &[NamespaceReading],
        tracked: &[Tracked],
        most: usize,
    ) -> Vec<NamespaceId> {
        let mut ranked: Vec<(f64, NamespaceId)> = Vec::with_capacity(readings.len());
        for reading in readings.iter().filter(|reading| reading.name != OVERFLOW) {
            let total = reading.statistics.total_requests().saturating_add(reading.statistics.sets);
            let seen = self.seen.entry(reading.id).or_insert(Seen { total: 0, per_turn: 0.0 });
            let new = total.checked_sub(seen.total).unwrap_or(total);
            seen.per_turn += FADING * (new as f64 - seen.per_turn);
            seen.total = total;
            let stays = tracked.iter().any(|tracked| tracked.id == reading.id);
            ranked.push((seen.per_turn * if stays { CLEARLY } else { 1.0 }, reading.id));
        }
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        ranked.truncate(most);
        ranked.into_iter().map(|(_, id)| id).collect()
    }
}
