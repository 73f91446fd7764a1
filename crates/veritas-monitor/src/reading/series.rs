//! Series: a reading as named numbers and texts for history and alert rules, and back.

use std::time::Duration;

use veritas_model::{Bytes, Timestamp};

use crate::reading::{
    CpuReading, DiskReading, MemoryReading, NetworkReading, PressureReading, ProcessReading, ProcessStatus,
    Reading, SystemReading,
};

/// The name of a series and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// Its name: dotted, the unit last.
    pub name: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
}

macro_rules! series {
    ($($constant:ident = $name:literal: $meaning:literal;)*) => {
        $(const $constant: &str = $name;)*

        /// Every numeric series that a reading can hold.
        pub const SERIES: &[Series] = &[$(Series { name: $name, meaning: $meaning }),*];
    };
}

series! {
    INTERVAL = "system.interval_seconds": "monotonic time since the tick before";
    GAP = "system.gap": "1 when the machine was suspended or its clock set since the tick before";
    CPU_PERCENT = "system.cpu.percent": "use of the processors that we may use";
    CPU_HOST_PERCENT = "system.cpu.host_percent": "use of all processors of the host";
    CPU_COUNT = "system.cpu.count": "online processors of the host";
    CPU_FREQUENCY = "system.cpu.frequency_mhz": "mean clock frequency";
    CPU_LIMIT = "system.cpu.limit_cores": "processors that the cgroup limits leave us";
    CPU_IOWAIT = "system.cpu.iowait_percent": "share of time idle with I/O pending";
    CPU_STEAL = "system.cpu.steal_percent": "share of time that the hypervisor gave to others";
    CPU_THROTTLED = "system.cpu.throttled_percent": "share of quota periods that were throttled";
    MEMORY_TOTAL = "system.memory.total_bytes": "memory that we may use";
    MEMORY_AVAILABLE = "system.memory.available_bytes": "memory still to be had without swapping";
    MEMORY_USED = "system.memory.used_bytes": "total less available";
    MEMORY_PERCENT = "system.memory.percent": "used of total";
    MEMORY_SWAP = "system.memory.swap_percent": "used swap of all swap";
    MEMORY_LIMIT = "system.memory.limit_bytes": "the least cgroup limit";
    MEMORY_WORKING_SET = "system.memory.working_set_bytes": "usage under the limit less inactive page cache";
    MEMORY_HOST_TOTAL = "system.memory.host_total_bytes": "memory of the host";
    MEMORY_HOST_AVAILABLE = "system.memory.host_available_bytes": "available memory of the host";
    MEMORY_HOST_PERCENT = "system.memory.host_percent": "used memory of the host";
    DISK_TOTAL = "system.disk.total_bytes": "size of the file system";
    DISK_USED = "system.disk.used_bytes": "used blocks of the file system";
    DISK_FREE = "system.disk.free_bytes": "what can still be written without privilege";
    DISK_PERCENT = "system.disk.percent": "used of used and free, as df counts";
    DISK_INODES = "system.disk.inodes_percent": "used inodes";
    NETWORK_SENT = "system.network.sent_bytes": "bytes sent since boot";
    NETWORK_RECEIVED = "system.network.received_bytes": "bytes received since boot";
    NETWORK_PACKETS_SENT = "system.network.sent_packets": "packets sent since boot";
    NETWORK_PACKETS_RECEIVED = "system.network.received_packets": "packets received since boot";
    NETWORK_SENT_RATE = "system.network.sent_bytes_per_second": "bytes sent per second";
    NETWORK_RECEIVED_RATE = "system.network.received_bytes_per_second": "bytes received per second";
    PRESSURE_CPU_SOME = "system.pressure.cpu_some_percent": "time in which some task waited for a processor";
    PRESSURE_MEMORY_SOME = "system.pressure.memory_some_percent": "time in which some task waited for memory";
    PRESSURE_MEMORY_FULL = "system.pressure.memory_full_percent": "time in which all tasks waited for memory";
    PRESSURE_IO_SOME = "system.pressure.io_some_percent": "time in which some task waited for I/O";
    PRESSURE_IO_FULL = "system.pressure.io_full_percent": "time in which all tasks waited for I/O";
    LOAD_1 = "system.load.1m": "load average over a minute";
    LOAD_5 = "system.load.5m": "load average over 5 minutes";
    LOAD_15 = "system.load.15m": "load average over 15 minutes";
    PROCESS_PID = "process.pid": "number of the process";
    PROCESS_CPU = "process.cpu_percent": "processor use of the process, 100 is one core";
    PROCESS_MEMORY = "process.memory_percent": "resident memory of the memory that we may use";
    PROCESS_RSS = "process.rss_bytes": "resident memory of the process";
    PROCESS_VMS = "process.vms_bytes": "virtual memory of the process";
    PROCESS_THREADS = "process.threads": "threads of the process";
    PROCESS_OPEN_FILES = "process.open_files": "open file descriptors of the process";
    PROCESS_CONNECTIONS = "process.connections": "open sockets of the process";
    PROCESS_STARTED_AT = "process.started_at_seconds": "Unix time at which the process started";
}

const PROCESS_NAME: &str = "process.name";
const PROCESS_STATUS: &str = "process.status";

/// Collects the known ones of a reading's figures.
struct Numbers(Vec<(&'static str, f64)>);

impl Numbers {
    fn put(&mut self, name: &'static str, value: impl Into<Option<f64>>) {
        self.0.extend(value.into().filter(|value| value.is_finite()).map(|value| (name, value)));
    }

    fn put_bytes(&mut self, name: &'static str, value: impl Into<Option<Bytes>>) {
        self.put(name, value.into().map(|bytes| count_to_f64(bytes.get())));
    }
}

/// Exact up to 2^53: nine petabytes, and every count we know of.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, relative error 1e-16 beyond")]
pub(crate) fn count_to_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn count_from_f64(value: f64) -> u64 {
    value as u64
}

fn small_count_from_f64(value: f64) -> u32 {
    u32::try_from(count_from_f64(value)).unwrap_or(u32::MAX)
}

impl Reading {
    /// Returns every known figure under the name of its series (see [`SERIES`]).
    /// Unknown figures are left out, and so are the figures per core.
    pub fn series(&self) -> Vec<(&'static str, f64)> {
        let mut numbers = Numbers(Vec::with_capacity(SERIES.len()));
        numbers.put(INTERVAL, self.interval.map(|interval| interval.as_secs_f64()));
        numbers.put(GAP, self.gap.then_some(1.0));
        put_cpu(&mut numbers, &self.system.cpu);
        if let Some(memory) = &self.system.memory {
            put_memory(&mut numbers, memory);
        }
        if let Some(disk) = &self.system.disk {
            numbers.put_bytes(DISK_TOTAL, disk.total);
            numbers.put_bytes(DISK_USED, disk.used);
            numbers.put_bytes(DISK_FREE, disk.free);
            numbers.put(DISK_PERCENT, disk.percent);
            numbers.put(DISK_INODES, disk.inodes_percent);
        }
        if let Some(network) = &self.system.network {
            numbers.put_bytes(NETWORK_SENT, network.bytes_sent);
            numbers.put_bytes(NETWORK_RECEIVED, network.bytes_received);
            numbers.put(NETWORK_PACKETS_SENT, count_to_f64(network.packets_sent));
            numbers.put(NETWORK_PACKETS_RECEIVED, count_to_f64(network.packets_received));
            numbers.put(NETWORK_SENT_RATE, network.bytes_sent_per_second);
            numbers.put(NETWORK_RECEIVED_RATE, network.bytes_received_per_second);
        }
        if let Some(pressure) = &self.system.pressure {
            numbers.put(PRESSURE_CPU_SOME, pressure.cpu_some);
            numbers.put(PRESSURE_MEMORY_SOME, pressure.memory_some);
            numbers.put(PRESSURE_MEMORY_FULL, pressure.memory_full);
            numbers.put(PRESSURE_IO_SOME, pressure.io_some);
            numbers.put(PRESSURE_IO_FULL, pressure.io_full);
        }
        if let Some([one, five, fifteen]) = self.system.load {
            numbers.put(LOAD_1, one);
            numbers.put(LOAD_5, five);
            numbers.put(LOAD_15, fifteen);
        }
        put_process(&mut numbers, &self.process);
        numbers.0
    }

    /// Returns the texts of the reading under the names of their series:
    /// `process.name` and `process.status`.
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        vec![
            (PROCESS_NAME, self.process.name.clone()),
            (PROCESS_STATUS, self.process.status.as_str().to_owned()),
        ]
    }

    /// Rebuilds the reading that [`Self::series`] and [`Self::texts`] took
    /// apart. A part of it (memory, disk, network, pressure, load) whose main
    /// figures are not there is `None`; the figures per core are not kept.
    ///
    /// Returns `None` when the point is no reading: the processors or the
    /// process are missing.
    pub fn from_series(
        at: Timestamp,
        get: impl Fn(&str) -> Option<f64>,
        text: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let bytes = |name: &str| get(name).map(|value| Bytes::new(count_from_f64(value)));
        Some(Self {
            at,
            interval: get(INTERVAL).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            gap: get(GAP).is_some_and(|flag| flag != 0.0),
            system: SystemReading {
                cpu: CpuReading {
                    percent: get(CPU_PERCENT),
                    host_percent: get(CPU_HOST_PERCENT),
                    count: small_count_from_f64(get(CPU_COUNT)?),
                    frequency_mhz: get(CPU_FREQUENCY),
                    limit_cores: get(CPU_LIMIT),
                    iowait_percent: get(CPU_IOWAIT),
                    steal_percent: get(CPU_STEAL),
                    throttled_percent: get(CPU_THROTTLED),
                    cores: Vec::new(),
                },
                memory: memory_from(&get, bytes),
                disk: disk_from(&get, bytes),
                network: network_from(&get, bytes),
                pressure: get(PRESSURE_CPU_SOME).map(|cpu_some| PressureReading {
                    cpu_some,
                    memory_some: get(PRESSURE_MEMORY_SOME),
                    memory_full: get(PRESSURE_MEMORY_FULL),
                    io_some: get(PRESSURE_IO_SOME),
                    io_full: get(PRESSURE_IO_FULL),
                }),
                load: get(LOAD_1)
                    .zip(get(LOAD_5))
                    .zip(get(LOAD_15))
                    .map(|((one, five), fifteen)| [one, five, fifteen]),
            },
            process: ProcessReading {
                pid: small_count_from_f64(get(PROCESS_PID)?),
                name: text(PROCESS_NAME)?,
                status: text(PROCESS_STATUS)
                    .and_then(|word| ProcessStatus::parse(&word))
                    .unwrap_or(ProcessStatus::Unknown),
                cpu_percent: get(PROCESS_CPU),
                memory_percent: get(PROCESS_MEMORY),
                rss: bytes(PROCESS_RSS)?,
                vms: bytes(PROCESS_VMS)?,
                threads: small_count_from_f64(get(PROCESS_THREADS)?),
                open_files: get(PROCESS_OPEN_FILES).map(small_count_from_f64),
                connections: get(PROCESS_CONNECTIONS).map(small_count_from_f64),
                started_at: Timestamp::from_seconds(get(PROCESS_STARTED_AT)?),
            },
        })
    }
}

fn put_cpu(numbers: &mut Numbers, cpu: &CpuReading) {
    numbers.put(CPU_PERCENT, cpu.percent);
    numbers.put(CPU_HOST_PERCENT, cpu.host_percent);
    numbers.put(CPU_COUNT, f64::from(cpu.count));
    numbers.put(CPU_FREQUENCY, cpu.frequency_mhz);
    numbers.put(CPU_LIMIT, cpu.limit_cores);
    numbers.put(CPU_IOWAIT, cpu.iowait_percent);
    numbers.put(CPU_STEAL, cpu.steal_percent);
    numbers.put(CPU_THROTTLED, cpu.throttled_percent);
}

fn put_memory(numbers: &mut Numbers, memory: &MemoryReading) {
    numbers.put_bytes(MEMORY_TOTAL, memory.total);
    numbers.put_bytes(MEMORY_AVAILABLE, memory.available);
    numbers.put_bytes(MEMORY_USED, memory.used);
    numbers.put(MEMORY_PERCENT, memory.percent);
    numbers.put(MEMORY_SWAP, memory.swap_percent);
    numbers.put_bytes(MEMORY_LIMIT, memory.limit);
    numbers.put_bytes(MEMORY_WORKING_SET, memory.working_set);
    numbers.put_bytes(MEMORY_HOST_TOTAL, memory.host_total);
    numbers.put_bytes(MEMORY_HOST_AVAILABLE, memory.host_available);
    numbers.put(MEMORY_HOST_PERCENT, memory.host_percent);
}

fn put_process(numbers: &mut Numbers, process: &ProcessReading) {
    numbers.put(PROCESS_PID, f64::from(process.pid));
    numbers.put(PROCESS_CPU, process.cpu_percent);
    numbers.put(PROCESS_MEMORY, process.memory_percent);
    numbers.put_bytes(PROCESS_RSS, process.rss);
    numbers.put_bytes(PROCESS_VMS, process.vms);
    numbers.put(PROCESS_THREADS, f64::from(process.threads));
    numbers.put(PROCESS_OPEN_FILES, process.open_files.map(f64::from));
    numbers.put(PROCESS_CONNECTIONS, process.connections.map(f64::from));
    numbers.put(PROCESS_STARTED_AT, process.started_at.seconds());
}

fn memory_from(
    get: impl Fn(&str) -> Option<f64>,
    bytes: impl Fn(&str) -> Option<Bytes>,
) -> Option<MemoryReading> {
    Some(MemoryReading {
        total: bytes(MEMORY_TOTAL)?,
        available: bytes(MEMORY_AVAILABLE)?,
        used: bytes(MEMORY_USED)?,
        percent: get(MEMORY_PERCENT)?,
        swap_percent: get(MEMORY_SWAP),
        limit: bytes(MEMORY_LIMIT),
        working_set: bytes(MEMORY_WORKING_SET),
        host_total: bytes(MEMORY_HOST_TOTAL)?,
        host_available: bytes(MEMORY_HOST_AVAILABLE)?,
        host_percent: get(MEMORY_HOST_PERCENT)?,
    })
}

fn disk_from(
    get: impl Fn(&str) -> Option<f64>,
    bytes: impl Fn(&str) -> Option<Bytes>,
) -> Option<DiskReading> {
    Some(DiskReading {
        total: bytes(DISK_TOTAL)?,
        used: bytes(DISK_USED)?,
        free: bytes(DISK_FREE)?,
        percent: get(DISK_PERCENT)?,
        inodes_percent: get(DISK_INODES),
    })
}

fn network_from(
    get: impl Fn(&str) -> Option<f64>,
    bytes: impl Fn(&str) -> Option<Bytes>,
) -> Option<NetworkReading> {
    Some(NetworkReading {
        bytes_sent: bytes(NETWORK_SENT)?,
        bytes_received: bytes(NETWORK_RECEIVED)?,
        packets_sent: count_from_f64(get(NETWORK_PACKETS_SENT)?),
        packets_received: count_from_f64(get(NETWORK_PACKETS_RECEIVED)?),
        bytes_sent_per_second: get(NETWORK_SENT_RATE),
        bytes_received_per_second: get(NETWORK_RECEIVED_RATE),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::reading::tests::full_reading;

    #[track_caller]
    fn check_round_trip(reading: &Reading) {
        let numbers: HashMap<_, _> = reading.series().into_iter().collect();
        let texts: HashMap<_, _> = reading.texts().into_iter().collect();
        let back = Reading::from_series(
            reading.at,
            |name| numbers.get(name).copied(),
            |name| texts.get(name).cloned(),
        );
        assert_eq!(back.as_ref(), Some(reading));
    }

    #[test]
    fn a_reading_comes_back_from_its_series() {
        check_round_trip(&full_reading());
    }

    #[test]
    fn what_is_not_known_stays_unknown() {
        let mut reading = full_reading();
        reading.gap = true;
        reading.interval = None;
        reading.system.cpu.percent = None;
        reading.system.cpu.limit_cores = None;
        reading.system.memory = None;
        reading.system.disk = None;
        reading.system.network = None;
        reading.system.pressure = None;
        reading.system.load = None;
        reading.process.connections = None;
        check_round_trip(&reading);
        assert!(reading.series().iter().all(|(name, _)| !name.starts_with("system.disk")));
    }

    #[test]
    fn every_series_is_listed_once_and_a_full_reading_has_them_all() {
        let mut reading = full_reading();
        reading.gap = true;
        let listed: HashSet<_> = SERIES.iter().map(|series| series.name).collect();
        assert_eq!(listed.len(), SERIES.len());
        let given: HashSet<_> = reading.series().into_iter().map(|(name, _)| name).collect();
        assert_eq!(given, listed);
    }

    #[test]
    fn a_figure_that_is_not_a_number_is_left_out() {
        let mut reading = full_reading();
        reading.system.cpu.percent = Some(f64::NAN);
        assert!(reading.series().iter().all(|(name, _)| *name != CPU_PERCENT));
    }

    #[test]
    fn a_point_without_a_process_is_no_reading() {
        assert_eq!(Reading::from_series(Timestamp::default(), |_| None, |_| None), None);
    }
}
