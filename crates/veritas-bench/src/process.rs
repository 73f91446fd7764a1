//! What a process costs while nobody asks it anything, read from /proc.

use std::time::Duration;

use anyhow::Context;

/// The cost of a process at rest.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Resident memory at the end.
    pub(crate) resident_bytes: u64,
    /// Share of one core, in percent.
    pub(crate) cpu_percent: f64,
}

/// Watches a process for `window`.
#[expect(clippy::disallowed_methods, reason = "the benchmark waits for real time to pass")]
#[expect(clippy::cast_precision_loss, reason = "ticks of one window")]
pub(crate) fn idle(pid: u32, window: Duration) -> anyhow::Result<Idle> {
    let before = cpu_nanos(pid)?;
    std::thread::sleep(window);
    let spent = cpu_nanos(pid)? - before;
    Ok(Idle {
        resident_bytes: resident_bytes(pid)?,
        cpu_percent: spent as f64 / window.as_nanos() as f64 * 100.0,
    })
}

/// Returns the resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .context("no VmRSS in /proc/PID/status")?;
    Ok(kilobytes * 1_024)
}

/// Returns the time that all threads of a process were on a core: schedstat
/// counts nanoseconds where /proc/PID/stat counts ticks of 10 ms.
fn cpu_nanos(pid: u32) -> anyhow::Result<u64> {
    let mut total = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        let schedstat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_core = schedstat.split_whitespace().next().and_then(|first| first.parse::<u64>().ok());
        total += on_core.context("schedstat is not what it was")?;
    }
    Ok(total)
}
