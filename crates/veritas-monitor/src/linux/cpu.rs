//! Processors: use from two ticks, cores, clock frequency.

use std::time::Duration;

use veritas_model::{Clock, Monotonic};

use crate::{
    linux::{
        REFRESH,
        cgroup::Limits,
        source::{Buffer, Source},
        unreadable,
    },
    parse::{
        scan::unsigned,
        stat::{CpuUse, Stat, parse_cpuinfo_mhz, parse_stat},
    },
    reading::{CpuReading, series::count_to_f64},
    sampler::SamplerError,
};

/// `/proc/stat` with the tick before, and the clock frequency.
#[derive(Debug)]
pub(crate) struct Processors {
    source: Source,
    now: Stat,
    before: Stat,
    last: Option<Monotonic>,
    frequency: Frequency,
}

impl Processors {
    pub(crate) fn open() -> Result<Self, SamplerError> {
        let path = "/proc/stat";
        let source = Source::whole(path).map_err(|error| unreadable(path, error))?;
        Ok(Self {
            source,
            now: Stat::default(),
            before: Stat::default(),
            last: None,
            frequency: Frequency::open(),
        })
    }

    pub(crate) fn read(
        &mut self,
        buffer: &mut Buffer,
        limits: &mut Limits,
        clock: &dyn Clock,
        now: Monotonic,
    ) -> CpuReading {
        let elapsed = self.last.map(|last| now.since(last)).filter(|elapsed| !elapsed.is_zero());
        let is_read =
            buffer.read(&self.source).ok().and_then(|data| parse_stat(data, &mut self.now)).is_some();
        let host: Option<CpuUse> =
            elapsed.filter(|_| is_read).and_then(|_| self.now.total.since(&self.before.total));
        let cores = if is_read { self.cores(elapsed.is_some()) } else { Vec::new() };
        let count = u32::try_from(if is_read { self.now.cores.len() } else { self.before.cores.len() });
        let count = count.unwrap_or(u32::MAX).max(1);
        let limited = limits.cpu_use(buffer, now, count);
        // A tick in no time keeps the one before as its base.
        if is_read && (self.last.is_none() || elapsed.is_some()) {
            std::mem::swap(&mut self.now, &mut self.before);
            self.last = Some(now);
        }
        let host_percent = host.map(|host| host.busy);
        CpuReading {
            percent: if limited.is_some() {
                limited.and_then(|limited| limited.percent)
            } else {
                host_percent
            },
            host_percent,
            count,
            frequency_mhz: self.frequency.read(buffer, clock, now, count),
            limit_cores: limited.map(|limited| limited.cores),
            iowait_percent: host.map(|host| host.iowait),
            steal_percent: host.map(|host| host.steal),
            throttled_percent: limited.and_then(|limited| limited.throttled_percent),
            cores,
        }
    }

    fn cores(&self, has_elapsed: bool) -> Vec<Option<f64>> {
        let use_of = |(index, (number, times)): (usize, &(u32, _))| {
            let before = &self.before.cores;
            // Processors that come and go shift the others.
            let before = before
                .get(index)
                .filter(|(before, _)| before == number)
                .or_else(|| before.iter().find(|(before, _)| before == number))
                .filter(|_| has_elapsed)?;
            crate::parse::stat::CpuTimes::since(times, &before.1).map(|core| core.busy)
        };
        self.now.cores.iter().enumerate().map(use_of).collect()
    }
}

/// The clock frequency, asked for seldom: on large machines the kernel takes
/// milliseconds per processor to find out.
#[derive(Debug)]
struct Frequency {
    cpuinfo: Option<Source>,
    mhz: Option<f64>,
    next_at: Option<Monotonic>,
}

impl Frequency {
    /// Enough for the `cpu MHz` lines of some forty processors.
    const CPUINFO_LIMIT: usize = 64 << 10;
    /// At most this many processors are asked one by one.
    const MOST_ASKED: u32 = 16;
    /// An answer that took longer than this is asked for ten times less often.
    const BUDGET: Duration = Duration::from_millis(5);

    fn open() -> Self {
        Self { cpuinfo: Source::records("/proc/cpuinfo").ok(), mhz: None, next_at: None }
    }

    fn read(&mut self, buffer: &mut Buffer, clock: &dyn Clock, now: Monotonic, count: u32) -> Option<f64> {
        if self.next_at.is_none_or(|next_at| now >= next_at) {
            let before = clock.monotonic();
            let cpuinfo = self
                .cpuinfo
                .as_ref()
                .and_then(|cpuinfo| buffer.read_at_most(cpuinfo, Self::CPUINFO_LIMIT).ok())
                .and_then(parse_cpuinfo_mhz);
            self.mhz = cpuinfo.or_else(|| Self::ask_each(count.min(Self::MOST_ASKED)));
            let is_slow = clock.monotonic().since(before) > Self::BUDGET;
            self.next_at = Some(now.plus(if is_slow { REFRESH * 10 } else { REFRESH }));
        }
        self.mhz
    }

    fn ask_each(count: u32) -> Option<f64> {
        let (mut sum, mut answers) = (0.0, 0.0);
        for number in 0..count {
            let path = format!("/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq");
            let khz = std::fs::read(path).ok().and_then(|text| unsigned(text.trim_ascii()));
            if let Some(khz) = khz {
                sum += count_to_f64(khz) / 1000.0;
                answers += 1.0;
            }
        }
        (answers > 0.0).then(|| sum / answers)
    }
}
