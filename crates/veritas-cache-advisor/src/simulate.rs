//! Simulated caches: the engine's policy without values, for many sizes at once.
//!
//! [`Engine`] is the real engine, one cache of it. [`Lanes`] is a twin of its
//! policy, request for request the same (a property test compares them), that
//! runs up to sixteen sizes over one table of keys: a look-up finds the key once
//! and answers for all sizes. [`Lru`] is there to compare with, and as what an
//! oracle can check.

mod engine;
mod lanes;
mod lru;
mod policy;
mod rows;

pub use engine::Engine;
pub use lanes::{LANES, Lanes};
pub use lru::{Lru, StackDistances};
pub use policy::Policy;
