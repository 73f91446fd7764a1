//! Query optimization: which statements cost the time, why, from where in the
//! code, and an index advisor that proves by running.
//!
//! What is here:
//!
//! - [`Recorder`]: counts every statement in the application's own process,
//!   per label or fingerprint: calls, errors, rows, time (exact sums and a
//!   histogram), steps of the database's virtual machine, callers, slow calls,
//!   the requests and jobs in whose name they ran.
//!   Bounded in every direction; nothing is dropped uncounted.
//! - [`fingerprint`]: statements without their literals, one text for one
//!   statement, whatever the dialect and the driver's way of writing parameters;
//!   grouped as `pg_stat_statements` groups them.
//! - [`scope`]: the request in whose name statements run, so that one request
//!   repeating a statement (N+1) is told from many requests running it once.
//! - [`label`]: what `#[veritas::query]` is made of.
//! - [`Recorder::pool`]: how a connection pool is used, and what size would suit it.
//! - [`Recorder::findings`]: N+1, redundant statements, rows written one by one,
//!   chatty requests, results without a limit, slow statements, pools of the wrong size.
//!
//! Sources of statements, each behind a feature: `tokio-postgres` (clients,
//! transactions and what pools hand out, by an extension trait), `tracing` (a layer
//! that records what sqlx logs), `diesel` (an instrumentation), `sea-orm` (a metric
//! callback); `deadpool` reads that pool. Feature `sqlite`: SQLite as a target of
//! index advice.
//!
//! What is not here: plans and indexes of PostgreSQL, publishing (`veritas-api`),
//! storing (`veritas-store`). Nothing waits for a database on the recording path.
//!
//! Statements reach the recorder by a guard, as below; as an [`Execution`] that
//! something else has timed; or by one of the sources above.
//!
//! ```
//! use std::sync::Arc;
//! use veritas_database::{Recorder, RecorderOptions, scope};
//! use veritas_model::{FindingKind, SystemClock, Timestamp};
//!
//! let recorder = Recorder::new(RecorderOptions::default(), Arc::new(SystemClock::new()));
//! for _request in 0..3 {
//!     let _scope = scope::enter("/posts");
//!     for author in 1..=20 {
//!         let sql = format!("SELECT name FROM authors WHERE id = {author}");
//!         let call = recorder.statement(&sql).label("author_name");
//!         // … run it …
//!         call.finish(1, None);
//!     }
//! }
//! let snapshot = recorder.snapshot();
//! assert_eq!(snapshot.calls_by_name(), [("author_name".to_owned(), 60)]);
//! assert_eq!(&*snapshot.statements[0].normalized, "select name from authors where id = ?");
//!
//! let findings = recorder.findings(Timestamp::default());
//! assert_eq!(findings[0].kind, FindingKind::NPlusOne);
//! assert!(findings[0].callers[0].file.ends_with(".rs"));
//! ```

mod context;
#[cfg(feature = "diesel")]
pub mod diesel_hook;
mod findings;
pub mod fingerprint;
pub mod label;
mod parser;
mod pool;
#[cfg(feature = "tokio-postgres")]
pub mod postgres_client;
mod recorder;
mod requests;
pub mod scope;
#[cfg(feature = "sea-orm")]
pub mod sea_orm_hook;
pub mod server;
mod shape;
mod snapshot;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "tracing")]
mod sqlx_layer;
pub mod value;

pub use pool::{
    ConnectionReading, Held, PoolAdvice, PoolGauge, PoolMeter, PoolReading, PoolStatistics, PoolWindow,
};
pub use recorder::{CallSite, Execution, Recorder, RecorderOptions, StatementCall};
pub use requests::RequestStatistics;
pub use shape::StatementKind;
pub use snapshot::{CallerCount, RequestRepetitions, SlowCall, StatementSnapshot, StatementStatistics};
#[cfg(feature = "tracing")]
pub use sqlx_layer::{SqlxLayer, StatementVisibility, Visibility};
pub use value::Value;
