//! `PostgreSQL`: what the server shows, plans, what-if, proofs on copies, and index changes with a way back.
//!
//! From the wire upwards:
//!
//! - [`session`]: blocking calls on a runtime of their own, each under a deadline on both sides.
//! - [`guard`]: proves of a statement that planning it does nothing; only what it lets through is explained.
//! - [`plan`], [`history`]: plans, typed and without literals, and what they became.
//! - [`view`], [`watch`]: readings of a server with the least privilege, taken at an interval.
//! - [`findings`]: what plans and readings show. Pure functions.
//! - [`facts`], [`candidates`], [`what_if`], [`advice`]: which indexes would help, within a budget.
//! - [`scratch`], [`trial`]: databases of our own, and executions on them with and without a change.
//! - [`actuator`]: creates and drops indexes beside the running load, and takes that back.
//! - [`rewrites`]: other ways to write a statement, compared and measured on copies.
//! - [`doctor`], [`grants`], [`migration`]: faults with their fixes, the least rights, changes as migrations.
//!
//! What is not here: who permits a change (`veritas-optimize`), publishing (`veritas-api`), threads
//! (`veritas`). Nothing here may be called from inside of a runtime: every session owns one.
//!
//! ```no_run
//! use veritas_postgres::{
//!     guard::{Guard, Parameters},
//!     session::{ConnectOptions, Session},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut session = Session::connect(&ConnectOptions::new("postgresql://veritas@db/shop"))?;
//! let statement = Guard::new(&mut session).check("SELECT * FROM orders WHERE customer_id = $1")?;
//! let plan = statement.explain(&mut session, Parameters::Unknown)?;
//! println!("{}", plan.text_without_literals());
//! # Ok(())
//! # }
//! ```

pub mod actuator;
pub mod advice;
pub mod candidates;
pub mod doctor;
pub mod facts;
pub mod findings;
pub mod grants;
pub mod guard;
pub mod history;
pub mod migration;
pub mod plan;
pub mod rewrites;
pub mod scratch;
pub mod session;
pub mod target;
pub mod trial;
pub mod view;
pub mod watch;
pub mod what_if;
