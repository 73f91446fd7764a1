//! Alert rules with Prometheus' semantics, true hysteresis, and transitions
//! that are durable before anyone hears of them.
//!
//! A rule compares one series with a threshold, strictly. The condition must
//! hold for the rule's `hold` before the alert fires, and be over for its
//! `keep_firing_for` before it resolves; while it fires, the condition holds
//! until the value is at or beyond the rule's `clear` level.
//!
//! - **A data gap keeps the state.** A missing value (or one that is not a
//!   number) neither fires nor resolves anything, and does not interrupt a
//!   pending alert. A pending alert that should have fired more than five
//!   minutes ago was not watched meanwhile (the engine was down, or the data
//!   missing): its hold starts over.
//! - **Durable first.** A transition is visible, and returned, only after the
//!   control plane has acknowledged it. One that could not be stored leaves the
//!   state as it was, is tried again at the next evaluation, is counted, and
//!   degrades the health of `alerts`.
//! - **Restarts.** Pending and firing alerts are restored with their times, so
//!   that `hold` goes on counting and an alert whose condition ended during a
//!   crash still gets its resolution. Only the countdown of `keep_firing_for`
//!   starts over.
//!
//! This crate does **not** sample, notify anyone, or read the clock: the
//! engine's sampler thread hands in each tick's time and values. Times are wall
//! time; a clock set forward by less than five minutes shortens a hold by that.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use veritas_alert::{Alerts, default_rules};
//! use veritas_model::{AlertStatus, SystemClock, Timestamp};
//! use veritas_store::MemoryControlPlane;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let control = Arc::new(MemoryControlPlane::new(Arc::new(SystemClock::new())));
//! let alerts = Alerts::load(control, default_rules())?;
//! let start = Timestamp::from_seconds(1_672_531_200.0);
//! for second in 0..=10 {
//!     let value = |series: &str| (series == "system.cpu.percent").then_some(85.0);
//!     alerts.evaluate(start.plus(Duration::from_secs(second)), &value, &|_rule| None);
//! }
//! let firing = alerts.firing();
//! assert_eq!(firing[0].status, AlertStatus::Firing);
//! assert_eq!(firing[0].message, "High CPU usage: 85%");
//! # Ok(())
//! # }
//! ```

pub mod alerts;
pub mod message;
pub mod rule;
mod track;

pub use alerts::{ActiveAlert, Alerts, LoadError, PutRuleError, RemoveRuleError};
pub use rule::{RuleError, RuleWarning, default_rules, validate, warnings};
