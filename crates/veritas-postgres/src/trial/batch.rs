//! A statement for each key against one for all keys: their rows, their pages, and the time
//! with every round trip in it.
//!
//! A pair is a group of keys: the single statements one after the other, and the batch. Of
//! each group the rows are compared: those of the batch, without the key that it has beyond
//! them, are those of the single statements together, as a multiset.

use std::{sync::Arc, time::Duration};

use tokio_postgres::types::ToSql;
use veritas_model::{Clock, MeasuredGain, WorkMetric, stable_hash};
use veritas_statistics::Rng;

use super::{
    Effort, Pairs, TrialError,
    run::{AsText, Bench, Returned, Run, Scene},
};
use crate::{
    guard::Explainable,
    scratch::Scratch,
    session::{Session, SessionError},
};

/// Rows of one side that are compared at most.
const MOST_ROWS: usize = 20_000;

/// Some keys: the values of each single statement, and those of the batch.
pub struct Group {
    /// The values of the single statement, for each key.
    pub single: Vec<Vec<Option<String>>>,
    /// The values of the batch.
    pub batch: Vec<Option<String>>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are never shown.
        f.debug_struct("Group").field("keys", &self.single.len()).finish_non_exhaustive()
    }
}

/// Compares single statements with their batch on the copy.
///
/// The verdict is in pages; where the batch reads as many, it is in seconds, in which a
/// round trip for each key counts.
///
/// # Errors
///
/// [`TrialError::NoValues`] when not a single pair could be run; [`TrialError::Session`]
/// when the copy is lost.
pub fn batch(
    scratch: &mut Scratch,
    single: &Explainable,
    batch: &Explainable,
    groups: &[Group],
    effort: Effort,
    clock: &Arc<dyn Clock>,
) -> Result<MeasuredGain, TrialError> {
    let copy = scratch.words();
    let mut rng = Rng::new(stable_hash(single.sql().as_bytes()));
    let started = clock.monotonic();
    let mut bench = Bench { session: scratch.session(), clock: Arc::clone(clock) };
    let columns = columns(bench.session, single.sql()).map_err(TrialError::Session)?;
    let mut pairs = Pairs::default();
    for number in 0..effort.pairs {
        let left = effort.time.saturating_sub(clock.monotonic().since(started));
        let index = number % groups.len().max(1);
        let Some(group) = groups.get(index).filter(|_| !left.is_zero()) else { break };
        let compares = number < groups.len();
        let batched = [group.batch.clone()];
        let mut side = |statement: &Explainable, vectors: &[Vec<Option<String>>]| {
            of_side(&mut bench, statement, vectors, compares.then_some(columns), left)
        };
        let (before, after) = if rng.below(2) == 0 {
            let before = side(single, &group.single);
            (before, side(batch, &batched))
        } else {
            let after = side(batch, &batched);
            (side(single, &group.single), after)
        };
        match (before, after) {
            (Ok(before), Ok(after)) => {
                pairs.compare(&before, &after);
                pairs.add(index, &before, &after);
            }
            (Err(error), _) | (_, Err(error)) => {
                if bench.session.is_lost() {
                    return Err(TrialError::Session(error));
                }
                pairs.fail(&error);
                break;
            }
        }
    }
    let keys: usize = groups.iter().map(|group| group.single.len()).max().unwrap_or(0);
    let words = |pairs: &Pairs| {
        format!(
            "{} pairs of {keys} single statements and one batch, in random order, on {copy}",
            pairs.count()
        )
    };
    let measured = pairs.measured(rng.next_u64(), words).ok_or(TrialError::NoValues)?;
    Ok(in_seconds(measured, &pairs, rng.next_u64()))
}

/// Puts the verdict in seconds where the pages are about the same, and the time is shorter
/// beyond chance.
fn in_seconds(measured: MeasuredGain, pairs: &Pairs, seed: u64) -> MeasuredGain {
    let same_pages =
        measured.metric == WorkMetric::Buffers && measured.gain.abs() < MeasuredGain::SMALLEST_WORTHWHILE;
    match pairs.seconds(seed).filter(|seconds| same_pages && seconds.interval.low > 0.0) {
        Some(seconds) => MeasuredGain {
            metric: WorkMetric::Seconds,
            before: seconds.before,
            after: seconds.after,
            gain: seconds.share,
            gain_interval: seconds.interval,
            p_value: seconds.p_value,
            ..measured
        },
        None => measured,
    }
}

/// Runs a statement with each vector: its pages, and the time of plain executions.
fn of_side(
    bench: &mut Bench<'_>,
    statement: &Explainable,
    vectors: &[Vec<Option<String>>],
    columns: Option<usize>,
    limit: Duration,
) -> Result<Run, SessionError> {
    let none = Scene { without: None, restored: None };
    let mut all = Run { pages: 0.0, pages_read: 0.0, seconds: 0.0, result: None };
    let mut rows = Vec::new();
    for values in vectors {
        let one = bench.execute(statement, values, none, false, limit)?;
        all.pages += one.pages;
        all.pages_read += one.pages_read;
        all.seconds += elapsed(bench, statement, values, limit)?;
        if let Some(columns) = columns {
            texts(bench, statement, values, columns, limit, &mut rows)?;
        }
    }
    if columns.is_some() {
        rows.sort_unstable();
        let hash = rows.iter().fold(0_u64, |hash, row| hash.rotate_left(5) ^ row);
        all.result = Some(Returned { rows: rows.len() as u64, any_order: hash, in_order: hash });
    }
    Ok(all)
}

/// Runs something in a transaction that only reads and is rolled back.
fn reading<T>(
    bench: &mut Bench<'_>,
    limit: Duration,
    work: impl FnOnce(&mut Bench<'_>) -> Result<T, SessionError>,
) -> Result<T, SessionError> {
    let limit = limit.max(Duration::from_millis(10));
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", limit.as_millis());
    bench.session.batch(&begin)?;
    let done = work(bench);
    if !bench.session.is_lost() {
        bench.session.batch("ROLLBACK")?;
    }
    done
}

fn elapsed(
    bench: &mut Bench<'_>,
    statement: &Explainable,
    values: &[Option<String>],
    limit: Duration,
) -> Result<f64, SessionError> {
    reading(bench, limit, |bench| {
        let started = bench.clock.monotonic();
        let _rows = asked(bench.session, statement.sql(), statement, values)?;
        Ok(bench.clock.monotonic().since(started).as_secs_f64())
    })
}

/// Adds a number for each row: of its first columns, as the server writes them.
fn texts(
    bench: &mut Bench<'_>,
    statement: &Explainable,
    values: &[Option<String>],
    columns: usize,
    limit: Duration,
    rows: &mut Vec<u64>,
) -> Result<(), SessionError> {
    let known = self::columns(bench.session, statement.sql())?;
    let names: Vec<String> = (0..known).map(|index| format!("c{index}")).collect();
    let wanted: Vec<String> = names.iter().take(columns).map(|name| format!("{name}::text")).collect();
    let sql = format!(
        "SELECT {} FROM ({}) AS q({}) LIMIT {}",
        wanted.join(", "),
        statement.sql(),
        names.join(", "),
        MOST_ROWS + 1
    );
    let found = reading(bench, limit, |bench| asked(bench.session, &sql, statement, values))?;
    if found.len() + rows.len() > MOST_ROWS {
        return Err(SessionError::Answer { reason: "more rows than are compared".to_owned() });
    }
    for row in found {
        let mut bytes = Vec::new();
        for column in 0..row.len() {
            match row.get::<_, Option<&str>>(column) {
                None => bytes.push(0),
                Some(text) => {
                    bytes.push(1);
                    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        rows.push(stable_hash(&bytes));
    }
    Ok(())
}

fn asked(
    session: &mut Session,
    sql: &str,
    statement: &Explainable,
    values: &[Option<String>],
) -> Result<Vec<tokio_postgres::Row>, SessionError> {
    let answer = || SessionError::Answer { reason: "other parameters than values".to_owned() };
    let sent = statement.sent_values(values).ok_or_else(answer)?;
    let sent: Vec<AsText<'_>> = sent.iter().map(|value| AsText(value.as_deref())).collect();
    let sent: Vec<&(dyn ToSql + Sync)> = sent.iter().map(|value| value as _).collect();
    session.query(sql, &sent)
}

fn columns(session: &mut Session, sql: &str) -> Result<usize, SessionError> {
    let client = session.client()?;
    Ok(session.block_on(client.prepare(sql))?.columns().len())
}
