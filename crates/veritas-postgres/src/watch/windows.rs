//! What statements cost between two readings of the same server.

use std::collections::{BTreeMap, VecDeque};

use veritas_database::server::{ServerReading, ServerStatement, StatementWindow};
use veritas_model::{Fingerprint, Moments};

use super::WatchCounters;
use crate::view;

/// The most statements whose windows are kept.
pub const MOST_STATEMENTS: usize = view::MOST_STATEMENTS;
/// The most windows that are kept of each, the newest.
pub const MOST_WINDOWS: usize = 120;

/// The windows of each statement, oldest first. Windows without a call are left out.
#[derive(Debug, Default)]
pub(super) struct Windows {
    of: BTreeMap<Fingerprint, VecDeque<StatementWindow>>,
}

impl Windows {
    /// Adds the window between two readings, `seconds` long.
    pub(super) fn add(
        &mut self,
        before: &ServerReading,
        after: &ServerReading,
        seconds: f64,
        counters: &mut WatchCounters,
    ) {
        let (Ok(earlier), Ok(later)) = (&before.statements, &after.statements) else { return };
        if before.statements_reset_at != after.statements_reset_at {
            counters.resets += 1;
            tracing::info!(server = after.name, "the statistics were reset: windows start anew");
            return;
        }
        let known: BTreeMap<Fingerprint, &ServerStatement> =
            earlier.iter().map(|statement| (statement.fingerprint, statement)).collect();
        // A statement that was not there before has run in this window only if all that there
        // was had been read and nothing was forgotten since.
        let complete = earlier.len() < view::MOST_STATEMENTS
            && before.statements_evicted.is_some()
            && before.statements_evicted == after.statements_evicted;
        for statement in later {
            let window = match known.get(&statement.fingerprint) {
                Some(earlier) => difference(earlier, statement),
                None if complete => Some(all_of(statement)),
                None => continue,
            };
            match window {
                None => counters.dropped += 1,
                Some((work, _, _)) if work.count == 0 => {}
                Some((work, rows, buffers)) => {
                    let window = StatementWindow { at: after.read_at, seconds, work, rows, buffers };
                    self.push(statement.fingerprint, window);
                }
            }
        }
        self.forget(counters);
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

    /// Forgets the statements that have not run for the longest time, when there are too many.
    fn forget(&mut self, counters: &mut WatchCounters) {
        while self.of.len() > MOST_STATEMENTS {
            let last_run = |windows: &VecDeque<StatementWindow>| windows.back().map(|window| window.at);
            let idlest = self.of.iter().min_by_key(|(_, windows)| last_run(windows));
            let Some(idlest) = idlest.map(|(fingerprint, _)| *fingerprint) else { return };
            let _windows = self.of.remove(&idlest);
            counters.forgotten += 1;
        }
    }
}

type Counted = (Moments, u64, u64);

fn all_of(statement: &ServerStatement) -> Counted {
    (statement.seconds, statement.rows, statement.buffers_hit.saturating_add(statement.buffers_read))
}

/// Returns what was added, or `None` when a counter fell or an entry is gone: the server forgot
/// the statement, or somebody reset it alone.
fn difference(before: &ServerStatement, after: &ServerStatement) -> Option<Counted> {
    let has_all = before.server_ids.iter().all(|id| after.server_ids.contains(id));
    let (earlier, later) = (all_of(before), all_of(after));
    let work = later.0.since(&earlier.0);
    let rose = later.0.count >= earlier.0.count && work.sum >= 0.0;
    let work = Moments { sum_of_squares: work.sum_of_squares.max(0.0), ..work };
    (has_all && rose).then_some((work, later.1.checked_sub(earlier.1)?, later.2.checked_sub(earlier.2)?))
}

#[cfg(test)]
mod tests {
    use veritas_database::server::{Engine, NotRead};
    use veritas_model::Timestamp;

    use super::*;

    fn statement(number: usize, calls: u64) -> ServerStatement {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let sum = calls as f64;
        ServerStatement {
            server_ids: vec![i64::try_from(number).unwrap()],
            seconds: Moments { count: calls, sum, sum_of_squares: sum },
            rows: calls,
            buffers_hit: 2 * calls,
            fingerprint: Fingerprint::from_u64(number as u64),
            ..ServerStatement::of_text("SELECT a FROM t")
        }
    }

    fn reading(at: i64, statements: Vec<ServerStatement>) -> ServerReading {
        let unread = NotRead::TimedOut;
        ServerReading {
            name: "main".into(),
            engine: Engine::PostgreSql,
            version: "15.18".into(),
            database: "shop".into(),
            read_at: Timestamp::from_nanos(at),
            took: std::time::Duration::ZERO,
            uptime: None,
            is_replica: false,
            statements: Ok(statements),
            statements_reset_at: Some(Timestamp::from_nanos(1)),
            statements_evicted: Some(0),
            activity: Err(unread.clone()),
            locks: Err(unread.clone()),
            tables: Err(unread.clone()),
            indexes: Err(unread.clone()),
            settings: Err(unread.clone()),
            replication: Err(unread.clone()),
            connections: Err(unread),
            extensions: Vec::new(),
            transaction_id_age: None,
        }
    }

    fn check(before: &ServerReading, after: &ServerReading) -> (Vec<(u64, u64)>, WatchCounters) {
        let mut windows = Windows::default();
        let mut counters = WatchCounters::default();
        windows.add(before, after, 10.0, &mut counters);
        let calls = |(fingerprint, windows): (Fingerprint, Vec<StatementWindow>)| {
            (fingerprint.as_u64(), windows[0].work.count)
        };
        (windows.all().into_iter().map(calls).collect(), counters)
    }

    #[test]
    fn a_window_is_what_was_added_and_nothing_else() {
        let before = reading(1, vec![statement(1, 5), statement(2, 5)]);
        let after = reading(2, vec![statement(1, 8), statement(2, 5), statement(3, 4)]);
        let (calls, counters) = check(&before, &after);
        assert_eq!(calls, [(1, 3), (3, 4)]);
        assert_eq!(counters, WatchCounters::default());
    }

    #[test]
    fn a_counter_that_fell_drops_the_window_of_its_statement() {
        let before = reading(1, vec![statement(1, 5), statement(2, 5)]);
        let after = reading(2, vec![statement(1, 4), statement(2, 6)]);
        let (calls, counters) = check(&before, &after);
        assert_eq!((calls, counters.dropped), (vec![(2, 1)], 1));
    }

    #[test]
    fn a_reset_drops_all_windows() {
        let before = reading(1, vec![statement(1, 5)]);
        let after = ServerReading {
            statements_reset_at: Some(Timestamp::from_nanos(2)),
            ..reading(2, vec![statement(1, 50)])
        };
        let (calls, counters) = check(&before, &after);
        assert_eq!((calls, counters.resets), (vec![], 1));
    }

    #[test]
    fn what_was_not_seen_before_counts_only_when_nothing_can_have_been_overlooked() {
        let before = reading(1, vec![statement(1, 5)]);
        let after = ServerReading { statements_evicted: Some(3), ..reading(2, vec![statement(2, 9)]) };
        assert_eq!(check(&before, &after).0, []);
    }

    #[test]
    fn statements_and_windows_are_bounded() {
        let mut windows = Windows::default();
        let mut counters = WatchCounters::default();
        for at in 0..200 {
            let calls = u64::try_from(at).unwrap();
            let of = |calls| reading(at, vec![statement(1, calls)]);
            windows.add(&of(calls), &of(calls + 1), 1.0, &mut counters);
        }
        assert_eq!(windows.all()[&Fingerprint::from_u64(1)].len(), MOST_WINDOWS);
        for first in [1_000, 2_000] {
            let many: Vec<_> = (first..first + 400).map(|number| statement(number, 1)).collect();
            windows.add(
                &reading(i64::try_from(first).unwrap(), vec![]),
                &reading(i64::try_from(first + 1).unwrap(), many),
                1.0,
                &mut counters,
            );
        }
        let kept = windows.all();
        assert_eq!((kept.len(), counters.forgotten), (MOST_STATEMENTS, 301));
        assert!(
            !kept.contains_key(&Fingerprint::from_u64(1)) && kept.contains_key(&Fingerprint::from_u64(2_399))
        );
    }
}
