//! Trials: the same statement, with the same values, on a copy with the index
//! and on one without, in pairs and in random order.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, Statement, StatementStatus, types::ValueRef};
use veritas_model::{Clock, Interval, stable_hash};
use veritas_statistics::{
    Rng, bootstrap, order,
    paired::{Alternative, signed_rank},
};

use super::{
    binding::bind,
    guard::{bounded, describe, is_interrupted, rows_only},
    pager::take_page_reads,
};
use crate::Value;

/// Resamples of an interval.
const RESAMPLES: usize = 2_000;
/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;
/// Different vectors of which the page reads are counted.
const COLD_RUNS: usize = 8;

/// Two connections, one to each copy.
pub(crate) struct Bench {
    without: Connection,
    with: Connection,
    clock: Arc<dyn Clock>,
}

/// What one execution cost and brought.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    steps: f64,
    seconds: f64,
    digest: u64,
    rows: u64,
}

/// What the pairs showed.
#[derive(Debug, Clone)]
pub(crate) struct Pairs {
    /// The vector of each pair.
    vectors: Vec<usize>,
    /// Steps without and with the index.
    steps: Vec<(f64, f64)>,
    /// Seconds without and with the index.
    seconds: Vec<(f64, f64)>,
    /// Whether every pair brought the same rows.
    pub(crate) results_equal: bool,
    /// Pairs that failed on either side.
    pub(crate) failed: u64,
    /// The error of the first failed pair.
    pub(crate) error: Option<String>,
}

/// The gain of one metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gain {
    /// Mean cost without the index.
    pub(crate) before: f64,
    /// Mean cost with it.
    pub(crate) after: f64,
    /// Share that is gone.
    pub(crate) share: f64,
    /// Its interval.
    pub(crate) interval: Interval,
    /// One-sided p-value of "no gain".
    pub(crate) p_value: f64,
}

impl Bench {
    /// Opens the copies. They are ours alone: no locks, no waiting for the disk.
    pub(crate) fn open(without: &Path, with: &Path, clock: Arc<dyn Clock>) -> rusqlite::Result<Self> {
        let open = |path: &Path| -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; \
                 PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY",
            )?;
            Ok(connection)
        };
        Ok(Self { without: open(without)?, with: open(with)?, clock })
    }

    /// Returns the copy with the index.
    pub(crate) const fn with(&self) -> &Connection {
        &self.with
    }

    /// Creates the index on its copy and returns how long that took.
    pub(crate) fn build(&self, create: &str, limit: Duration) -> rusqlite::Result<Duration> {
        let started = self.clock.monotonic();
        bounded(&self.with, &self.clock, limit, || self.with.execute(create, []).map(drop))?;
        Ok(self.clock.monotonic().since(started))
    }

    /// Runs pairs of `sql`, `wanted` at most, until `limit` is over; every
    /// vector gets its turn before any gets a second one. Writes are rolled back.
    pub(crate) fn pairs(
        &self,
        sql: &str,
        vectors: &[Vec<Value>],
        wanted: usize,
        limit: Duration,
        rng: &mut Rng,
    ) -> rusqlite::Result<Pairs> {
        let mut without = rows_only(&self.without, || self.without.prepare(sql))?;
        let mut with = rows_only(&self.with, || self.with.prepare(sql))?;
        let mut pairs = Pairs {
            vectors: Vec::with_capacity(wanted),
            steps: Vec::with_capacity(wanted),
            seconds: Vec::with_capacity(wanted),
            results_equal: true,
            failed: 0,
            error: None,
        };
        let started = self.clock.monotonic();
        // Both page caches are warmed by a pair that does not count.
        let mut turn: Vec<usize> = vec![0; usize::from(!vectors.is_empty())];
        let mut counts = false;
        for _ in 0..=wanted {
            let elapsed = self.clock.monotonic().since(started);
            if elapsed > limit {
                break;
            }
            let Some(index) = turn.pop() else { break };
            let left = limit.saturating_sub(elapsed);
            let one = |statement: &mut Statement<'_>, connection: &Connection| {
                self.run(connection, statement, &vectors[index], left)
            };
            let (before, after) = if rng.below(2) == 0 {
                let before = one(&mut without, &self.without);
                (before, one(&mut with, &self.with))
            } else {
                let after = one(&mut with, &self.with);
                (one(&mut without, &self.without), after)
            };
            match (before, after) {
                _ if !counts => {}
                (Ok(before), Ok(after)) => pairs.add(index, before, after),
                (Err(error), _) | (_, Err(error)) if is_interrupted(&error) => {
                    pairs.error.get_or_insert_with(|| describe(&error));
                    break; // the time was over within the pair
                }
                (Err(error), _) | (_, Err(error)) => {
                    pairs.failed += 1;
                    pairs.error.get_or_insert_with(|| describe(&error));
                }
            }
            counts = true;
            if turn.is_empty() {
                turn = (0..vectors.len()).collect();
                rng.shuffle(&mut turn);
            }
        }
        Ok(pairs)
    }

    fn run(
        &self,
        connection: &Connection,
        statement: &mut Statement<'_>,
        parameters: &[Value],
        limit: Duration,
    ) -> rusqlite::Result<Run> {
        let writes = !statement.readonly();
        if writes {
            connection.execute_batch("BEGIN")?;
        }
        let result =
            bounded(connection, &self.clock, limit, || self.measure(connection, statement, parameters));
        if writes && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        result
    }

    fn measure(
        &self,
        connection: &Connection,
        statement: &mut Statement<'_>,
        parameters: &[Value],
    ) -> rusqlite::Result<Run> {
        bind(statement, parameters)?;
        statement.reset_status(StatementStatus::VmStep);
        let columns = statement.column_count();
        let (mut digest, mut returned) = (0_u64, 0_u64);
        let changed_before = connection.total_changes();
        let mut encoded = Vec::new();
        let started = self.clock.monotonic();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            encoded.clear();
            for column in 0..columns {
                encode(row.get_ref(column)?, &mut encoded);
            }
            // A sum does not see the order of the rows, and does see duplicates.
            digest = digest.wrapping_add(stable_hash(&encoded));
            returned += 1;
        }
        drop(rows);
        let seconds = self.clock.monotonic().since(started).as_secs_f64();
        let changed = connection.total_changes() - changed_before;
        let steps = f64::from(statement.get_status(StatementStatus::VmStep));
        Ok(Run { steps, seconds, digest: digest.wrapping_add(changed << 32), rows: returned })
    }

    /// Counts the bytes that one call reads with a cold page cache, without and
    /// with the index: means over some vectors.
    pub(crate) fn bytes_read(
        &self,
        sql: &str,
        vectors: &[Vec<Value>],
        limit: Duration,
    ) -> Option<(f64, f64)> {
        let mean = |connection: &Connection| {
            let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).ok()?;
            let mut statement = rows_only(connection, || connection.prepare(sql)).ok()?;
            let (mut pages, mut runs) = (0_u64, 0_u32);
            for parameters in vectors.iter().take(COLD_RUNS) {
                connection.release_memory().ok()?;
                take_page_reads(connection)?;
                if self.run(connection, &mut statement, parameters, limit).is_ok() {
                    pages += take_page_reads(connection)?;
                    runs += 1;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a few calls read fewer than 2^53 pages")]
            (runs > 0).then(|| pages as f64 * f64::from(page) / f64::from(runs))
        };
        mean(&self.without).zip(mean(&self.with))
    }
}

impl Pairs {
    fn add(&mut self, vector: usize, before: Run, after: Run) {
        self.vectors.push(vector);
        self.steps.push((before.steps, after.steps));
        self.seconds.push((before.seconds, after.seconds));
        self.results_equal &= before.digest == after.digest && before.rows == after.rows;
    }

    /// Returns how many pairs were measured.
    pub(crate) const fn count(&self) -> usize {
        self.steps.len()
    }

    /// Returns the gain in steps; `None` without pairs.
    pub(crate) fn steps(&self, seed: u64) -> Option<Gain> {
        gain(&self.by_vector(&self.steps), seed)
    }

    /// Returns the gain in seconds; `None` without pairs or when the clock is
    /// too coarse to see the statement.
    pub(crate) fn seconds(&self, seed: u64) -> Option<Gain> {
        gain(&self.by_vector(&self.seconds), seed)
    }

    /// Returns the mean pair of each vector: repetitions of one vector are no
    /// evidence about others. A statement that has one vector only, since it has no
    /// parameters, is judged by its repetitions.
    fn by_vector(&self, pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut sums: BTreeMap<usize, (f64, f64, f64)> = BTreeMap::new();
        for (vector, pair) in self.vectors.iter().zip(pairs) {
            let sum = sums.entry(*vector).or_default();
            *sum = (sum.0 + pair.0, sum.1 + pair.1, sum.2 + 1.0);
        }
        if sums.len() < 2 {
            return pairs.to_vec();
        }
        sums.into_values().map(|(before, after, count)| (before / count, after / count)).collect()
    }

    /// Returns the median seconds without and with the index.
    pub(crate) fn median_seconds(&self) -> (f64, f64) {
        let median = |side: fn(&(f64, f64)) -> f64| {
            let mut seconds: Vec<f64> = self.seconds.iter().map(side).collect();
            seconds.sort_by(f64::total_cmp);
            order::quantile(&seconds, 0.5).unwrap_or(0.0)
        };
        (median(|pair| pair.0), median(|pair| pair.1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a trial has fewer than 2^53 pairs")]
fn gain(pairs: &[(f64, f64)], seed: u64) -> Option<Gain> {
    let count = pairs.len() as f64;
    let before = pairs.iter().map(|pair| pair.0).sum::<f64>() / count;
    let after = pairs.iter().map(|pair| pair.1).sum::<f64>() / count;
    let share = 1.0 - after / before;
    if !share.is_finite() {
        return None;
    }
    let ratio = bootstrap::ratio_of_means_interval(pairs, CONFIDENCE, RESAMPLES, seed)?;
    let interval = Interval { low: 1.0 - ratio.high, high: 1.0 - ratio.low, confidence: ratio.confidence };
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.0 - pair.1).collect();
    let p_value = signed_rank(&differences, Alternative::Greater).map_or(1.0, |test| test.p_value);
    Some(Gain { before, after, share, interval, p_value })
}

/// Encodes a value so that equal values, and only they, give equal bytes.
/// Floats are equal when 12 digits are: a sum taken in another order differs
/// in the last ones.
pub(crate) fn encode(value: ValueRef<'_>, encoded: &mut Vec<u8>) {
    match value {
        ValueRef::Null => append(0, &[], encoded),
        ValueRef::Integer(value) => append(1, &value.to_le_bytes(), encoded),
        ValueRef::Real(value) => append(2, format!("{value:.11e}").as_bytes(), encoded),
        ValueRef::Text(bytes) => append(3, bytes, encoded),
        ValueRef::Blob(bytes) => append(4, bytes, encoded),
    }
}

fn append(tag: u8, bytes: &[u8], encoded: &mut Vec<u8>) {
    encoded.push(tag);
    encoded.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    encoded.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use veritas_model::SystemClock;
    use veritas_testkit::data_dir;

    use super::*;

    fn check_equal(left: &str, right: &str, expected: bool) {
        let directory = data_dir();
        let paths = ["left.sqlite", "right.sqlite"].map(|name| directory.path().join(name));
        for (path, rows) in paths.iter().zip([left, right]) {
            let connection = Connection::open(path).unwrap();
            connection.execute_batch("CREATE TABLE t(a, b)").unwrap();
            connection.execute_batch(&format!("INSERT INTO t VALUES {rows}")).unwrap();
        }
        let bench = Bench::open(&paths[0], &paths[1], Arc::new(SystemClock::new())).unwrap();
        let limit = Duration::from_mins(1);
        let vectors = [vec![Value::Integer(9)]];
        let pairs =
            bench.pairs("SELECT a, b FROM t WHERE a < ?", &vectors, 3, limit, &mut Rng::new(1)).unwrap();
        assert_eq!((pairs.count(), pairs.failed, pairs.results_equal), (3, 0, expected), "{left} / {right}");
    }

    #[test]
    fn repetitions_of_a_vector_are_one_piece_of_evidence() {
        let run = |steps| Run { steps, seconds: 0.0, digest: 0, rows: 0 };
        let mut pairs = Pairs {
            vectors: Vec::new(),
            steps: Vec::new(),
            seconds: Vec::new(),
            results_equal: true,
            failed: 0,
            error: None,
        };
        for repetition in 0..30 {
            pairs.add(repetition % 3, run(100.0), run(90.0));
        }
        // Three signs in a row are no proof, however often they are thrown again.
        assert_eq!(pairs.steps(1).unwrap().p_value, 0.125);
    }

    #[test]
    fn results_are_equal_as_multisets() {
        check_equal("(1, 'x'), (2, 'y')", "(2, 'y'), (1, 'x')", true);
        check_equal("(1, 'x'), (1, 'x')", "(1, 'x')", false);
        check_equal("(1, 'x'), (1, 'x'), (2, 'y')", "(1, 'x'), (2, 'y'), (2, 'y')", false);
        check_equal("(1, 2)", "(1, '2')", false);
        check_equal("(1, NULL)", "(1, '')", false);
        check_equal("(1, 0.1 + 0.2)", "(1, 0.3)", true);
        check_equal("(1, 0.30001)", "(1, 0.3)", false);
    }

    #[test]
    fn a_write_is_rolled_back_and_what_fails_is_counted() {
        let directory = data_dir();
        let paths = ["left.sqlite", "right.sqlite"].map(|name| directory.path().join(name));
        for path in &paths {
            let connection = Connection::open(path).unwrap();
            connection
                .execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
                .unwrap();
        }
        let bench = Bench::open(&paths[0], &paths[1], Arc::new(SystemClock::new())).unwrap();
        let vectors = [vec![Value::Integer(1)], vec![Value::Integer(2)]];
        let limit = Duration::from_mins(1);
        let pairs = bench.pairs("INSERT INTO t VALUES (?)", &vectors, 8, limit, &mut Rng::new(1)).unwrap();
        assert_eq!((pairs.count(), pairs.failed), (4, 4), "{pairs:?}");
        let rows: i64 = bench.with().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
    }
}
