//! The store against real files, real crashes and a real full disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[cfg(feature = "sqlite")]
mod conformance;
mod history_basic;
#[cfg(feature = "sqlite")]
mod sample;
