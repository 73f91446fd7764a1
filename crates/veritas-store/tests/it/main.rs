//! The store against real files, real crashes and a real full disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[cfg(feature = "sqlite")]
mod conformance;
#[cfg(feature = "sqlite")]
mod control_file;
#[cfg(feature = "sqlite")]
mod full_disk;
mod history_basic;
mod history_damage;
mod history_model;
#[cfg(feature = "sqlite")]
mod kill;
#[cfg(feature = "sqlite")]
mod sample;
