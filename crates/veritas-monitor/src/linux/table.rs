//! The scan of all processes in `/proc`.

use std::collections::HashMap;

use veritas_model::{Bytes, Clock, Monotonic};

use crate::{
    linux::{
        process::{cpu_percent, most_percent, ticks_per_second, uptime},
        source::{Buffer, Source},
    },
    parse::process::parse_process_stat,
    process::ProcessError,
    reading::series::count_to_f64,
    table::ProcessUse,
};

/// What is remembered of a process from scan to scan.
#[derive(Debug)]
struct Seen {
    started: u64,
    ticks: u64,
    scan: u64,
    now: ProcessUse,
}

/// All processes of the last scan, by number.
#[derive(Debug)]
pub(crate) struct Scan {
    seen: HashMap<u32, Seen>,
    buffer: Buffer,
    number: u64,
    last: Option<Monotonic>,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self { seen: HashMap::new(), buffer: Buffer::new(), number: 0, last: None }
    }

    pub(crate) fn scan(&mut self, clock: &dyn Clock) -> Result<(), ProcessError> {
        let now = clock.monotonic();
        let elapsed = self.last.map(|last| now.since(last).as_secs_f64());
        if elapsed == Some(0.0) {
            return Ok(());
        }
        let uptime = uptime(&mut self.buffer);
        let most = most_percent(&mut self.buffer);
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        self.number += 1;
        let entries = std::fs::read_dir("/proc").map_err(|source| ProcessError::List { source })?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Those that end during the scan are not in it.
            let Ok(source) = Source::whole(entry.path().join("stat")) else { continue };
            let Some(stat) = self.buffer.read(&source).ok().and_then(parse_process_stat) else { continue };
            let before = self.seen.get_mut(&pid).filter(|seen| seen.started == stat.started);
            let since_start = || {
                let age = uptime? - count_to_f64(stat.started) / ticks_per_second();
                cpu_percent(stat.ticks, age, most)
            };
            let cpu = match (&before, elapsed) {
                (Some(before), Some(elapsed)) => {
                    cpu_percent(stat.ticks.saturating_sub(before.ticks), elapsed, most)
                }
                _ => since_start(),
            };
            let rss = Bytes::new(stat.resident_pages.saturating_mul(page));
            if let Some(seen) = before {
                seen.ticks = stat.ticks;
                seen.scan = self.number;
                seen.now.cpu_percent = cpu;
                seen.now.rss = rss;
                if seen.now.name.as_bytes() != stat.name {
                    seen.now.name = String::from_utf8_lossy(stat.name).into_owned();
                }
            } else {
                let name = String::from_utf8_lossy(stat.name).into_owned();
                let now = ProcessUse { pid, name, cpu_percent: cpu, rss };
                self.seen
                    .insert(pid, Seen { started: stat.started, ticks: stat.ticks, scan: self.number, now });
            }
        }
        self.seen.retain(|_, seen| seen.scan == self.number);
        self.last = Some(now);
        Ok(())
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &ProcessUse> {
        self.seen.values().map(|seen| &seen.now)
    }
}
