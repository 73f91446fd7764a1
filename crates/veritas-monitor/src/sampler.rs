//! The sampler: opens what it reads once, and reads it at every tick.

use std::{io, path::PathBuf};

use veritas_model::Clock;

#[cfg(target_os = "linux")]
use crate::linux::Machine;
#[cfg(not(target_os = "linux"))]
use crate::unsupported::Machine;
use crate::{process::ProcessError, reading::Reading};

/// What a sampler watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplerOptions {
    /// A path on the file system to watch.
    pub disk_path: PathBuf,
    /// The process to watch, and whose cgroup limits count; `None`: this one.
    pub pid: Option<u32>,
}

impl Default for SamplerOptions {
    /// The root file system and this process.
    fn default() -> Self {
        Self { disk_path: "/".into(), pid: None }
    }
}

/// Why a sampler could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// Only Linux is sampled.
    #[error("system monitoring is supported on Linux only")]
    Unsupported,
    /// A file of the kernel could not be opened.
    #[error("failed to open {path:?}")]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path to watch cannot be asked for its file system.
    #[error("failed to read the file system of {path:?}")]
    Disk {
        /// The configured path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread that asks the file system could not be started.
    #[error("failed to start the thread that watches the file system")]
    Helper {
        /// Why.
        source: io::Error,
    },
    /// The process to watch cannot be read.
    #[error("failed to watch the process")]
    Process {
        /// Why.
        #[from]
        source: ProcessError,
    },
}

/// Reads the machine and one process. Belongs to one thread, which ticks it
/// at a regular interval and publishes what it returns.
#[derive(Debug)]
pub struct Sampler {
    machine: Machine,
}

impl Sampler {
    /// Opens every file that the ticks will read.
    ///
    /// # Errors
    ///
    /// [`SamplerError`]: what every Linux has (`/proc/stat`, `/proc/meminfo`),
    /// the file system or the process is not readable; or this is not Linux.
    /// What a machine may lack (pressure, network, cgroups) is no error.
    pub fn open(options: SamplerOptions) -> Result<Self, SamplerError> {
        Ok(Self { machine: Machine::open(options)? })
    }

    /// Reads everything once. Rates and shares are means since the tick before;
    /// a tick in no time (the clock stands still) has none of them and leaves
    /// the tick before as the base of the next one.
    ///
    /// Costs about a dozen system calls. Blocks for at most 100 ms when the file
    /// system hangs, and then never again until it answers. Allocates the
    /// reading's name and its figures per core; beyond that only every ten
    /// seconds, when limits, devices and clock frequency are looked up anew,
    /// and every five, when sockets are counted.
    pub fn tick(&mut self, clock: &dyn Clock) -> Reading {
        self.machine.tick(clock)
    }
}
