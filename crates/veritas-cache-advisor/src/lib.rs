//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.

mod sample;
pub mod simulate;

pub use sample::{SampleRate, sampling_hash};
