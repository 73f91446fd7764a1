//! Integration tests of the statement recorder and of what is found with it.

mod findings;
mod fingerprint;
mod grouping;
mod hooks;
mod mixed_requests;
mod pools;
mod recorder;
mod requests;
#[cfg(feature = "sqlite")]
mod sqlite_advice;
#[cfg(feature = "sqlite")]
mod sqlite_expert;
#[cfg(feature = "sqlite")]
mod sqlite_fuzz;
#[cfg(feature = "sqlite")]
mod sqlite_loop;
#[cfg(feature = "sqlite")]
mod sqlite_proof;
#[cfg(feature = "sqlite")]
mod sqlite_shop;
#[cfg(feature = "sqlite")]
mod sqlite_workload;
#[cfg(feature = "tracing")]
mod sqlx_layer;

use std::sync::Arc;

use veritas_database::{Recorder, RecorderOptions};
use veritas_testkit::VirtualClock;

fn recorder_with(options: RecorderOptions) -> (Recorder, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new());
    (Recorder::new(options, clock.clone()), clock)
}
