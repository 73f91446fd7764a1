//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.
//!
//! What it does: a [`CacheAdvisor`] watches the caches of a process through a sampled
//! stream of their accesses and says what another size, time to live or policy would
//! bring; a [`CacheActuator`] proves such a change by replaying what was recorded on the
//! real engine, makes it, and takes it back. [`curve`], [`time_to_live`] and [`simulate`] hold the
//! estimators below it, [`mod@workload`] what they are held against.
//!
//! What it does not: it permits nothing and keeps no ledger (`veritas-optimize` does), and it
//! knows nothing of the tiers behind the in-process one.
//!
//! ```
//! use std::sync::Arc;
//! use veritas_cache::{CacheOptions, Caches};
//! use veritas_cache_advisor::{AdvisorOptions, CacheActuator, CacheAdvisor};
//! use veritas_model::{Actuator, ChangeKind, Clock, SystemClock};
//!
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let caches = Arc::new(Caches::new(CacheOptions::default(), Arc::clone(&clock)));
//! let advisor = CacheAdvisor::new(Arc::clone(&caches), Arc::clone(&clock), AdvisorOptions::default());
//! let actuator = CacheActuator::new(&advisor);
//!
//! caches.namespace::<u64>("users").get(&7);
//! let advice = advisor.turn(clock.now());
//! assert!(advice.proposals.is_empty() && actuator.kinds().contains(&ChangeKind::CacheCapacity));
//! assert!(advisor.readings()[0].reasons[0].contains("are needed"), "it says why it is silent");
//! ```

mod actuator;
mod advisor;
pub mod curve;
mod findings;
mod hot_keys;
mod net;
mod proposals;
mod recording;
pub mod replay;
mod report;
mod sample;
pub mod simulate;
pub mod time_to_live;
pub mod trace;
pub mod workload;

pub use actuator::CacheActuator;
pub use advisor::{Advice, AdvisorCounters, CacheAdvisor, options::AdvisorOptions};
pub use curve::{
    CurvePoint, Demand, EstimatorOptions, MissRatioCurve, MissRatioEstimator, SizeAdvice, advise_size, divide,
};
pub use hot_keys::{BigKey, HotKey};
pub use net::{Net, OwnCosts};
pub use recording::{ProofOptions, Recorded, Recording, Unfit};
pub use replay::{Progress, Replay, ReplayOptions, ReplayReport, SizeRow};
pub use report::{BigKeyReading, CapacityAdvice, HotKeyReading, NamespaceAdvice, TimeToLiveAdvice};
pub use sample::{SampleRate, sampling_hash};
pub use time_to_live::{TtlAdvice, TtlCurve, TtlEstimator, TtlOptions, TtlPoint};
