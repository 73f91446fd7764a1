//! `MariaDB` and `MySQL`: what the server counts, indexes that cost more than they give,
//! and indexes proven on a copy.
//!
//! - [`session`]: a blocking connection, read-only unless asked otherwise, with limits on both sides.
//! - [`view`]: one reading of the server, from `performance_schema` and `information_schema`,
//!   in the nouns of [`veritas_database::server`]; what is switched off is said with its fix.
//! - [`watch`]: a reading each interval of one [`target`], published, and what statements cost between two.
//! - [`findings`]: what is wrong, from a reading; [`doctor`]: faults with their fixes.
//! - [`advice`]: which index a copy says helps, and what a batch of repeated statements shows there.
//! - [`guard`]: proves that a text is one query that only reads; only that is explained.
//! - [`trial`]: an index made on a copy of the tables, and the statement run with and
//!   without it: rows read (`Handler_read_*`), which other work on the machine does not change.
//! - [`hide`]: the way to drop an index that can be taken back at any moment.
//!
//! What is not here: what-if indexes (no such server has them), TLS, and applying a
//! change: its statements are printed. `MySQL` differs in a few places, which are written
//! from its manual and not tried on a server; everything else is tried on `MariaDB` 10.11.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use veritas_model::{Clock, SystemClock};
//! use veritas_mysql::{findings, session::ConnectOptions, view};
//!
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let reading = view::read("shop", &ConnectOptions::new("mysql://veritas@db/shop"), &clock);
//! for finding in findings::of(&reading, &findings::FindingOptions::default(), clock.now()) {
//!     println!("{}: {}", finding.subject.name(), finding.recommendation);
//! }
//! ```

/// A value in place of a `?`, as the driver knows it.
pub use mysql::Value;

pub mod advice;
pub mod doctor;
pub mod explain;
pub mod findings;
pub mod guard;
pub mod hide;
pub mod session;
pub mod target;
pub mod trial;
pub mod view;
pub mod watch;
