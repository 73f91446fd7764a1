//! Advice for a whole workload: the set of indexes, within a budget of bytes, that saves most steps.
//!
//! Nothing is estimated. Every candidate is built on a private copy of the file, and the
//! statements that touch its table are run there, with the values that they are run with:
//! steps of SQLite's virtual machine are the same every time. Sizes are those of the real
//! indexes (`dbstat`), so the budget is never exceeded.
//!
//! The search grows the set by what saves most steps for its bytes, looking again only at
//! candidates that could still be best, since what an index saves rarely grows as others
//! come; then it tries to replace, to add and to leave out, until nothing helps or the
//! time is over. It is SQLite's own advisor of indexes, apart from `veritas-index-advisor`,
//! which searches by a planner's estimates: SQLite's planner gives none.

mod candidates;
mod search;

use std::{io, path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;
use veritas_model::{ActuatorError, Bytes};

use super::{
    Skipped,
    copy::Workshop,
    definition::IndexDefinition,
    guard::{bounded, describe},
    schema::Schema,
    statement::parse,
    status::{Executed, ExecutionStatus, execute},
    target::SqliteTarget,
};
use crate::Value;
use search::Search;

/// A statement of the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadStatement {
    /// What to call it.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// The values of its parameters; at least one vector, an empty one without parameters.
    pub vectors: Vec<Vec<Value>>,
    /// How often it is called: its weight.
    pub calls: u64,
}

/// Bounds of one search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadOptions {
    /// What the new indexes may take on disk, together.
    pub budget: Bytes,
    /// How long the search may take; past it the best set so far is returned.
    pub longest: Duration,
    /// How many candidates are tried.
    pub candidates: usize,
    /// How long one run of a statement may take on the copy.
    pub longest_statement: Duration,
}

impl Default for WorkloadOptions {
    /// 64 MiB, 60 s, 128 candidates, 2 s a statement.
    fn default() -> Self {
        Self {
            budget: Bytes::new(64 << 20),
            longest: Duration::from_mins(1),
            candidates: 128,
            longest_statement: Duration::from_secs(2),
        }
    }
}

/// An index of the set.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenIndex {
    /// Its table.
    pub table: String,
    /// The statement that makes it.
    pub create: String,
    /// The statement that takes it back.
    pub drop: String,
    /// What it takes, measured.
    pub bytes: Bytes,
    /// Steps that the workload would take more without it, all others there.
    pub saved_steps: u64,
}

/// What a statement costs without and with the set: one call with each of its vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementOutcome {
    /// Its name.
    pub name: String,
    /// Without the set.
    pub before: ExecutionStatus,
    /// With it.
    pub after: ExecutionStatus,
}

/// The advice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkloadAdvice {
    /// The indexes, most saved steps first.
    pub chosen: Vec<ChosenIndex>,
    /// What they take together.
    pub bytes: Bytes,
    /// Steps of the workload as it is, weighted by calls.
    pub steps_before: u64,
    /// Steps with the set.
    pub steps_after: u64,
    /// Every statement that was run.
    pub statements: Vec<StatementOutcome>,
    /// Statements that could not be run, and why.
    pub skipped: Vec<Skipped>,
    /// How many indexes were built on the copy.
    pub built: u64,
    /// Whether the time was over before the search was.
    pub ended_early: bool,
}

/// Advises sets of indexes for one target.
#[derive(Debug)]
pub struct WorkloadAdvisor {
    target: Arc<SqliteTarget>,
    workshop: Workshop,
}

impl WorkloadAdvisor {
    /// Makes an advisor that keeps its copies under `data_dir`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn new(target: Arc<SqliteTarget>, data_dir: &Path) -> io::Result<Self> {
        Ok(Self { target, workshop: Workshop::open(&data_dir.join("workload"))? })
    }

    /// Searches the best set for `statements`. Works on a copy; the live file is read once.
    ///
    /// # Errors
    ///
    /// When the file cannot be copied: too large, too little space, locked.
    pub fn advise(
        &self,
        statements: &[WorkloadStatement],
        options: &WorkloadOptions,
    ) -> Result<WorkloadAdvice, ActuatorError> {
        let copies = self.workshop.copy(&self.target)?;
        let failed = |error: rusqlite::Error| self.target.error("try indexes on the copy", &error);
        let connection = open(&copies.with).map_err(failed)?;
        let schema = Schema::read(&connection).map_err(failed)?;
        let mut advice = WorkloadAdvice::default();
        let mut runnable = Vec::new();
        for statement in statements {
            match self.baseline(&connection, &schema, statement, options) {
                Ok(one) => runnable.push(one),
                Err(reason) => advice.skipped.push(Skipped { name: statement.name.clone(), reason }),
            }
        }
        let candidates = candidates::of(&runnable, &schema, options.candidates);
        let clock = Arc::clone(self.target.clock());
        let mut search = Search::new(&connection, &runnable, options, clock);
        search.run(candidates).map_err(failed)?;
        search.conclude(&mut advice).map_err(failed)?;
        Ok(advice)
    }

    fn baseline<'s>(
        &self,
        connection: &Connection,
        schema: &Schema,
        statement: &'s WorkloadStatement,
        options: &WorkloadOptions,
    ) -> Result<Runnable<'s>, String> {
        let parsed = parse(&statement.sql).map_err(|why| why.to_string())?;
        let run = || execute(connection, &statement.sql, &statement.vectors);
        let executed = bounded(connection, self.target.clock(), options.longest_statement, run);
        let executed =
            executed.map_err(|error| format!("it does not run on a copy: {}", describe(&error)))?;
        let tables = candidates::tables(&parsed.tree, schema);
        let limited = candidates::is_limited(&parsed.tree);
        Ok(Runnable { statement, tree: parsed.tree, tables, limited, before: executed })
    }
}

/// A statement that runs on the copy.
pub(super) struct Runnable<'s> {
    pub(super) statement: &'s WorkloadStatement,
    pub(super) tree: sqlparser::ast::Statement,
    /// The tables that it names, as the schema spells them.
    pub(super) tables: Vec<String>,
    /// Whether some part of it stops after some rows.
    pub(super) limited: bool,
    pub(super) before: Executed,
}

impl Runnable<'_> {
    /// Returns whether an execution brought what the first one did. Of a statement that
    /// stops after some rows, which of equal ones come first is the plan's choice.
    pub(super) fn is_same(&self, executed: &Executed) -> bool {
        executed.rows == self.before.rows && (self.limited || executed.digest == self.before.digest)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; \
         PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY",
    )?;
    Ok(connection)
}

/// Returns what an index takes on disk.
pub(super) fn bytes_of(connection: &Connection, definition: &IndexDefinition) -> rusqlite::Result<Bytes> {
    let sql = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1 AND aggregate = TRUE";
    let bytes: i64 = connection.query_row(sql, [definition.name()], |row| row.get(0))?;
    Ok(Bytes::new(u64::try_from(bytes).unwrap_or(0)))
}
