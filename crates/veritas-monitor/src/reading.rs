//! Readings: what one tick of the sampler saw.
//!
//! `None` means *not known*: not there on this machine, not permitted, or not
//! computable yet. Percent figures are 0 to 100 unless a field says otherwise.

pub mod series;

use std::time::Duration;

use veritas_model::{Bytes, Timestamp};

/// Everything that one tick saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was taken.
    pub at: Timestamp,
    /// Monotonic time since the tick before; the span that rates are means
    /// over. `None` at the first tick.
    pub interval: Option<Duration>,
    /// Whether wall time and monotonic time moved apart since the tick before
    /// (by more than a second): the machine was suspended or its clock was set.
    /// Rates are still true, since they use monotonic time; the spacing of
    /// points in history is not.
    pub gap: bool,
    /// The machine, or the container that limits us.
    pub system: SystemReading,
    /// The watched process.
    pub process: ProcessReading,
}

/// What the machine, or the container that limits us, uses.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemReading {
    /// Processor.
    pub cpu: CpuReading,
    /// Memory; `None` when `/proc/meminfo` could not be read at this tick.
    pub memory: Option<MemoryReading>,
    /// The configured file system; `None` while it does not answer.
    pub disk: Option<DiskReading>,
    /// Network counters; `None` when there is no device but loopback.
    pub network: Option<NetworkReading>,
    /// Pressure stall information; `None` on kernels without it.
    pub pressure: Option<PressureReading>,
    /// Load averages over 1, 5 and 15 minutes, of the host.
    pub load: Option<[f64; 3]>,
}

/// Processor use.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuReading {
    /// Use of what we may use, 0 to 100: of the cgroup limit where there is
    /// one, else of the host. `None` until two ticks exist.
    pub percent: Option<f64>,
    /// Use of all online processors of the host, 0 to 100: everything but
    /// idle, iowait and steal. `None` until two ticks exist.
    pub host_percent: Option<f64>,
    /// Online processors of the host.
    pub count: u32,
    /// Mean clock frequency in MHz, at most ten seconds old.
    pub frequency_mhz: Option<f64>,
    /// Processors that the cgroups of the process leave it (quota or cpuset,
    /// the least over all ancestors); `None` when they leave it all.
    pub limit_cores: Option<f64>,
    /// Share of time in which processors were idle while I/O was pending, 0 to 100.
    pub iowait_percent: Option<f64>,
    /// Share of time that the hypervisor gave to others, 0 to 100.
    pub steal_percent: Option<f64>,
    /// Share of quota periods in which the limiting cgroup was throttled, 0 to
    /// 100; `None` without a quota.
    pub throttled_percent: Option<f64>,
    /// Use of each online processor, 0 to 100, in the kernel's order. Not kept
    /// in history.
    pub cores: Vec<Option<f64>>,
}

/// Memory use. `used + available = total`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryReading {
    /// What we may use: the host's memory or the cgroup limit, whichever is less.
    pub total: Bytes,
    /// What could still be had without swapping: `MemAvailable`, or the limit
    /// less `used`.
    pub available: Bytes,
    /// `total` less `available`. Under a cgroup limit: the limiting group's
    /// usage less its page cache and reclaimable slab, as `MemAvailable`
    /// counts.
    pub used: Bytes,
    /// `used` of `total`, 0 to 100.
    pub percent: f64,
    /// Used swap of all swap of the host, 0 to 100; 0 without swap.
    pub swap_percent: Option<f64>,
    /// The least memory limit over all ancestors, when it is below the host's memory.
    pub limit: Option<Bytes>,
    /// Under a limit: usage less inactive page cache, the figure by which
    /// Kubernetes evicts.
    pub working_set: Option<Bytes>,
    /// The host's memory.
    pub host_total: Bytes,
    /// The host's `MemAvailable`.
    pub host_available: Bytes,
    /// Used memory of the host, 0 to 100.
    pub host_percent: f64,
}

/// Use of one file system, counted as `df` counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskReading {
    /// Its size.
    pub total: Bytes,
    /// Blocks in use.
    pub used: Bytes,
    /// What a user without privilege can still write. Less than `total` minus
    /// `used` where blocks are reserved.
    pub free: Bytes,
    /// `used` of `used + free`, 0 to 100.
    pub percent: f64,
    /// Inodes in use, 0 to 100; `None` where the file system has no fixed number.
    pub inodes_percent: Option<f64>,
}

/// The kernel's traffic counters since boot, summed over the devices that
/// carry traffic off the machine: those with hardware behind them, else those
/// of the default route, else all but loopback. The counters restart when a
/// device is re-created; rates are `None` over such a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkReading {
    /// Bytes sent.
    pub bytes_sent: Bytes,
    /// Bytes received.
    pub bytes_received: Bytes,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Bytes sent per second since the tick before.
    pub bytes_sent_per_second: Option<f64>,
    /// Bytes received per second since the tick before.
    pub bytes_received_per_second: Option<f64>,
}

/// Share of the last ten seconds in which tasks waited for a resource, 0 to
/// 100 (pressure stall information of the host, `avg10`). *Some*: at least one
/// task waited; *full*: all did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PressureReading {
    /// Some task waited for a processor.
    pub cpu_some: f64,
    /// Some task waited for memory.
    pub memory_some: Option<f64>,
    /// All tasks waited for memory.
    pub memory_full: Option<f64>,
    /// Some task waited for I/O.
    pub io_some: Option<f64>,
    /// All tasks waited for I/O.
    pub io_full: Option<f64>,
}

/// What one process uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessReading {
    /// Its number.
    pub pid: u32,
    /// Its name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// What it is doing.
    pub status: ProcessStatus,
    /// Processor use, where 100 is one whole core: since the tick before; in
    /// the first answer, the mean since the process started.
    pub cpu_percent: Option<f64>,
    /// `rss` of [`MemoryReading::total`], 0 to 100.
    pub memory_percent: Option<f64>,
    /// Resident memory, pages shared with others included.
    pub rss: Bytes,
    /// Virtual memory.
    pub vms: Bytes,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors; `None` when it is another user's process.
    pub open_files: Option<u32>,
    /// Open sockets, at most five seconds old; `None` when it is another
    /// user's process or has more than 4096 descriptors.
    pub connections: Option<u32>,
    /// When it started.
    pub started_at: Timestamp,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessStatus {
    /// On a processor or waiting for one.
    Running,
    /// Waits for an event.
    Sleeping,
    /// Waits for I/O and cannot be interrupted.
    DiskSleep,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    TracingStop,
    /// Ended, not yet collected by its parent.
    Zombie,
    /// Gone.
    Dead,
    /// Being woken by a fatal signal.
    WakeKill,
    /// Being woken.
    Waking,
    /// An idle kernel thread.
    Idle,
    /// A parked kernel thread.
    Parked,
    /// A state that this version does not know.
    Unknown,
}

impl ProcessStatus {
    const ALL: [Self; 12] = [
        Self::Running,
        Self::Sleeping,
        Self::DiskSleep,
        Self::Stopped,
        Self::TracingStop,
        Self::Zombie,
        Self::Dead,
        Self::WakeKill,
        Self::Waking,
        Self::Idle,
        Self::Parked,
        Self::Unknown,
    ];

    /// Returns the word of the published JSON, the same as psutil's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::DiskSleep => "disk-sleep",
            Self::Stopped => "stopped",
            Self::TracingStop => "tracing-stop",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::WakeKill => "wake-kill",
            Self::Waking => "waking",
            Self::Idle => "idle",
            Self::Parked => "parked",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Reads the letter in `/proc/PID/stat` (proc(5)).
    pub const fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::TracingStop,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'K' => Self::WakeKill,
            b'W' => Self::Waking,
            b'I' => Self::Idle,
            b'P' => Self::Parked,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reading in which everything is known.
    pub(crate) fn full_reading() -> Reading {
        Reading {
            at: Timestamp::from_seconds(1_672_531_200.123),
            interval: Some(Duration::from_secs(1)),
            gap: false,
            system: SystemReading {
                cpu: CpuReading {
                    percent: Some(25.0),
                    host_percent: Some(12.5),
                    count: 8,
                    frequency_mhz: Some(3200.0),
                    limit_cores: Some(4.0),
                    iowait_percent: Some(0.5),
                    steal_percent: Some(0.25),
                    throttled_percent: Some(1.0),
                    cores: Vec::new(),
                },
                memory: Some(MemoryReading {
                    total: Bytes::new(16 << 30),
                    available: Bytes::new(8 << 30),
                    used: Bytes::new(8 << 30),
                    percent: 50.0,
                    swap_percent: Some(0.0),
                    limit: Some(Bytes::new(16 << 30)),
                    working_set: Some(Bytes::new(9 << 30)),
                    host_total: Bytes::new(64 << 30),
                    host_available: Bytes::new(32 << 30),
                    host_percent: 50.0,
                }),
                disk: Some(DiskReading {
                    total: Bytes::new(500 << 30),
                    used: Bytes::new(200 << 30),
                    free: Bytes::new(300 << 30),
                    percent: 40.0,
                    inodes_percent: Some(3.0),
                }),
                network: Some(NetworkReading {
                    bytes_sent: Bytes::new(16_252_928),
                    bytes_received: Bytes::new(26_528_972),
                    packets_sent: 15_000,
                    packets_received: 25_000,
                    bytes_sent_per_second: Some(100.0),
                    bytes_received_per_second: Some(200.0),
                }),
                pressure: Some(PressureReading {
                    cpu_some: 1.5,
                    memory_some: Some(0.0),
                    memory_full: Some(0.0),
                    io_some: Some(0.25),
                    io_full: Some(0.0),
                }),
                load: Some([0.5, 0.25, 0.125]),
            },
            process: ProcessReading {
                pid: 12_345,
                name: "python".into(),
                status: ProcessStatus::Running,
                cpu_percent: Some(15.0),
                memory_percent: Some(25.0),
                rss: Bytes::new(134_742_016),
                vms: Bytes::new(256 << 20),
                threads: 10,
                open_files: Some(15),
                connections: Some(8),
                started_at: Timestamp::from_nanos(1_672_531_000_500_000_000),
            },
        }
    }

    #[test]
    fn every_status_word_reads_back() {
        for status in ProcessStatus::ALL {
            assert_eq!(ProcessStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(ProcessStatus::parse("busy"), None);
        assert_eq!(ProcessStatus::from_letter(b'D').as_str(), "disk-sleep");
        assert_eq!(ProcessStatus::from_letter(b'?'), ProcessStatus::Unknown);
    }
}
