//! SQLite as a target: indexes advised, proven on a copy, created, watched, dropped.
//!
//! ```text
//! Observed ─▶ Recorder ─▶ IndexAdvisor ─▶ Proposal ─▶ IndexActuator::measure ─▶ apply ─▶ work ─▶ revert
//! ```
//!
//! [`IndexAdvisor`] reads the plans of the most expensive statements and
//! proposes an index where SQLite would use it. [`IndexActuator`] proves it by
//! running the statement on two private copies of the file, in pairs; applies
//! it to the live file; and undoes it. [`WorkloadAdvisor`] looks at many statements at
//! once, and finds the set of indexes that saves most within a budget of bytes.
//!
//! What it does **not** do: it never runs a write, or a statement that the
//! parser does not prove to be one SELECT, on the live file (its own
//! `CREATE INDEX` and `DROP INDEX` aside); it never drops an index that it did
//! not create; it does not propose partial, expression or unique indexes
//! (covering ones for whole workloads only), nor anything for views, virtual tables and attached databases.
//! See [`SqliteTarget`] for the one thing the application must take care of.

mod access;
mod actuator;
mod advisor;
mod binding;
mod candidate;
mod copy;
mod definition;
mod executable;
mod guard;
mod observed;
mod pager;
mod plan;
mod runnable;
mod schema;
mod statement;
mod statistics;
mod status;
mod target;
mod trial;
mod values;
mod what_if;
mod workload;

pub use actuator::IndexActuator;
pub use advisor::{Advice, AdvisorOptions, IndexAdvisor, Skipped};
pub use definition::PREFIX;
pub use observed::Observed;
pub use statistics::{PlannerStatistics, planner_statistics};
pub use status::ExecutionStatus;
pub use target::{SqliteOptions, SqliteTarget, TargetError};
pub use workload::{
    ChosenIndex, StatementOutcome, WorkloadAdvice, WorkloadAdvisor, WorkloadOptions, WorkloadStatement,
};
