//! System and process monitoring: what the machine, the container and this
//! process use, read once per tick by a background sampler.
//!
//! On Linux a [`Sampler`] keeps `/proc` and cgroup files open, reads each with
//! one `pread` per tick and parses the bytes itself. Readers never sample:
//! they take the last [`Reading`] from a [`Monitor`], so that no request
//! blocks, waits for a second sample, or changes what the next one sees.
//!
//! The figures respect the cgroup limits of the watched process (quota, cpuset
//! and memory over all ancestors); the host's stand beside them. What is not
//! known is `None`, never 0.
//!
//! What monitors often get wrong, and the rule here:
//!
//! | reading | rule |
//! |---|---|
//! | processor use in a container | use of the limiting cgroup by the least of quota (all ancestors), cpuset and online processors |
//! | the first answer | `None` for the host; for the process the mean since its start; never 0 |
//! | iowait, steal, guest time | not our use; a counter that goes back is no time; guest time is counted once |
//! | used memory | total less `MemAvailable`; under a limit, usage less page cache and reclaimable slab |
//! | the memory limit | the least over all ancestors; the sentinel of cgroup v1 is no limit |
//! | disk percent | used of used and available, as `df` counts; reserved blocks are not free |
//! | a hung file system | unknown, and the sampler goes on |
//! | network totals | each byte once: physical devices, else the default route's; loopback never |
//! | process use | ticks over monotonic time, of the process that was opened, whoever has its number later |
//! | clock set, machine suspended | no spike; the reading says that there is a gap |
//!
//! It does **not** keep history (`veritas-store`), raise alerts
//! (`veritas-alert`), know about HTTP, start threads other than the one that
//! guards against a hung file system, or sample anything on systems other than
//! Linux: there [`Sampler::open`] returns [`SamplerError::Unsupported`]. A
//! sampler watches the process that opened it; after a `fork` the child opens
//! its own.
//!
//! ```
//! use veritas_model::SystemClock;
//! use veritas_monitor::{Monitor, Sampler, SamplerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if cfg!(not(target_os = "linux")) { return Ok(()); }
//! let clock = SystemClock::new();
//! let monitor = Monitor::new();
//! let mut sampler = Sampler::open(SamplerOptions::default())?;
//!
//! monitor.publish(sampler.tick(&clock)); // once a second, from one thread
//!
//! let reading = monitor.latest().expect("published just now");
//! assert!(reading.system.cpu.count >= 1);
//! assert!(reading.process.rss.get() > 0);
//! assert_eq!(reading.system.cpu.percent, None); // needs two ticks
//! # Ok(())
//! # }
//! ```

#[cfg(target_os = "linux")]
mod linux;
pub mod monitor;
pub mod parse;
pub mod process;
pub mod reading;
pub mod sampler;
pub mod table;
#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use monitor::Monitor;
pub use process::{ProcessError, read_process};
pub use reading::{
    CpuReading, DiskReading, MemoryReading, NetworkReading, PressureReading, ProcessReading, ProcessStatus,
    Reading, SystemReading,
    series::{SERIES, Series},
};
pub use sampler::{Sampler, SamplerError, SamplerOptions};
pub use table::{ProcessTable, ProcessUse};
