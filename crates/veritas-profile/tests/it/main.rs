//! The profiler as an application sees it, on a virtual clock.

mod calls;
mod futures;
mod names;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use veritas_profile::{Profile, install_clock};
use veritas_testkit::VirtualClock;

/// Gives the process's clock to one test at a time: the profiler is one per process too.
fn clock() -> (MutexGuard<'static, ()>, &'static VirtualClock) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static CLOCK: OnceLock<VirtualClock> = OnceLock::new();
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = CLOCK.get_or_init(|| {
        let clock = VirtualClock::new();
        install_clock(Arc::new(clock.clone())).expect("no call was timed before");
        clock
    });
    (alone, clock)
}

#[track_caller]
fn profile(name: &str) -> Profile {
    veritas_profile::profile(name).unwrap_or_else(|| panic!("{name} was not called"))
}
