//! What the statements in a plan's scope cost so far: by the server's counters where it tells them, else by the recorder's.
//!
//! The server tells calls, their seconds (mean and spread), and pages in all. Between two
//! readings the pages of a statement are taken to vary from call to call as its seconds
//! do, in proportion: time varies with the pages and with whatever else the machine does,
//! so their spread is not taken for smaller than it is. What was counted between a
//! reading before a change and the next one after it is dropped: it is neither before nor
//! after.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use veritas_database::{
    Recorder,
    server::{ServerReading, ServerStatement},
};
use veritas_model::{Fingerprint, Moments, Plan, Timestamp, WorkMetric, WorkTotals};

use crate::target::PostgresTarget;

/// Statements of one target that are kept apart.
const MOST_STATEMENTS: usize = 5_000;
/// Indexes of one target that are followed.
const MOST_INDEXES: usize = 20_000;
/// Plans whose source of figures is remembered.
const MOST_PLANS: usize = 1_024;

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
            let tells = readings.as_ref().map(|readings| readings.reading.statements.is_ok());
            let seen = recorder.work(&plan.scope);
            let decided = match tells {
                Some(tells) => tells,
                None if seen.iter().any(|totals| totals.seconds.count > 0) => false,
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
        let spread = match seconds.variance() {
            Some(variance) if mean > 0.0 => variance / (mean * mean),
            _ => 0.0,
        };
        let calls = seconds.count as f64;
        let buffers = Moments {
            count: seconds.count,
            sum: pages,
            sum_of_squares: pages * pages / calls * (1.0 + spread),
        };
        self.seconds = self.seconds.and(&seconds);
        self.buffers = self.buffers.and(&buffers);
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
