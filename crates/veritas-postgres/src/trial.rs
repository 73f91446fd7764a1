//! Trials: statements executed in pairs on a copy, with and without a change, and what the pairs show.
//!
//! Both sides of a pair run on the same copy, one after the other, in an order that is
//! drawn: the same rows in the same pages of the same buffers. An index is taken out of
//! one side by dropping it in a transaction that is rolled back; the other side does and
//! undoes the same, so that what that costs is on both. What counts is the pages that the
//! server asked for (`EXPLAIN (ANALYZE, BUFFERS, TIMING OFF)`, found in its buffers or
//! not): the same on a busy machine and on an idle one. The time is told beside it, and
//! speaks against a change that saves pages and costs time.
//!
//! Nothing but what the [guard](crate::guard) has checked is executed, and only on a
//! [`Scratch`]. Queries run in transactions that only read; writes are rolled back.

mod batch;
mod pairs;
mod run;
mod values;

use std::{sync::Arc, time::Duration};

use veritas_model::{Clock, MeasuredGain};
use veritas_statistics::Rng;

pub use batch::{Group, batch};
pub use pairs::{Gain, Pairs};
pub use values::{Source, Vectors, of_calls, sampled};

use self::run::Bench;
use crate::{
    guard::Explainable,
    scratch::Scratch,
    session::{SessionError, qualified},
};

/// One side of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The statement.
    pub statement: &'a Explainable,
    /// An index that this side does without: schema and name.
    pub without: Option<(&'a str, &'a str)>,
}

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Pairs that are run when the time allows (96).
    pub pairs: usize,
    /// How long (30 s).
    pub time: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { pairs: 96, time: Duration::from_secs(30) }
    }
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is nothing to run the statement with.
    #[error("there are no values to run the statement with")]
    NoValues,
    /// The server of the copy said no before any pair was run.
    #[error("failed to run the statement on the copy")]
    Session(#[source] SessionError),
}

/// Runs pairs until there are enough or the time is over; every vector gets its turn
/// before any gets a second one. Where both sides are queries, what they return is
/// compared once for each vector.
///
/// # Errors
///
/// When there is nothing to run it with, or the copy is lost. A pair that fails is counted
/// in [`Pairs::failed`].
pub fn run(
    scratch: &mut Scratch,
    before: Side<'_>,
    after: Side<'_>,
    vectors: &[Vec<Option<String>>],
    effort: Effort,
    clock: &Arc<dyn Clock>,
    rng: &mut Rng,
) -> Result<Pairs, TrialError> {
    if vectors.is_empty() {
        return Err(TrialError::NoValues);
    }
    let hidden = |side: &Side<'_>| side.without.map(|(schema, name)| qualified(schema, name));
    let names = [hidden(&before), hidden(&after)];
    // What one side does without, the other one drops and gets back.
    let both = names.iter().flatten().next().cloned();
    let mut bench = Bench { session: scratch.session(), clock: Arc::clone(clock) };
    let mut pairs = Pairs::default();
    let started = clock.monotonic();
    let mut compared = vec![false; vectors.len()];
    // The buffers are warmed by a pair that does not count.
    let mut turn: Vec<usize> = vec![0];
    let mut counts = false;
    for _ in 0..=effort.pairs {
        let left = effort.time.saturating_sub(clock.monotonic().since(started));
        let Some(index) = turn.pop().filter(|_| !left.is_zero()) else { break };
        let mut one = |number: usize, side: &Side<'_>, compare: bool| {
            let scene = run::Scene { without: names[number].as_deref(), restored: both.as_deref() };
            bench.execute(side.statement, &vectors[index], scene, compare, left)
        };
        let compare = !compared[index] && before.statement.is_query() && after.statement.is_query();
        let (first, second) = if rng.below(2) == 0 {
            let first = one(0, &before, compare);
            (first, one(1, &after, compare))
        } else {
            let second = one(1, &after, compare);
            (one(0, &before, compare), second)
        };
        match (first, second) {
            (Ok(first), Ok(second)) => {
                compared[index] |= compare;
                pairs.compare(&first, &second);
                if counts {
                    pairs.add(index, &first, &second);
                }
            }
            (Err(error @ (SessionError::Lost | SessionError::TimedOut)), _)
            | (_, Err(error @ (SessionError::Lost | SessionError::TimedOut))) => {
                if bench.session.is_lost() {
                    return Err(TrialError::Session(error));
                }
                pairs.fail(&error);
                break;
            }
            (Err(error), _) | (_, Err(error)) => {
                pairs.fail(&error);
                if pairs.failed > 2 * vectors.len() as u64 && pairs.count() == 0 {
                    break;
                }
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

/// Compares two ways to ask for the same, on the same copy: what they return and what
/// they cost.
///
/// # Errors
///
/// As [`run`]; and [`TrialError::NoValues`] when not a single pair could be run.
pub fn compare(
    scratch: &mut Scratch,
    before: &Explainable,
    after: &Explainable,
    vectors: &[Vec<Option<String>>],
    effort: Effort,
    clock: &Arc<dyn Clock>,
) -> Result<MeasuredGain, TrialError> {
    let mut rng = Rng::new(veritas_model::stable_hash(before.sql().as_bytes()));
    let side = |statement| Side { statement, without: None };
    let pairs = run(scratch, side(before), side(after), vectors, effort, clock, &mut rng)?;
    let copy = scratch.words();
    pairs
        .measured(rng.next_u64(), |pairs| format!("{} pairs in random order, on {copy}", pairs.count()))
        .ok_or(TrialError::NoValues)
}
