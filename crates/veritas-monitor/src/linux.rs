//! Linux: the files behind a reading, and the tick that reads them.

pub(crate) mod cgroup;
pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod source;
pub(crate) mod table;

use std::{io, path::Path, time::Duration};

use veritas_model::{Clock, Monotonic, Timestamp};

use crate::{
    linux::{
        cgroup::Limits,
        cpu::Processors,
        disk::DiskProbe,
        memory::Memory,
        network::Network,
        process::ProcessFiles,
        source::{Buffer, Source},
    },
    parse::pressure::{Pressure, parse_pressure},
    parse::stat::parse_loadavg,
    reading::{PressureReading, Reading, SystemReading},
    sampler::{SamplerError, SamplerOptions},
};

/// How often that which seldom changes is looked up anew: limits, devices,
/// clock frequency.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);

/// How far wall time and monotonic time may move apart between two ticks
/// before it is a gap. Clocks that are slewed stay far below.
const GAP: Duration = Duration::from_secs(1);

/// The open files of the machine and of the watched process.
#[derive(Debug)]
pub(crate) struct Machine {
    processors: Processors,
    memory: Memory,
    limits: Limits,
    disk: DiskProbe,
    network: Option<Network>,
    pressure: [Option<Source>; 3],
    load: Option<Source>,
    process: ProcessFiles,
    buffer: Buffer,
    last: Option<(Monotonic, Timestamp)>,
}

impl Machine {
    pub(crate) fn open(options: SamplerOptions) -> Result<Self, SamplerError> {
        let process = ProcessFiles::open(options.pid)?;
        Ok(Self {
            processors: Processors::open()?,
            memory: Memory::open()?,
            limits: Limits::of(process.directory()),
            disk: DiskProbe::open(options.disk_path)?,
            network: Network::open(),
            pressure: ["cpu", "memory", "io"]
                .map(|resource| Source::whole(format!("/proc/pressure/{resource}")).ok()),
            load: Source::whole("/proc/loadavg").ok(),
            process,
            buffer: Buffer::new(),
            last: None,
        })
    }

    pub(crate) fn tick(&mut self, clock: &dyn Clock) -> Reading {
        let (now, at) = (clock.monotonic(), clock.now());
        let interval = self.last.map(|(last, _)| now.since(last));
        let gap = self.last.is_some_and(|(last, last_at)| {
            let monotonic = i64::try_from(now.since(last).as_nanos()).unwrap_or(i64::MAX);
            let wall = at.nanos().saturating_sub(last_at.nanos());
            Duration::from_nanos(wall.saturating_sub(monotonic).unsigned_abs()) > GAP
        });
        self.last = Some((now, at));

        // Limits first: everything else is judged by them.
        self.limits.refresh(&mut self.buffer, now);
        let cpu = self.processors.read(&mut self.buffer, &mut self.limits, clock, now);
        let memory = self.memory.read(&mut self.buffer, &mut self.limits);
        let total = memory.map(|memory| memory.total);
        let network = self.network.as_mut().and_then(|network| network.read(&mut self.buffer, now));
        let system = SystemReading {
            cpu,
            memory,
            disk: self.disk.read(),
            network,
            pressure: self.read_pressure(),
            load: self.load.as_ref().and_then(|load| self.buffer.read(load).ok()).and_then(parse_loadavg),
        };
        let process = self.process.read(&mut self.buffer, now, at, total);
        Reading { at, interval, gap, system, process }
    }

    fn read_pressure(&mut self) -> Option<PressureReading> {
        let [cpu, memory, io] = &self.pressure;
        // A kernel booted with psi=0 has the files and refuses to read them.
        let mut read = |source: &Option<Source>| -> Option<Pressure> {
            self.buffer.read(source.as_ref()?).ok().and_then(parse_pressure)
        };
        let cpu = read(cpu)?;
        let (memory, io) = (read(memory), read(io));
        Some(PressureReading {
            cpu_some: cpu.some,
            memory_some: memory.map(|memory| memory.some),
            memory_full: memory.and_then(|memory| memory.full),
            io_some: io.map(|io| io.some),
            io_full: io.and_then(|io| io.full),
        })
    }
}

/// Names the file that could not be opened or understood.
pub(crate) fn unreadable(path: impl AsRef<Path>, source: io::Error) -> SamplerError {
    SamplerError::Source { path: path.as_ref().to_path_buf(), source }
}
