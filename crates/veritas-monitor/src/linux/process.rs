//! One process: its files, and its use from two ticks.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use veritas_model::{Bytes, Clock, Monotonic, Timestamp};

use crate::{
    linux::{
        cgroup::Limits,
        memory::Memory,
        source::{Buffer, Source},
    },
    parse::{
        cgroup::parse_cpu_list,
        percent_of,
        process::{full_name, parse_process_stat, parse_statm},
        stat::parse_uptime,
    },
    process::ProcessError,
    reading::{ProcessReading, ProcessStatus, series::count_to_f64},
};

/// The kernel's ticks per second in `/proc`, 100 on nearly every machine.
pub(crate) fn ticks_per_second() -> f64 {
    count_to_f64(rustix::param::clock_ticks_per_second().max(1))
}

/// Returns the share that all online processors are, where 100 is one of them.
/// Not `available_parallelism`: that is what is left to this process.
pub(crate) fn most_percent(buffer: &mut Buffer) -> f64 {
    let online = Source::whole("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|source| buffer.read(&source).ok().and_then(parse_cpu_list));
    online.map_or(f64::INFINITY, |online| f64::from(online) * 100.0)
}

/// Returns the share of one processor that `ticks` in `elapsed` seconds are, in
/// percent; `None` when no time passed. Never more than `most`: over a short
/// span the grain of a tick would say so.
pub(crate) fn cpu_percent(ticks: u64, elapsed: f64, most: f64) -> Option<f64> {
    let percent = count_to_f64(ticks) / ticks_per_second() / elapsed * 100.0;
    (elapsed > 0.0 && percent.is_finite()).then(|| percent.clamp(0.0, most))
}

/// Returns the seconds since boot on the clock by which processes start.
pub(crate) fn uptime(buffer: &mut Buffer) -> Option<f64> {
    parse_uptime(buffer.read(&Source::whole("/proc/uptime").ok()?).ok()?)
}

/// The files of one process. They stay those of the process that they were
/// opened for: if its number is given to another one, they are dead.
#[derive(Debug)]
pub(crate) struct ProcessFiles {
    pid: u32,
    directory: PathBuf,
    fd_directory: PathBuf,
    stat: Source,
    statm: Source,
    name: String,
    /// Ticks since boot at which it started; together with `pid` its identity.
    started: u64,
    started_at: Option<Timestamp>,
    last: Option<(Monotonic, u64)>,
    most_percent: f64,
    /// Whether the kernel gives the number of descriptors as the size of their
    /// directory (since Linux 6.2).
    fd_directory_has_size: bool,
    connections: Option<u32>,
    connections_at: Option<Monotonic>,
}

impl ProcessFiles {
    /// How old the number of sockets may be: it costs a call per descriptor.
    const CONNECTIONS_AGE: Duration = Duration::from_secs(5);
    /// A process with more descriptors has its sockets not counted.
    const MOST_DESCRIPTORS: usize = 4096;

    /// Opens the files of a process; `None` is this one.
    pub(crate) fn open(pid: Option<u32>) -> Result<Self, ProcessError> {
        let number = pid.unwrap_or_else(std::process::id);
        let directory =
            PathBuf::from(pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}")));
        let failed = |source| Self::failure(number, source);
        let mut buffer = Buffer::new();
        let stat = Source::whole(directory.join("stat")).map_err(failed)?;
        let data = buffer.read(&stat).map_err(failed)?;
        let parsed = parse_process_stat(data).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let (pid, started, short_name) = (parsed.pid, parsed.started, parsed.name.to_vec());
        let command_line = Source::whole(directory.join("cmdline"))
            .and_then(|source| buffer.read_at_most(&source, 16 << 10))
            .unwrap_or_default();
        Ok(Self {
            pid,
            name: String::from_utf8_lossy(full_name(&short_name, command_line)).into_owned(),
            started,
            started_at: None,
            statm: Source::whole(directory.join("statm")).map_err(failed)?,
            stat,
            fd_directory: directory.join("fd"),
            directory,
            last: None,
            most_percent: most_percent(&mut buffer),
            fd_directory_has_size: fs::metadata("/proc/self/fd").is_ok_and(|metadata| metadata.len() > 0),
            connections: None,
            connections_at: None,
        })
    }

    /// Returns its directory in `/proc`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads the process; one that is gone is `Dead` and uses nothing.
    pub(crate) fn read(
        &mut self,
        buffer: &mut Buffer,
        now: Monotonic,
        at: Timestamp,
        total: Option<Bytes>,
    ) -> ProcessReading {
        self.try_read(buffer, now, at, total).unwrap_or_else(|_| ProcessReading {
            pid: self.pid,
            name: self.name.clone(),
            status: ProcessStatus::Dead,
            cpu_percent: None,
            memory_percent: None,
            rss: Bytes::default(),
            vms: Bytes::default(),
            threads: 0,
            open_files: None,
            connections: None,
            started_at: self.started_at.unwrap_or(at),
        })
    }

    fn try_read(
        &mut self,
        buffer: &mut Buffer,
        now: Monotonic,
        at: Timestamp,
        total: Option<Bytes>,
    ) -> Result<ProcessReading, ProcessError> {
        let failed = |source| Self::failure(self.pid, source);
        let broken = || Self::failure(self.pid, io::ErrorKind::InvalidData.into());
        let stat = parse_process_stat(buffer.read(&self.stat).map_err(failed)?).ok_or_else(broken)?;
        let (status, threads, ticks) = (stat.status, stat.threads, stat.ticks);
        // A program that the process became by exec may have another name, and
        // one that is complete was not cut off.
        if stat.name.len() < 15 && stat.name != self.name.as_bytes() {
            self.name = String::from_utf8_lossy(stat.name).into_owned();
        }
        // Not from `stat`: its resident pages lag by some per processor.
        let (virtual_pages, resident_pages) =
            parse_statm(buffer.read(&self.statm).map_err(failed)?).ok_or_else(broken)?;
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let rss = Bytes::new(resident_pages.saturating_mul(page));

        let cpu_percent = if let Some((last, before)) = self.last {
            cpu_percent(ticks.saturating_sub(before), now.since(last).as_secs_f64(), self.most_percent)
        } else {
            let age = uptime(buffer).map(|uptime| uptime - count_to_f64(self.started) / ticks_per_second());
            let age = age.filter(|age| *age >= 0.0);
            self.started_at = age.map(|age| at.minus(Duration::from_secs_f64(age)));
            age.and_then(|age| cpu_percent(ticks, age, self.most_percent))
        };
        if self.last.is_none_or(|(last, _)| now > last) {
            self.last = Some((now, ticks));
        }
        let open_files = self.count_open_files();
        Ok(ProcessReading {
            pid: self.pid,
            name: self.name.clone(),
            status,
            cpu_percent,
            memory_percent: total.and_then(|total| percent_of(rss.get(), total.get())),
            rss,
            vms: Bytes::new(virtual_pages.saturating_mul(page)),
            threads,
            open_files,
            connections: self.count_connections(now, open_files),
            started_at: self.started_at.unwrap_or(at),
        })
    }

    fn count_open_files(&self) -> Option<u32> {
        let count = if self.fd_directory_has_size {
            fs::metadata(&self.fd_directory).ok()?.len()
        } else {
            u64::try_from(fs::read_dir(&self.fd_directory).ok()?.take(Self::MOST_DESCRIPTORS * 16).count())
                .ok()?
        };
        u32::try_from(count).ok()
    }

    fn count_connections(&mut self, now: Monotonic, open_files: Option<u32>) -> Option<u32> {
        let is_fresh = self.connections_at.is_some_and(|at| now.since(at) < Self::CONNECTIONS_AGE);
        if !is_fresh {
            let is_bounded = open_files.is_none_or(|count| count as usize <= Self::MOST_DESCRIPTORS);
            self.connections = if is_bounded { self.count_sockets() } else { None };
            self.connections_at = Some(now);
        }
        self.connections
    }

    fn count_sockets(&self) -> Option<u32> {
        let mut sockets = 0_u32;
        for (index, entry) in fs::read_dir(&self.fd_directory).ok()?.enumerate() {
            if index >= Self::MOST_DESCRIPTORS {
                return None;
            }
            // The link is read, not followed: asking the thing behind it could
            // hang on a dead file system. One that was closed meanwhile is none.
            let target = entry.ok().and_then(|entry| fs::read_link(entry.path()).ok());
            if target.is_some_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:")) {
                sockets += 1;
            }
        }
        Some(sockets)
    }

    fn failure(pid: u32, source: io::Error) -> ProcessError {
        // ESRCH: the process ended while its file was open.
        if source.kind() == io::ErrorKind::NotFound
            || rustix::io::Errno::from_io_error(&source) == Some(rustix::io::Errno::SRCH)
        {
            ProcessError::NotFound { pid }
        } else {
            ProcessError::Read { pid, source }
        }
    }
}

/// Reads any process once.
pub(crate) fn read_process(pid: u32, clock: &dyn Clock) -> Result<ProcessReading, ProcessError> {
    let mut files = ProcessFiles::open(Some(pid))?;
    let mut buffer = Buffer::new();
    let now = clock.monotonic();
    let mut limits = Limits::of(files.directory());
    limits.refresh(&mut buffer, now);
    let memory = Memory::open().ok().and_then(|memory| memory.read(&mut buffer, &mut limits));
    files.try_read(&mut buffer, now, clock.now(), memory.map(|memory| memory.total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_in_no_time_is_not_known() {
        assert_eq!(cpu_percent(5, 0.0, 800.0), None);
        assert_eq!(cpu_percent(5, -1.0, 800.0), None);
    }

    #[test]
    fn use_is_a_share_of_one_processor() {
        let half_a_second = rustix::param::clock_ticks_per_second() / 2;
        assert_eq!(cpu_percent(half_a_second, 1.0, 800.0), Some(50.0));
        assert_eq!(cpu_percent(u64::MAX, 0.001, 800.0), Some(800.0));
    }
}
