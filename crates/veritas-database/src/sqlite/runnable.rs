//! Runnables: recorded statements that can be run on the copies.

use std::time::Duration;

use veritas_statistics::Rng;

use super::{
    executable::Executable,
    guard::{describe, rows_only},
    schema::Schema,
    statement::{Verb, parse},
    trial::Bench,
    values::{Source, vectors},
};
use crate::{StatementStatistics, Value};

/// Pairs of each write in scope.
const WRITE_PAIRS: usize = 12;
/// Writes in scope that are measured, the most called first.
const WRITES: usize = 6;

/// A statement that can be run on the copies.
pub(super) struct Runnable<'s> {
    /// What was recorded of it.
    pub(super) statistics: &'s StatementStatistics,
    /// Its text.
    pub(super) executable: Executable,
    /// The values to run it with, at least one vector.
    pub(super) vectors: Vec<Vec<Value>>,
    /// Where the values come from.
    pub(super) source: Source,
}

/// Prepares the statements that `choose` picks, the most expensive first,
/// until `enough` of them can be run.
pub(super) fn runnables<'s>(
    statistics: &'s [StatementStatistics],
    bench: &Bench,
    schema: &Schema,
    rng: &mut Rng,
    enough: usize,
    choose: impl Fn(&StatementStatistics, Verb) -> bool,
) -> (Vec<Runnable<'s>>, Option<String>) {
    let mut subjects = Vec::new();
    let mut reason = None;
    for statistics in statistics {
        if subjects.len() >= enough {
            break;
        }
        let executable = Executable::of(statistics);
        let Ok(statement) = parse(&executable.sql) else { continue };
        if !choose(statistics, statement.verb) {
            continue;
        }
        let rows = (statistics.rows_returned / statistics.calls.max(1)).max(1);
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let found =
            rows_only(bench.with(), || Ok(vectors(&executable, &statement, schema, bench.with(), rows, rng)));
        match found.unwrap_or_else(|error| Err(describe(&error))) {
            Ok((vectors, source)) => subjects.push(Runnable { statistics, executable, vectors, source }),
            Err(why) => reason = Some(why),
        }
    }
    (subjects, reason)
}

/// Measures the writes in scope; the share by which they became costlier,
/// and what to say of it.
pub(super) fn writes_in_scope(
    statistics: &[StatementStatistics],
    bench: &Bench,
    schema: &Schema,
    limit: Duration,
    rng: &mut Rng,
) -> (Option<f64>, String) {
    let mut in_scope: Vec<StatementStatistics> = statistics.to_vec();
    in_scope.sort_by_key(|statement| std::cmp::Reverse(statement.calls));
    let (subjects, _) = runnables(&in_scope, bench, schema, rng, WRITES, |_, verb| verb != Verb::Select);
    let (mut before, mut after, mut measured, mut failed) = (0.0, 0.0, 0_u32, 0_u32);
    let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX).max(1);
    for subject in &subjects {
        let sql = &subject.executable.sql;
        let measure = |vectors: &[Vec<Value>], rng: &mut Rng| {
            bench.pairs(sql, vectors, WRITE_PAIRS, limit / count, rng).ok()?.steps(rng.next_u64())
        };
        let gain = measure(&subject.vectors, rng).or_else(|| {
            // What was inserted once, key and all, cannot be inserted again; the
            // values of another row with a new number may do.
            let fresh = fresh_vectors(sql, bench, schema, rng)?;
            measure(&fresh, rng)
        });
        match gain {
            Some(gain) => {
                #[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
                let calls = subject.statistics.calls as f64;
                before += calls * gain.before;
                after += calls * gain.after;
                measured += 1;
            }
            None => failed += 1,
        }
    }
    let slowdown = (measured > 0 && before > 0.0).then(|| after / before - 1.0);
    let said = match (measured, failed) {
        (0, 0) => "no writes in scope".to_owned(),
        (measured, 0) => format!("writes in scope, rolled back: {measured}"),
        (measured, failed) => {
            format!("writes in scope, rolled back: {measured}, not to be repeated: {failed}")
        }
    };
    (slowdown, said)
}

fn fresh_vectors(sql: &str, bench: &Bench, schema: &Schema, rng: &mut Rng) -> Option<Vec<Vec<Value>>> {
    let executable = Executable { sql: sql.to_owned(), vectors: Vec::new() };
    let statement = parse(sql).ok().filter(|statement| statement.verb == Verb::Insert)?;
    let sampled =
        rows_only(bench.with(), || Ok(vectors(&executable, &statement, schema, bench.with(), 1, rng)));
    sampled.ok()?.ok().map(|(vectors, _)| vectors)
}

/// Returns whether a statement touches a table of the `main` schema, as far as
/// the recorder knows.
pub(super) fn touches(statement: &StatementStatistics, table: &str) -> bool {
    let table = without_quotes(table).to_lowercase();
    statement.tables.iter().any(|touched| {
        *touched == table || touched.strip_prefix("main.").is_some_and(|touched| touched == table)
    })
}

/// Returns a name as the recorder keeps it.
pub(super) fn without_quotes(name: &str) -> String {
    name.replace(['"', '`'], "")
}
