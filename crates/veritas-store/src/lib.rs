//! History of metrics and the control plane: what survives a restart.
//!
//! What lives in the data directory of an engine:
//!
//! - the **control plane** ([`ControlPlane`]): findings, proposals, the ledger of
//!   changes, alert transitions, rules, revoked tokens, the audit trail. What is
//!   acknowledged is on the disk. `SqliteControlPlane` (feature `sqlite`) keeps
//!   it in a file, [`MemoryControlPlane`] in memory for engines that own no
//!   directory.
//! - the **history** ([`History`]): one point of all metrics at each tick, the
//!   newest in memory, all in checksummed segments below a hard cap.
//! - [`DataDir`] is the directory itself: one directory, one owning engine.
//!
//! This crate does **not** evaluate alerts, decide about changes or serve
//! anything, and no outside format but its own files is known to it.
//!
//! ```
//! use std::sync::Arc;
//! use veritas_model::SystemClock;
//! use veritas_store::{AuditEntry, ControlPlane, MemoryControlPlane};
//! # use veritas_model::Clock;
//!
//! let clock = Arc::new(SystemClock::new());
//! let control = MemoryControlPlane::new(clock.clone());
//! control.append_audit(&AuditEntry {
//!     at: clock.now(),
//!     subject: "ann".into(),
//!     action: "approve".into(),
//!     object: "p-0123456789abcdef".into(),
//!     outcome: "ok".into(),
//! })?;
//! assert_eq!(control.audit(10)?.len(), 1);
//! # Ok::<(), veritas_store::StoreError>(())
//! ```

pub mod control;
pub mod data_dir;
pub mod error;
pub mod history;

#[cfg(feature = "sqlite")]
pub use control::sqlite::SqliteControlPlane;
pub use control::{AuditEntry, ChangeEvent, ControlPlane, Limits, RevokedToken, memory::MemoryControlPlane};
pub use data_dir::{DataDir, DataDirError};
pub use error::StoreError;
pub use history::{History, HistoryError, HistoryOptions, HistoryQuery, HistoryStatistics, Point};
