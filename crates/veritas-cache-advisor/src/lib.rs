//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.

pub mod curve;
mod sample;
pub mod simulate;
pub mod workload;

pub use curve::{CurvePoint, EstimatorOptions, MissRatioCurve, MissRatioEstimator};
pub use sample::{SampleRate, sampling_hash};
