//! Bodies of `/monitoring`: readings as the published JSON gives them.

use serde::Serialize;
use utoipa::ToSchema;
use veritas_alert::ActiveAlert;
use veritas_model::{Bytes, Provenance, Timestamp, round2};
use veritas_monitor::{ProcessReading, Reading};

use crate::routes::{ProvenanceWord, alerts::SeverityWord};

/// What the machine, or the container that limits us, uses.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"timestamp": 1_672_531_200.123,
    "cpu": {"percent": 25.0, "count": 8, "frequency_mhz": 3200.0, "limit_cores": null,
        "iowait_percent": 0.0, "steal_percent": 0.0, "throttled_percent": null},
    "memory": {"total_gb": 16.0, "available_gb": 8.0, "used_gb": 8.0, "percent": 50.0, "swap_percent": 0.0,
        "limit_gb": null},
    "disk": {"total_gb": 500.0, "used_gb": 200.0, "free_gb": 300.0, "percent": 40.0, "inodes_percent": 3.0},
    "network": {"bytes_sent_mb": 15.5, "bytes_recv_mb": 25.3, "packets_sent": 15000, "packets_recv": 25000,
        "bytes_sent_per_second": 100.0, "bytes_recv_per_second": 200.0},
    "host": {"cpu_percent": 25.0, "memory_total_gb": 16.0, "memory_available_gb": 8.0,
        "memory_percent": 50.0, "load_1m": 0.5, "load_5m": 0.25, "load_15m": 0.12},
    "pressure": null, "provenance": "measured"}))]
pub(crate) struct SystemMetrics {
    /// When it was taken, in Unix seconds.
    timestamp: f64,
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    network: Network,
    host: Host,
    /// Share of the last ten seconds in which tasks waited; `null` on kernels without it.
    #[schema(required)]
    pressure: Option<Pressure>,
    /// `measured`, or `unavailable` before the first tick.
    #[schema(value_type = ProvenanceWord)]
    provenance: &'static str,
}

/// Processor use.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct Cpu {
    /// Percent of what we may use; `null` until two ticks exist.
    #[schema(required)]
    percent: Option<f64>,
    /// Online processors.
    #[schema(required)]
    count: Option<u32>,
    /// Mean clock frequency.
    #[schema(required)]
    frequency_mhz: Option<f64>,
    /// Processors that the limits leave us; `null` without limits.
    #[schema(required)]
    limit_cores: Option<f64>,
    /// Percent of the time idle while I/O was pending.
    #[schema(required)]
    iowait_percent: Option<f64>,
    /// Percent of the time that the hypervisor gave to others.
    #[schema(required)]
    steal_percent: Option<f64>,
    /// Percent of the quota periods in which we were throttled; `null` without a quota.
    #[schema(required)]
    throttled_percent: Option<f64>,
}

/// Memory use; sizes in GiB.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct Memory {
    #[schema(required)]
    total_gb: Option<f64>,
    #[schema(required)]
    available_gb: Option<f64>,
    #[schema(required)]
    used_gb: Option<f64>,
    #[schema(required)]
    percent: Option<f64>,
    #[schema(required)]
    swap_percent: Option<f64>,
    /// The limit of the container; `null` without one.
    #[schema(required)]
    limit_gb: Option<f64>,
}

/// Use of one file system; sizes in GiB.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct Disk {
    #[schema(required)]
    total_gb: Option<f64>,
    #[schema(required)]
    used_gb: Option<f64>,
    /// What can still be written without privilege.
    #[schema(required)]
    free_gb: Option<f64>,
    /// As `df` counts: used of used and free.
    #[schema(required)]
    percent: Option<f64>,
    #[schema(required)]
    inodes_percent: Option<f64>,
}

/// Traffic since boot; sizes in MiB.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct Network {
    #[schema(required)]
    bytes_sent_mb: Option<f64>,
    #[schema(required)]
    bytes_recv_mb: Option<f64>,
    #[schema(required)]
    packets_sent: Option<u64>,
    #[schema(required)]
    packets_recv: Option<u64>,
    #[schema(required)]
    bytes_sent_per_second: Option<f64>,
    #[schema(required)]
    bytes_recv_per_second: Option<f64>,
}

/// The host, whatever the limits of the container.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct Host {
    #[schema(required)]
    cpu_percent: Option<f64>,
    #[schema(required)]
    memory_total_gb: Option<f64>,
    #[schema(required)]
    memory_available_gb: Option<f64>,
    #[schema(required)]
    memory_percent: Option<f64>,
    #[schema(required)]
    load_1m: Option<f64>,
    #[schema(required)]
    load_5m: Option<f64>,
    #[schema(required)]
    load_15m: Option<f64>,
}

/// Percent of the last ten seconds in which some or all tasks waited.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "they are keys of the JSON, where the unit comes last")]
pub(crate) struct Pressure {
    cpu_some_percent: f64,
    #[schema(required)]
    memory_some_percent: Option<f64>,
    #[schema(required)]
    memory_full_percent: Option<f64>,
    #[schema(required)]
    io_some_percent: Option<f64>,
    #[schema(required)]
    io_full_percent: Option<f64>,
}

/// What one process uses.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"timestamp": 1_672_531_200.123, "pid": 12345, "name": "python",
    "status": "running", "cpu_percent": 15.0, "memory_percent": 25.0,
    "memory_info": {"rss_mb": 128.5, "vms_mb": 256.0}, "num_threads": 10, "open_files": 15,
    "connections": 8, "started_at": 1_672_531_000.5, "provenance": "measured"}))]
pub(crate) struct ProcessMetrics {
    /// When it was taken, in Unix seconds.
    timestamp: f64,
    #[schema(required)]
    pid: Option<u32>,
    #[schema(required)]
    name: Option<String>,
    /// `running`, `sleeping`, `disk-sleep`, …
    #[schema(required)]
    status: Option<&'static str>,
    /// 100 is one whole core.
    #[schema(required)]
    cpu_percent: Option<f64>,
    /// Resident memory of the memory that we may use.
    #[schema(required)]
    memory_percent: Option<f64>,
    memory_info: MemoryInfo,
    #[schema(required)]
    num_threads: Option<u32>,
    /// `null` when it is another user's process.
    #[schema(required)]
    open_files: Option<u32>,
    /// Open sockets; `null` when it is another user's process.
    #[schema(required)]
    connections: Option<u32>,
    /// When it started, in Unix seconds.
    #[schema(required)]
    started_at: Option<f64>,
    /// `measured`, or `unavailable` before the first tick.
    #[schema(value_type = ProvenanceWord)]
    provenance: &'static str,
}

/// Memory of a process, in MiB.
#[derive(Serialize, ToSchema, Default)]
pub(crate) struct MemoryInfo {
    /// Resident.
    #[schema(required)]
    rss_mb: Option<f64>,
    /// Virtual.
    #[schema(required)]
    vms_mb: Option<f64>,
}

/// An alert that is firing.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert, example = json!({"type": "high_cpu", "severity": "warning",
    "message": "High CPU usage: 85%", "rule": "high_cpu", "series": "system.cpu.percent",
    "since": 1_672_531_190.123, "fired_at": 1_672_531_200.123, "value": 85.0, "threshold": 80.0,
    "cause": null}))]
pub(crate) struct AlertBody {
    /// The name of its rule.
    r#type: String,
    severity: SeverityWord,
    /// What it says.
    message: String,
    /// The name of its rule.
    rule: String,
    /// What the rule watches.
    series: String,
    /// When the condition began to hold, in Unix seconds.
    since: f64,
    /// When it fired, in Unix seconds.
    #[schema(required)]
    fired_at: Option<f64>,
    /// The last known value.
    #[schema(required)]
    value: Option<f64>,
    /// The threshold, in the unit of the series.
    threshold: f64,
    /// What was to blame when it fired; `null` when it is not known.
    #[schema(required)]
    cause: Option<String>,
}

fn percent(value: f64) -> Option<f64> {
    value.is_finite().then(|| round2(value))
}

impl SystemMetrics {
    pub(crate) fn of(reading: &Reading) -> Self {
        let system = &reading.system;
        let gigabytes = |bytes: Bytes| Some(bytes.gibibytes());
        Self {
            timestamp: reading.at.seconds(),
            cpu: Cpu {
                percent: system.cpu.percent.and_then(percent),
                count: Some(system.cpu.count),
                frequency_mhz: system.cpu.frequency_mhz.and_then(percent),
                limit_cores: system.cpu.limit_cores,
                iowait_percent: system.cpu.iowait_percent.and_then(percent),
                steal_percent: system.cpu.steal_percent.and_then(percent),
                throttled_percent: system.cpu.throttled_percent.and_then(percent),
            },
            memory: system.memory.map_or_else(Memory::default, |memory| Memory {
                total_gb: gigabytes(memory.total),
                available_gb: gigabytes(memory.available),
                used_gb: gigabytes(memory.used),
                percent: percent(memory.percent),
                swap_percent: memory.swap_percent.and_then(percent),
                limit_gb: memory.limit.and_then(gigabytes),
            }),
            disk: system.disk.map_or_else(Disk::default, |disk| Disk {
                total_gb: gigabytes(disk.total),
                used_gb: gigabytes(disk.used),
                free_gb: gigabytes(disk.free),
                percent: percent(disk.percent),
                inodes_percent: disk.inodes_percent.and_then(percent),
            }),
            network: system.network.map_or_else(Network::default, |network| Network {
                bytes_sent_mb: Some(network.bytes_sent.mebibytes()),
                bytes_recv_mb: Some(network.bytes_received.mebibytes()),
                packets_sent: Some(network.packets_sent),
                packets_recv: Some(network.packets_received),
                bytes_sent_per_second: network.bytes_sent_per_second.and_then(percent),
                bytes_recv_per_second: network.bytes_received_per_second.and_then(percent),
            }),
            host: Host {
                cpu_percent: system.cpu.host_percent.and_then(percent),
                memory_total_gb: system.memory.map(|memory| memory.host_total.gibibytes()),
                memory_available_gb: system.memory.map(|memory| memory.host_available.gibibytes()),
                memory_percent: system.memory.and_then(|memory| percent(memory.host_percent)),
                load_1m: system.load.map(|load| load[0]),
                load_5m: system.load.map(|load| load[1]),
                load_15m: system.load.map(|load| load[2]),
            },
            pressure: system.pressure.map(|pressure| Pressure {
                cpu_some_percent: pressure.cpu_some,
                memory_some_percent: pressure.memory_some,
                memory_full_percent: pressure.memory_full,
                io_some_percent: pressure.io_some,
                io_full_percent: pressure.io_full,
            }),
            provenance: Provenance::Measured.as_str(),
        }
    }

    /// Returns the answer while nothing is known.
    pub(crate) fn unknown(at: Timestamp) -> Self {
        Self {
            timestamp: at.seconds(),
            cpu: Cpu::default(),
            memory: Memory::default(),
            disk: Disk::default(),
            network: Network::default(),
            host: Host::default(),
            pressure: None,
            provenance: Provenance::Unavailable.as_str(),
        }
    }
}

impl ProcessMetrics {
    pub(crate) fn of(at: Timestamp, process: &ProcessReading) -> Self {
        Self {
            timestamp: at.seconds(),
            pid: Some(process.pid),
            name: Some(process.name.clone()),
            status: Some(process.status.as_str()),
            cpu_percent: process.cpu_percent.and_then(percent),
            memory_percent: process.memory_percent.and_then(percent),
            memory_info: MemoryInfo {
                rss_mb: Some(process.rss.mebibytes()),
                vms_mb: Some(process.vms.mebibytes()),
            },
            num_threads: Some(process.threads),
            open_files: process.open_files,
            connections: process.connections,
            started_at: Some(process.started_at.seconds()),
            provenance: Provenance::Measured.as_str(),
        }
    }

    /// Returns the answer while nothing is known.
    pub(crate) fn unknown(at: Timestamp) -> Self {
        Self {
            timestamp: at.seconds(),
            pid: None,
            name: None,
            status: None,
            cpu_percent: None,
            memory_percent: None,
            memory_info: MemoryInfo::default(),
            num_threads: None,
            open_files: None,
            connections: None,
            started_at: None,
            provenance: Provenance::Unavailable.as_str(),
        }
    }
}

impl From<ActiveAlert> for AlertBody {
    fn from(alert: ActiveAlert) -> Self {
        Self {
            r#type: alert.rule.name.clone(),
            severity: alert.rule.severity.into(),
            message: alert.message,
            rule: alert.rule.name,
            series: alert.rule.series,
            since: alert.since.seconds(),
            fired_at: alert.fired_at.map(Timestamp::seconds),
            value: percent(alert.value),
            threshold: alert.rule.threshold,
            cause: alert.cause,
        }
    }
}
