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
//! use veritas_model::{Clock, Health, SystemClock};
//! use veritas_store::{ControlPlane, DataDir, History, HistoryOptions, HistoryQuery, MemoryControlPlane};
//! # let parent = tempfile::tempdir()?;
//! # let path = parent.path();
//!
//! let clock = Arc::new(SystemClock::new());
//! let directory = DataDir::open(path)?;
//! let history =
//!     History::open(&directory.history_path(), HistoryOptions::default(), Arc::new(Health::default()))?;
//! history.append(clock.now(), &[("system.cpu.percent", 12.5)], &[("process.name", "app")])?;
//! history.sync_if_due();
//! let points = history.query(&HistoryQuery::newest(10))?;
//! assert_eq!(points[0].number("system.cpu.percent"), Some(12.5));
//!
//! // Durable: SqliteControlPlane::open(&directory.control_path(), clock)
//! let control = MemoryControlPlane::new(clock);
//! assert!(control.findings()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
