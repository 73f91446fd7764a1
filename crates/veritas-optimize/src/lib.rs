//! Propose, prove, apply, verify, keep or take back: the ledger's logic.
//!
//! An [`Optimizer`] leads every proposal along one path:
//!
//! ```text
//! Proposed ─ measure ─▶ Proven ─ permission ─▶ Applying ─▶ Verifying ─▶ Kept
//!                └▶ NotProven                      │            │         │ (still watched)
//!                                                  ▼            ▼         ▼
//!                                     Failed ◀─────┴──────▶ Reverting ─▶ Reverted
//! ```
//!
//! Its rules:
//!
//! - Each state is journaled in the control plane *before* the act it announces.
//!   After a crash anywhere, a change is either applied and journaled, or taken back.
//! - Nothing is applied but a [`Proven`](veritas_model::Proven); the only way to one
//!   is [`Proposal::prove`](veritas_model::Proposal::prove) on a stored measurement.
//! - Nothing is applied without permission: an operator's, or the mode `automatic`
//!   of its kind. Every kind starts as *report only*.
//! - After a change the live load is watched ([`verification`]): the statements in
//!   its scope, at the rates seen after it, at their cost before against their cost
//!   after. Significantly worse beyond a margin: it is taken back. The false-positive
//!   rate of the whole watch is bounded.
//!
//! What it does not do: find anything (the capability crates do), know SQL (an
//! [`Actuator`](veritas_model::Actuator) does), or run by itself: someone calls
//! [`Optimizer::step`] from one thread and [`Optimizer::prove`] from another, again and
//! again. Each may block for as long as one act of an actuator; all other methods only
//! touch the control plane.
//!
//! ```
//! use std::sync::Arc;
//! use veritas_model::{ChangeKind, Mode, SystemClock};
//! use veritas_optimize::{Optimizer, OptimizerOptions};
//! use veritas_store::MemoryControlPlane;
//!
//! let clock = Arc::new(SystemClock::new());
//! let control = Arc::new(MemoryControlPlane::new(clock.clone()));
//! let optimizer = Optimizer::new(control, clock, OptimizerOptions::default());
//! optimizer.recover().expect("nothing was interrupted");
//! assert_eq!(optimizer.mode(ChangeKind::IndexCreate), Mode::ReportOnly);
//! assert!(optimizer.prove().expect("the control plane answers").is_idle());
//! assert!(optimizer.step().expect("the control plane answers").is_idle());
//! ```

mod backoff;
mod baseline;
mod error;
mod improvements;
mod optimizer;
mod options;
mod report;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod verification;
mod watch;

pub use error::{ApproveError, DismissError, OptimizeError, RevertError};
pub use improvements::Improvements;
pub use optimizer::{AUTOMATIC, Optimizer};
pub use options::OptimizerOptions;
pub use report::{Act, RecoveryReport, StepReport, Trouble};
pub use verification::VerificationOptions;
