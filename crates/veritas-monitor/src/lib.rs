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
