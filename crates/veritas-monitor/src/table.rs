//! The process table: who uses the processors and the memory, for blame.

use veritas_model::{Bytes, Clock, round2};

#[cfg(target_os = "linux")]
use crate::linux::table::Scan;
use crate::process::ProcessError;
#[cfg(not(target_os = "linux"))]
use crate::unsupported::Scan;

/// What one process uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessUse {
    /// Its number.
    pub pid: u32,
    /// Its name, as the kernel cuts it off (15 bytes).
    pub name: String,
    /// Processor use since the scan before, where 100 is one core; of a process
    /// that is new, the mean since its start.
    pub cpu_percent: Option<f64>,
    /// Resident memory, up to some pages per processor off.
    pub rss: Bytes,
}

/// All processes, scanned on demand. A scan costs three system calls per
/// process: once every few seconds is often enough.
#[derive(Debug)]
pub struct ProcessTable {
    scan: Scan,
}

impl Default for ProcessTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessTable {
    /// Builds a table that is empty until it is scanned.
    pub fn new() -> Self {
        Self { scan: Scan::new() }
    }

    /// Reads all processes. Does nothing when no time passed since the scan before.
    ///
    /// # Errors
    ///
    /// [`ProcessError::List`] when `/proc` cannot be listed;
    /// [`ProcessError::Unsupported`] elsewhere than on Linux. A process that
    /// cannot be read is left out.
    pub fn scan(&mut self, clock: &dyn Clock) -> Result<(), ProcessError> {
        self.scan.scan(clock)
    }

    /// Returns the `count` processes that use the processors most, most first.
    pub fn top_by_cpu(&self, count: usize) -> Vec<ProcessUse> {
        self.top(count, |process| process.cpu_percent.unwrap_or(-1.0))
    }

    /// Returns the `count` processes with the most resident memory, most first.
    pub fn top_by_memory(&self, count: usize) -> Vec<ProcessUse> {
        self.top(count, |process| crate::reading::series::count_to_f64(process.rss.get()))
    }

    /// Returns who is to blame for the value of a series, for alerts: of
    /// `system.cpu.…` the process that uses the processors most, of
    /// `system.memory.…` the one with the most resident memory. `None` of other
    /// series, before the first scan, and when nobody stands out (less than a
    /// tenth of a core).
    pub fn blame(&self, series: &str) -> Option<String> {
        if series.starts_with("system.cpu.") {
            let process = self.top_by_cpu(1).pop()?;
            let percent = process.cpu_percent.filter(|percent| *percent >= 10.0)?;
            Some(format!("process {} {} uses {} % of a core", process.pid, process.name, percent.round()))
        } else if series.starts_with("system.memory.") {
            let process = self.top_by_memory(1).pop()?;
            let mebibytes = round2(process.rss.mebibytes());
            Some(format!("process {} {} holds {mebibytes} MiB", process.pid, process.name))
        } else {
            None
        }
    }

    fn top(&self, count: usize, key: impl Fn(&ProcessUse) -> f64) -> Vec<ProcessUse> {
        let mut processes: Vec<_> = self.scan.processes().collect();
        processes.sort_unstable_by(|a, b| key(b).total_cmp(&key(a)).then(a.pid.cmp(&b.pid)));
        processes.into_iter().take(count).cloned().collect()
    }
}
