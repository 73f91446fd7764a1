//! The search for the best set: grow by steps saved for a byte, then replace, add and leave out.

use std::sync::Arc;

use rusqlite::Connection;
use veritas_model::{Bytes, Clock, Monotonic};

use super::{
    super::{
        definition::IndexDefinition,
        guard::{bounded, is_interrupted},
        schema::indexes,
        status::{Executed, execute},
    },
    ChosenIndex, Runnable, StatementOutcome, WorkloadAdvice, WorkloadOptions, bytes_of,
};

/// An index must save this share of the whole workload's steps to be worth its writes.
const LEAST_SHARE: f64 = 0.001;
/// Rounds of replacing, adding and leaving out.
const ROUNDS: u32 = 4;

/// A candidate, what it takes, and what it saved when it was last looked at.
struct Candidate {
    definition: IndexDefinition,
    bytes: Bytes,
    saved: f64,
}

/// A search on one copy.
pub(super) struct Search<'a> {
    connection: &'a Connection,
    statements: &'a [Runnable<'a>],
    options: &'a WorkloadOptions,
    clock: Arc<dyn Clock>,
    until: Monotonic,
    /// The set, built on the copy.
    chosen: Vec<(IndexDefinition, Bytes)>,
    /// Steps of each statement with the set, one call with each vector.
    steps: Vec<u64>,
    built: u64,
    ended_early: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        statements: &'a [Runnable<'a>],
        options: &'a WorkloadOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let until = clock.monotonic().plus(options.longest);
        let steps = statements.iter().map(|statement| statement.before.status.vm_steps).collect();
        Self {
            connection,
            statements,
            options,
            clock,
            until,
            chosen: Vec::new(),
            steps,
            built: 0,
            ended_early: false,
        }
    }

    /// Searches; the set stands on the copy afterwards.
    pub(super) fn run(&mut self, candidates: Vec<IndexDefinition>) -> rusqlite::Result<()> {
        let mut pool = Vec::new();
        for definition in candidates {
            if self.is_over() {
                break;
            }
            if self.is_there(&definition)? {
                continue;
            }
            if let Some((saved, bytes)) = self.try_add(&definition)? {
                pool.push(Candidate { definition, bytes, saved });
            }
        }
        self.grow(&mut pool)?;
        for _ in 0..ROUNDS {
            let before = self.total(&self.steps);
            self.replace(&mut pool)?;
            self.leave_out(&mut pool)?;
            // What was worth nothing beside others may be worth something now.
            for candidate in &mut pool {
                candidate.saved = f64::MAX;
            }
            self.grow(&mut pool)?;
            if self.is_over() || self.total(&self.steps) >= before {
                break;
            }
        }
        self.leave_out(&mut pool)
    }

    /// Adds whatever saves most for its bytes, as long as something fits and saves enough.
    fn grow(&mut self, pool: &mut Vec<Candidate>) -> rusqlite::Result<()> {
        let mut fresh: Vec<bool> = vec![false; pool.len()];
        while !self.is_over() {
            let room = self.room();
            let density = |candidate: &Candidate| candidate.saved / as_float(candidate.bytes.get().max(1));
            let best = (0..pool.len())
                .filter(|&place| pool[place].bytes <= room && pool[place].saved > self.least())
                .max_by(|&left, &right| density(&pool[left]).total_cmp(&density(&pool[right])));
            let Some(best) = best else { return Ok(()) };
            if !fresh[best] {
                // Looked at again beside those that are there by now; the next look may find another first.
                let looked = self.try_add(&pool[best].definition)?;
                pool[best].saved = looked.map_or(0.0, |(saved, _)| saved);
                fresh[best] = true;
                continue;
            }
            let candidate = pool.remove(best);
            self.add(candidate.definition, candidate.bytes)?;
            fresh = vec![false; pool.len()];
        }
        Ok(())
    }

    /// Replaces an index by another of its table where that saves more and fits.
    fn replace(&mut self, pool: &mut Vec<Candidate>) -> rusqlite::Result<()> {
        let mut place = 0;
        while place < self.chosen.len() && !self.is_over() {
            let (old, old_bytes) = self.chosen[place].clone();
            let room = Bytes::new(self.room().get() + old_bytes.get());
            let now = self.total(&self.steps);
            let mut best: Option<(usize, f64)> = None;
            self.remove(place)?;
            let without = self.total(&self.steps);
            for (index, candidate) in pool.iter().enumerate() {
                if candidate.definition.table != old.table || candidate.bytes > room || self.is_over() {
                    continue;
                }
                if let Some((saved, _)) = self.try_add(&candidate.definition)?
                    && without - saved < now - self.least()
                    && best.is_none_or(|(_, most)| saved > most)
                {
                    best = Some((index, saved));
                }
            }
            if let Some((index, _)) = best {
                let new = pool.remove(index);
                self.add(new.definition, new.bytes)?;
                pool.push(Candidate { definition: old, bytes: old_bytes, saved: f64::MAX });
            } else {
                self.add(old, old_bytes)?;
                // It stands at the end now, where it will not be met again.
                let last = self.chosen.len() - 1;
                self.chosen.swap(place, last);
                place += 1;
            }
        }
        Ok(())
    }

    /// Leaves out every index that saves too little beside the others.
    fn leave_out(&mut self, pool: &mut Vec<Candidate>) -> rusqlite::Result<()> {
        let mut place = 0;
        while place < self.chosen.len() {
            let now = self.total(&self.steps);
            let (definition, bytes) = self.chosen[place].clone();
            self.remove(place)?;
            if self.total(&self.steps) - now < self.least() {
                pool.push(Candidate { definition, bytes, saved: 0.0 });
            } else {
                self.add(definition, bytes)?;
                let last = self.chosen.len() - 1;
                self.chosen.swap(place, last);
                place += 1;
            }
        }
        Ok(())
    }

    /// Writes down what was found.
    pub(super) fn conclude(mut self, advice: &mut WorkloadAdvice) -> rusqlite::Result<()> {
        let mut after = Vec::new();
        for statement in self.statements {
            after.push(self.execute(statement)?);
        }
        for (statement, after) in self.statements.iter().zip(&after) {
            let (name, before) = (statement.statement.name.clone(), statement.before.status);
            advice.statements.push(StatementOutcome { name, before, after: after.status });
        }
        self.steps = after.iter().map(|executed| executed.status.vm_steps).collect();
        let all = self.total(&self.steps);
        let before: Vec<u64> =
            self.statements.iter().map(|statement| statement.before.status.vm_steps).collect();
        advice.steps_before = as_count(self.total(&before));
        advice.steps_after = as_count(all);
        let set = self.chosen.clone();
        for (definition, bytes) in set {
            self.remove(0)?;
            let saved_steps = as_count((self.total(&self.steps) - all).max(0.0));
            self.add(definition.clone(), bytes)?;
            let (create, drop) = (definition.create(), definition.drop());
            advice.chosen.push(ChosenIndex { table: definition.table, create, drop, bytes, saved_steps });
            advice.bytes = advice.bytes.saturating_add(bytes);
        }
        advice.chosen.sort_by_key(|index| std::cmp::Reverse(index.saved_steps));
        (advice.built, advice.ended_early) = (self.built, self.ended_early);
        Ok(())
    }

    /// Returns what the index would save beside the set, and what it takes; `None` when it
    /// cannot be built, or a statement then returns something else or runs for too long.
    fn try_add(&mut self, definition: &IndexDefinition) -> rusqlite::Result<Option<(f64, Bytes)>> {
        if self.connection.execute(&definition.create(), []).is_err() {
            return Ok(None);
        }
        self.built += 1;
        let bytes = bytes_of(self.connection, definition)?;
        let steps = self.measure(&definition.table);
        self.connection.execute(&definition.drop(), [])?;
        Ok(steps?.map(|steps| (self.total(&self.steps) - self.total(&steps), bytes)))
    }

    fn add(&mut self, definition: IndexDefinition, bytes: Bytes) -> rusqlite::Result<()> {
        self.connection.execute(&definition.create(), [])?;
        self.built += 1;
        if let Some(steps) = self.measure(&definition.table)? {
            self.steps = steps;
        }
        self.chosen.push((definition, bytes));
        Ok(())
    }

    fn remove(&mut self, place: usize) -> rusqlite::Result<()> {
        let (definition, _) = self.chosen.remove(place);
        self.connection.execute(&definition.drop(), [])?;
        if let Some(steps) = self.measure(&definition.table)? {
            self.steps = steps;
        }
        Ok(())
    }

    /// Runs the statements that name `table`; the others cost what they cost.
    fn measure(&self, table: &str) -> rusqlite::Result<Option<Vec<u64>>> {
        let mut steps = self.steps.clone();
        for (place, statement) in self.statements.iter().enumerate() {
            if !statement.tables.iter().any(|named| named == table) {
                continue;
            }
            match self.execute(statement) {
                Ok(executed) if statement.is_same(&executed) => {
                    steps[place] = executed.status.vm_steps;
                }
                Ok(_) => return Ok(None),
                Err(error) if is_interrupted(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(steps))
    }

    fn execute(&self, statement: &Runnable<'_>) -> rusqlite::Result<Executed> {
        let run = || execute(self.connection, &statement.statement.sql, &statement.statement.vectors);
        bounded(self.connection, &self.clock, self.options.longest_statement, run)
    }

    /// Returns whether an index of the file, or of the set, serves the same.
    fn is_there(&self, definition: &IndexDefinition) -> rusqlite::Result<bool> {
        let there = indexes(self.connection, &definition.table)?;
        Ok(there.iter().any(|index| {
            !index.partial
                && index.keys.len() >= definition.columns.len()
                && index
                    .keys
                    .iter()
                    .zip(&definition.columns)
                    .all(|(key, wanted)| key.0.as_ref() == Some(&wanted.name) && key.1 == wanted.descending)
        }))
    }

    /// Weighs steps by calls: the mean of a statement's vectors, times its calls.
    fn total(&self, steps: &[u64]) -> f64 {
        let weighed = self.statements.iter().zip(steps).map(|(statement, steps)| {
            let vectors = as_float(statement.statement.vectors.len().max(1) as u64);
            as_float(statement.statement.calls) * as_float(*steps) / vectors
        });
        weighed.sum()
    }

    fn least(&self) -> f64 {
        LEAST_SHARE * self.total(&self.steps)
    }

    fn room(&self) -> Bytes {
        let used: u64 = self.chosen.iter().map(|(_, bytes)| bytes.get()).sum();
        Bytes::new(self.options.budget.get().saturating_sub(used))
    }

    fn is_over(&mut self) -> bool {
        self.ended_early |= self.clock.monotonic() > self.until;
        self.ended_early
    }
}

#[expect(clippy::cast_precision_loss, reason = "steps and bytes stay below 2^53")]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums of steps are not negative, and a float-to-int cast saturates"
)]
fn as_count(steps: f64) -> u64 {
    steps.round() as u64
}
