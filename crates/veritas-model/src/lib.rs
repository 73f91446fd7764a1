//! The nouns of Veritas: what every other crate means when it says *finding*,
//! *proposal*, *proof* or *change*, and the units that figures are given in.
//!
//! Data flows one way:
//!
//! ```text
//! Observation -> Finding -> Proposal -> Proven -> Change -> (observed again)
//! ```
//!
//! This crate holds types and pure functions. It does **not** do I/O, read the
//! clock (it only defines [`Clock`], and [`SystemClock`] as its one real
//! implementation), know HTTP or JSON, or derive `Serialize`: the published
//! shapes belong to `veritas-api`, the stored ones to `veritas-store`.
//!
//! ```
//! use veritas_model::{Bytes, Ratio};
//!
//! let hits = Ratio::of(150, 175).expect("there were look-ups");
//! assert_eq!(hits.percent(), 85.71);
//! assert_eq!(Bytes::new(91_750_400).mebibytes(), 87.5);
//! ```

pub mod actuator;
pub mod alert;
pub mod change;
pub mod finding;
pub mod health;
pub mod identity;
pub mod observation;
pub mod proof;
pub mod proposal;
pub mod provenance;
pub mod time;
pub mod units;
pub mod work;

pub use actuator::{Actuator, ActuatorError, Presence};
pub use alert::{AlertRule, AlertStatus, AlertTransition, Comparison, Severity};
pub use change::{Change, ChangeKind, ChangeState, KindGroup, LiveGain, Mode, Outcome};
pub use finding::{Caller, Cause, Finding, FindingKind, Impact, Subject};
pub use health::{Condition, Health};
pub use identity::{ChangeId, FindingId, Fingerprint, ProposalId, stable_hash};
pub use observation::{Observation, Unit};
pub use proof::{Alpha, Interval, MeasuredGain, NotProven, Proven};
pub use proposal::{Estimate, Plan, ProofLevel, Proposal, ProposalRecord, ProposalState};
pub use provenance::Provenance;
pub use time::{Clock, Monotonic, SystemClock, Timestamp};
pub use units::{Bytes, Ratio, round2};
pub use work::{Moments, WorkMetric, WorkTotals};
