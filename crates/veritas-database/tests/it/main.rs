//! Integration tests of the statement recorder and of what is found with it.

mod findings;
mod fingerprint;
mod recorder;
#[cfg(feature = "tracing")]
mod sqlx_layer;

use std::sync::Arc;

use veritas_database::{Recorder, RecorderOptions};
use veritas_testkit::VirtualClock;

fn recorder_with(options: RecorderOptions) -> (Recorder, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new());
    (Recorder::new(options, clock.clone()), clock)
}
