//! What the statements in a plan's scope cost so far: by the server's counters where it tells them, else by the recorder's.
//!
//! The server tells calls, their seconds (mean and spread), and pages in all. Between two
//! readings the pages of a statement are taken to vary from call to call as its seconds
//! do, in proportion: time varies with the pages and with whatever else the machine does,
//! so their spread is not taken for smaller than it is. On a busy machine that is far too
//! wide to see harm by. Once there are enough readings, how far their means lie apart tells
//! the spread of the pages themselves ([`Statement::spread`]). What was counted between a
//! reading before a change and the next one after it is dropped: it is neither before nor
//! after.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use veritas_database::{
    Recorder,
    server::{NotRead, ServerReading, ServerStatement},
};
use veritas_model::{Fingerprint, Moments, Monotonic, Plan, Timestamp, WorkMetric, WorkTotals};

use crate::target::PostgresTarget;

/// Statements of one target that are kept apart.
const MOST_STATEMENTS: usize = 5_000;
/// Indexes of one target that are followed.
const MOST_INDEXES: usize = 20_000;
/// Plans whose source of figures is remembered.
const MOST_PLANS: usize = 1_024;
/// How long the server's first reading is waited for, before a plan's work is counted by the
/// recorder for good: an engine that starts is asked for it before that reading is there.
const TO_BE_READ: Duration = Duration::from_mins(1);
/// Steps from one reading to the next after which they tell how the pages of a call vary.
const ENOUGH_STEPS: u32 = 8;
/// How many times as wide that is taken, having been seen in so few steps: the variance that 8 of
/// them show is less than a third of the true one in 5 of 100 cases.
const DOUBT: f64 = 3.0;

/// The work of all targets.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    targets: BTreeMap<String, Counted>,
    /// Whether a plan's work is counted by the server: once decided, it stays, since
    /// figures of two sources cannot be compared.
    by_server: HashMap<(String, String), bool>,
}

/// What the server counted of one target while we looked.
#[derive(Debug, Default)]
struct Counted {
    /// When the work of a plan was asked for first.
    asked_at: Option<Monotonic>,
    last_read: Option<Timestamp>,
    /// The last reading that told the statements.
    last_told: Option<Timestamp>,
    last_reset: Option<Timestamp>,
    statements: HashMap<Fingerprint, Statement>,
    /// Until this moment something of ours changed the server.
    changed_at: Option<Timestamp>,
    /// Since when each index is seen without a further scan, and the scans then.
    indexes: HashMap<(String, String), (Timestamp, u64)>,
}

#[derive(Debug)]
struct Statement {
    tables: Vec<String>,
    last: (Moments, f64),
    seconds: Moments,
    buffers: Moments,
    /// Calls between the last two readings, and their pages a call.
    batch: Option<(f64, f64)>,
    /// What the steps between such means show of the variance of one call: their sum, and how many.
    steps: (f64, u32),
}

impl Ledger {
    /// Returns the work in a plan's scope.
    pub(super) fn work(&self, target: &PostgresTarget, plan: &Plan, recorder: &Recorder) -> Vec<WorkTotals> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = target.latest.get(&target.name);
        if let Some(readings) = &readings {
            inner.targets.entry(target.name.clone()).or_default().take_in(&readings.reading);
        }
        let key = (target.name.clone(), plan.forward.clone());
        let by_server = if let Some(known) = inner.by_server.get(&key) {
            *known
        } else {
            let now = target.clock.monotonic();
            let since = inner.targets.entry(target.name.clone()).or_default().asked_at.get_or_insert(now);
            let is_late = now.since(*since) >= TO_BE_READ;
            let decided = match readings.as_ref().map(|readings| &readings.reading.statements) {
                Some(Ok(_)) => true,
                // It never tells.
                Some(Err(why)) if !matches!(why, NotRead::TimedOut | NotRead::Unreachable { .. }) => false,
                // It may tell in a moment, and its figures are worth the wait: they have pages.
                _ if !is_late => return Vec::new(),
                Some(Err(_)) => false,
                None if recorder.work(&plan.scope).iter().any(|totals| totals.seconds.count > 0) => false,
                // Nobody tells anything yet.
                None => return Vec::new(),
            };
            if inner.by_server.len() >= MOST_PLANS {
                inner.by_server.clear();
            }
            inner.by_server.insert(key, decided);
            decided
        };
        if !by_server {
            return recorder.work(&plan.scope);
        }
        inner.targets.get(&target.name).map(|counted| counted.work(&plan.scope)).unwrap_or_default()
    }

    /// Notes that a change was made or taken back just now.
    pub(super) fn changed(&self, target: &PostgresTarget) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.targets.entry(target.name.clone()).or_default().changed_at = Some(target.clock.now());
    }

    /// Returns since when an index is seen without a scan; `None` when it was not seen, or
    /// was scanned since the last reading.
    pub(super) fn unscanned_since(
        &self,
        target: &PostgresTarget,
        schema: &str,
        index: &str,
        scans: i64,
    ) -> Option<Timestamp> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, seen) =
            *inner.targets.get(&target.name)?.indexes.get(&(schema.to_owned(), index.to_owned()))?;
        (u64::try_from(scans) == Ok(seen)).then_some(since)
    }
}

impl Counted {
    /// Takes in a reading, once.
    fn take_in(&mut self, reading: &ServerReading) {
        if self.last_read.is_some_and(|last| last >= reading.read_at) {
            return;
        }
        self.last_read = Some(reading.read_at);
        if let Ok(indexes) = &reading.indexes {
            for index in indexes {
                let Some(scans) = index.scans else { continue };
                let key = (index.schema.clone(), index.name.clone());
                let known = self.indexes.get(&key).copied();
                // A counter that moved, either way, begins anew.
                if known.is_none_or(|(_, seen)| seen != scans)
                    && (known.is_some() || self.indexes.len() < MOST_INDEXES)
                {
                    self.indexes.insert(key, (reading.read_at, scans));
                }
            }
        }
        let Ok(statements) = &reading.statements else { return };
        let last = self.last_told;
        let was_reset = self.last_reset != reading.statements_reset_at && last.is_some();
        // Another server, or the same one after a restart: its counters may be others.
        let restarted =
            last.zip(reading.uptime).is_some_and(|(last, uptime)| uptime < reading.read_at.since(last));
        let is_mixed = restarted || self.changed_at.is_some_and(|at| last.is_none_or(|last| last <= at));
        let mut room = MOST_STATEMENTS.saturating_sub(self.statements.len());
        for statement in statements {
            let now = (statement.seconds, pages(statement));
            match self.statements.get_mut(&statement.fingerprint) {
                Some(known) => {
                    let began_anew = was_reset || known.last.0.count > now.0.count;
                    let before = if began_anew { (Moments::default(), 0.0) } else { known.last };
                    if !is_mixed {
                        known.add(now.0.since(&before.0), now.1 - before.1);
                    }
                    known.last = now;
                }
                None if room > 0 => {
                    room -= 1;
                    // What it cost before we looked may be years old.
                    let new = Statement {
                        tables: statement.tables.clone(),
                        last: now,
                        seconds: Moments::default(),
                        buffers: Moments::default(),
                        batch: None,
                        steps: (0.0, 0),
                    };
                    self.statements.insert(statement.fingerprint, new);
                }
                None => {}
            }
        }
        self.last_told = Some(reading.read_at);
        self.last_reset = reading.statements_reset_at;
    }

    fn work(&self, scope: &[String]) -> Vec<WorkTotals> {
        let mut work: Vec<WorkTotals> = self
            .statements
            .iter()
            .filter(|(_, statement)| statement.tables.iter().any(|table| is_among(table, scope)))
            .map(|(fingerprint, statement)| WorkTotals {
                fingerprint: *fingerprint,
                name: fingerprint.to_string(),
                metric: WorkMetric::Buffers,
                steps: statement.buffers,
                seconds: statement.seconds,
            })
            .collect();
        work.sort_by(|one, other| one.name.cmp(&other.name));
        work
    }
}

impl Statement {
    /// Adds what was counted between two readings.
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
    fn add(&mut self, seconds: Moments, pages: f64) {
        let (Some(mean), true) = (seconds.mean(), pages >= 0.0) else { return };
        let of_time = match seconds.variance() {
            Some(variance) if mean > 0.0 => variance / (mean * mean),
            _ => 0.0,
        };
        let calls = seconds.count as f64;
        let spread = self.spread(calls, pages / calls).map_or(of_time, |of_pages| of_pages.min(of_time));
        let buffers = Moments {
            count: seconds.count,
            sum: pages,
            sum_of_squares: pages * pages / calls * (1.0 + spread),
        };
        self.seconds = self.seconds.and(&seconds);
        self.buffers = self.buffers.and(&buffers);
    }

    /// Returns how the pages of one call vary, as the variance over the square of the mean, by
    /// how far the means of readings one after the other lie apart: the difference of two means
    /// of `m` and `n` calls varies as one call does, times `1 / m + 1 / n`. `None` until there
    /// are enough of them. One reading that is far off counts at once, and in full: what is
    /// rare and heavy is not averaged away.
    fn spread(&mut self, calls: f64, mean: f64) -> Option<f64> {
        let (earlier_calls, earlier) = self.batch.replace((calls, mean))?;
        let step = (mean - earlier) * (mean - earlier) / (1.0 / calls + 1.0 / earlier_calls);
        self.steps = (self.steps.0 + step, self.steps.1 + 1);
        let (sum, count) = self.steps;
        let variance = DOUBT * (sum / f64::from(count)).max(step);
        (count >= ENOUGH_STEPS && mean > 0.0).then(|| variance / (mean * mean))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of pages stay below 2^53")]
fn pages(statement: &ServerStatement) -> f64 {
    (statement.buffers_hit + statement.buffers_read) as f64
}

/// Compares names of tables as the recorder does: a schema counts only when both have one.
pub(super) fn is_among(table: &str, wanted: &[String]) -> bool {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    wanted.iter().any(|name| {
        let both_qualified = name.contains('.') && table.contains('.');
        if both_qualified { name.to_lowercase() == table.to_lowercase() } else { bare(name) == bare(table) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            tables: Vec::new(),
            last: (Moments::default(), 0.0),
            seconds: Moments::default(),
            buffers: Moments::default(),
            batch: None,
            steps: (0.0, 0),
        }
    }

    /// A reading of calls that take `seconds` on average, every other one next to nothing.
    fn add(statement: &mut Statement, calls: u32, seconds: f64, pages_a_call: f64) {
        let mut moments = Moments::default();
        for call in 0..calls {
            moments.add(if call % 2 == 0 { 2.0 * seconds } else { 0.0 });
        }
        statement.add(moments, f64::from(calls) * pages_a_call);
    }

    fn spread(statement: &Statement) -> f64 {
        statement.buffers.variance().unwrap() / statement.buffers.mean().unwrap().powi(2)
    }

    #[test]
    fn pages_vary_as_time_does_until_enough_readings_tell_how_they_vary() {
        let mut known = statement();
        for _ in 0..ENOUGH_STEPS {
            add(&mut known, 50, 0.001, 7.0);
        }
        assert!((spread(&known) - 1.0).abs() < 0.05, "{}", spread(&known));
        let before = known.buffers;
        for _ in 0..10 {
            add(&mut known, 50, 0.001, 7.0);
        }
        let since = known.buffers.since(&before);
        assert!(since.variance().unwrap() < 0.1, "they do not vary at all: {since:?}");
    }

    #[test]
    fn a_reading_that_is_far_off_widens_the_spread_at_once() {
        let mut known = statement();
        for _ in 0..=ENOUGH_STEPS {
            add(&mut known, 50, 0.001, 7.0);
        }
        let before = known.buffers;
        // One call of 5 000 pages among 50.
        add(&mut known, 50, 0.05, 107.0);
        let since = known.buffers.since(&before);
        let truth = 5_000.0 * 5_000.0 / 50.0;
        let taken = since.sum_of_squares / 50.0 - 107.0 * 107.0;
        // As time varied, which did so by less than the pages here: it is the smaller of the two.
        assert!(taken >= (107.0_f64 * 107.0).min(truth) * 0.9, "{taken}");
    }
}
