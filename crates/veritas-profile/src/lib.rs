//! Function profiling: time and percentiles of named functions, sync and async,
//! cheap enough to stay on in production.
//!
//! What it does: counts every call exactly, with its time, its own time (less that
//! of profiled callees), percentiles within 1/128, panics and errors, and for
//! futures polls, busy time and cancellations; tells how often the arguments of a
//! function repeat, where it is asked to; finds functions worth a cache.
//!
//! What it does *not*: sample the call stack, measure memory (not yet), spawn
//! threads, or render anything before it is read.
//!
//! Recording is per thread and site, without locks or allocation once warm: see
//! [`enter`]. Functions are best marked with `#[veritas::profile]`, which is one
//! call into this crate.
//!
//! ```
//! use veritas_profile::{Site, enter, profiles, render};
//!
//! static SITE: Site = Site::new("content_processing", module_path!(), file!(), line!());
//!
//! for _ in 0..10 {
//!     let _guard = enter(&SITE);
//!     std::hint::black_box((0..1_000).sum::<u64>());
//! }
//!
//! let profiles = profiles();
//! let profile = profiles.iter().find(|profile| profile.name == "content_processing").unwrap();
//! assert_eq!(profile.calls, 10);
//! assert!(profile.p99 >= profile.p50);
//! print!("{}", render(profile, &profiles));
//! ```

mod arguments;
mod findings;
mod future;
pub mod outcome;
mod profile;
mod recorder;
mod report;
mod site;
mod slot;
mod ticks;

pub use arguments::arguments;
pub use findings::findings;
pub use future::{Profiled, in_future, run_future};
pub use profile::{DistinctArguments, Polling, Profile, profile, profiles};
pub use recorder::{Guard, enter, is_enabled, reset, run, set_enabled};
pub use report::render;
pub use site::{MAX_SITES, Site, unrecorded_sites};
pub use ticks::{ClockInUse, TickSource, install_clock, tick_source};

/// How many arguments the simulated cache of [`DistinctArguments`] holds.
pub const SIMULATED_ENTRIES: usize = 1024;
