//! The cache as an application uses it, on a virtual clock.

mod allocator;
mod function;
mod hit_ratios;
mod interleavings;
mod limits;
mod listing;
mod load_many;
mod loads;
mod memory;
mod model;
mod optional;
mod orders;
mod policies;
mod refresh;
mod sharing;
mod stampede;
mod statistics;
mod tags;
mod tap;
mod time;
mod tuning;
mod values;

use std::sync::Arc;

use veritas_cache::{CacheOptions, Caches};
use veritas_model::Bytes;
use veritas_testkit::VirtualClock;

/// Makes caches of `capacity` bytes, and the clock that they look at.
fn caches(capacity: u64) -> (Caches, VirtualClock) {
    let clock = VirtualClock::new();
    let options = CacheOptions { capacity: Bytes::new(capacity), ..CacheOptions::default() };
    (Caches::new(options, Arc::new(clock.clone())), clock)
}

const MIB: u64 = 1024 * 1024;
