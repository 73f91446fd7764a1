//! What statements cost between two readings of the same server.

use std::collections::{BTreeMap, VecDeque};

use veritas_database::server::{ServerReading, ServerStatement, StatementWindow};
use veritas_model::{Fingerprint, Moments};

use crate::view;

/// The most windows that are kept of each statement, the newest.
pub const MOST_WINDOWS: usize = 120;

/// The windows of each statement, oldest first. Windows without a call are left out.
#[derive(Debug, Default)]
pub(super) struct Windows {
    of: BTreeMap<Fingerprint, VecDeque<StatementWindow>>,
}

impl Windows {
    /// Adds the window between two readings, `seconds` long. Counters of a server that was
    /// restarted, or of a statement whose counters fell, are not compared.
    pub(super) fn add(&mut self, before: &ServerReading, after: &ServerReading, seconds: f64) {
        let (Ok(earlier), Ok(later)) = (&before.statements, &after.statements) else { return };
        if after.uptime < before.uptime {
            return;
        }
        let known: BTreeMap<Fingerprint, &ServerStatement> =
            earlier.iter().map(|statement| (statement.fingerprint, statement)).collect();
        // A statement that was not there before has run in this window only if all that there
        // was had been read and nothing was lost since.
        let complete = earlier.len() < view::MOST
            && before.statements_evicted.is_some()
            && before.statements_evicted == after.statements_evicted;
        for statement in later {
            let then = match known.get(&statement.fingerprint) {
                Some(then) => (then.seconds.count, then.seconds.sum, then.rows),
                None if complete => (0, 0.0, 0),
                None => continue,
            };
            let now = &statement.seconds;
            let (Some(count), sum) = (now.count.checked_sub(then.0), now.sum - then.1) else { continue };
            let Some(rows) = statement.rows.checked_sub(then.2) else { continue };
            if count == 0 || sum < 0.0 {
                continue;
            }
            let window = StatementWindow {
                at: after.read_at,
                seconds,
                work: of_mean(count, sum),
                rows,
                // The server counts no pages of statements.
                buffers: 0,
            };
            self.push(statement.fingerprint, window);
        }
        while self.of.len() > view::MOST {
            let newest = |windows: &VecDeque<StatementWindow>| windows.back().map(|window| window.at);
            let longest_ago = self.of.iter().min_by_key(|(_, windows)| newest(windows));
            let Some(fingerprint) = longest_ago.map(|(fingerprint, _)| *fingerprint) else { break };
            let _forgotten = self.of.remove(&fingerprint);
        }
    }

    /// Returns a copy of all of them.
    pub(super) fn all(&self) -> BTreeMap<Fingerprint, Vec<StatementWindow>> {
        self.of
            .iter()
            .map(|(fingerprint, windows)| (*fingerprint, windows.iter().cloned().collect()))
            .collect()
    }

    fn push(&mut self, fingerprint: Fingerprint, window: StatementWindow) {
        let windows = self.of.entry(fingerprint).or_default();
        if windows.len() == MOST_WINDOWS {
            let _oldest = windows.pop_front();
        }
        windows.push_back(window);
    }
}

/// The server keeps no spread of the times: every call counts as the mean.
#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn of_mean(count: u64, sum: f64) -> Moments {
    Moments { count, sum, sum_of_squares: sum * sum / count as f64 }
}
