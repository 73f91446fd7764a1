//! One process on demand.

use std::io;

use veritas_model::Clock;

use crate::reading::ProcessReading;

/// Why a process, or the list of them, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such process, or it is hidden from us.
    #[error("there is no process {pid}")]
    NotFound {
        /// The number asked for.
        pid: u32,
    },
    /// Its files could not be read.
    #[error("failed to read process {pid}")]
    Read {
        /// The number asked for.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The processes could not be listed.
    #[error("failed to list the processes")]
    List {
        /// Why.
        source: io::Error,
    },
    /// Only Linux is supported.
    #[error("process monitoring is supported on Linux only")]
    Unsupported,
}

/// Reads any process once: its processor use is the mean since its start, its
/// share of memory that of what its own cgroups leave it. Takes some thirty
/// system calls, and one per descriptor up to 4096.
///
/// # Errors
///
/// [`ProcessError::NotFound`] or [`ProcessError::Read`]. What only the owner
/// may see of another user's process is `None`, not an error.
pub fn read_process(pid: u32, clock: &dyn Clock) -> Result<ProcessReading, ProcessError> {
    #[cfg(target_os = "linux")]
    return crate::linux::process::read_process(pid, clock);
    #[cfg(not(target_os = "linux"))]
    return crate::unsupported::read_process(pid, clock);
}
