//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.

pub mod curve;
mod hot_keys;
mod net;
mod recording;
mod sample;
pub mod simulate;
pub mod workload;

pub use curve::{CurvePoint, EstimatorOptions, MissRatioCurve, MissRatioEstimator};
pub use hot_keys::{BigKey, HotKey};
pub use net::{Net, OwnCosts};
pub use recording::{ProofOptions, Recorded, Recording, Unfit};
pub use sample::{SampleRate, sampling_hash};
