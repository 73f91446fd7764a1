//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.

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
