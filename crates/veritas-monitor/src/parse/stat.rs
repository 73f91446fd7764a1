//! `/proc/stat`: processor times, and what they say of two ticks.

use crate::parse::scan::{decimal, fields, lines, unsigned};

/// Processor times since boot, in the kernel's ticks. Guest time is inside
/// `user` and `nice` already (the kernel adds it to both), so it is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// In user mode, guests included.
    pub user: u64,
    /// In user mode at low priority, guests included.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Idle.
    pub idle: u64,
    /// Idle with I/O pending. May go back (proc(5)).
    pub iowait: u64,
    /// In interrupts.
    pub irq: u64,
    /// In soft interrupts.
    pub softirq: u64,
    /// Given to others by the hypervisor.
    pub steal: u64,
}

/// What processors did between two readings, in percent of the time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CpuUse {
    /// Everything but idle, iowait and steal.
    pub busy: f64,
    /// Idle with I/O pending.
    pub iowait: f64,
    /// Given to others.
    pub steal: f64,
}

impl CpuTimes {
    /// Reads the fields after the name. Kernels before 2.6.11 have fewer: those
    /// that are missing are 0.
    fn parse<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut next = || fields.next().map_or(Some(0), unsigned);
        Some(Self {
            user: next()?,
            nice: next()?,
            system: next()?,
            idle: next()?,
            iowait: next()?,
            irq: next()?,
            softirq: next()?,
            steal: next()?,
        })
    }

    /// Returns what happened since `earlier`. A field that went back counts as
    /// no time. `None` when no time passed.
    pub fn since(&self, earlier: &Self) -> Option<CpuUse> {
        let busy = [
            self.user.saturating_sub(earlier.user),
            self.nice.saturating_sub(earlier.nice),
            self.system.saturating_sub(earlier.system),
            self.irq.saturating_sub(earlier.irq),
            self.softirq.saturating_sub(earlier.softirq),
        ]
        .into_iter()
        .fold(0_u64, u64::saturating_add);
        let idle = self.idle.saturating_sub(earlier.idle);
        let iowait = self.iowait.saturating_sub(earlier.iowait);
        let steal = self.steal.saturating_sub(earlier.steal);
        let total = busy.saturating_add(idle).saturating_add(iowait).saturating_add(steal);
        let percent = |part| super::percent_of(part, total);
        Some(CpuUse { busy: percent(busy)?, iowait: percent(iowait)?, steal: percent(steal)? })
    }
}

/// The processor lines of `/proc/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stat {
    /// All processors together.
    pub total: CpuTimes,
    /// Each online processor: its number and times.
    pub cores: Vec<(u32, CpuTimes)>,
}

/// Reads the processor lines of `/proc/stat` into `stat`, whose vector is
/// reused. Returns `None`, and leaves `stat` half filled, when the first line
/// is not the sum.
pub fn parse_stat(data: &[u8], stat: &mut Stat) -> Option<()> {
    let mut lines = lines(data);
    let mut first = fields(lines.next()?);
    (first.next()? == b"cpu").then_some(())?;
    stat.total = CpuTimes::parse(first)?;
    stat.cores.clear();
    for line in lines {
        let mut fields = fields(line);
        let Some(number) = fields.next().and_then(|name| name.strip_prefix(b"cpu")) else { break };
        let number = unsigned(number).and_then(|number| u32::try_from(number).ok());
        if let (Some(number), Some(times)) = (number, CpuTimes::parse(fields)) {
            stat.cores.push((number, times));
        }
    }
    Some(())
}

/// Reads the three averages of `/proc/loadavg`.
pub fn parse_loadavg(data: &[u8]) -> Option<[f64; 3]> {
    let mut fields = fields(data).map(decimal);
    Some([fields.next()??, fields.next()??, fields.next()??])
}

/// Reads the first number of `/proc/uptime`: seconds since boot.
pub fn parse_uptime(data: &[u8]) -> Option<f64> {
    fields(data).next().and_then(decimal).filter(|seconds| *seconds >= 0.0)
}

/// Returns the mean of the `cpu MHz` lines of `/proc/cpuinfo`; `None` when
/// there are none (most machines that are not x86).
pub fn parse_cpuinfo_mhz(data: &[u8]) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for line in lines(data).filter_map(|line| line.strip_prefix(b"cpu MHz")) {
        let value = line.iter().position(|byte| *byte == b':').map(|colon| &line[colon + 1..]);
        if let Some(mhz) = value.and_then(|value| fields(value).next()).and_then(decimal) {
            sum += mhz;
            count += 1.0;
        }
    }
    (count > 0.0).then(|| sum / count).filter(|mhz| mhz.is_finite() && *mhz > 0.0)
}

#[doc(hidden)]
pub fn fuzz_stat(data: &[u8]) {
    let mut stat = Stat::default();
    if parse_stat(data, &mut stat).is_some()
        && let Some(cpu_use) = stat.total.since(&CpuTimes::default())
    {
        assert!((0.0..=100.0).contains(&cpu_use.busy));
    }
    assert!(parse_loadavg(data).is_none_or(|load| load.iter().all(|value| value.is_finite())));
    assert!(parse_uptime(data).is_none_or(f64::is_finite));
    assert!(parse_cpuinfo_mhz(data).is_none_or(f64::is_finite));
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"cpu  1604 10 1692 185969 259 3 21 27 100 5\n\
        cpu0 629 5 738 93354 26 1 6 11 50 0\ncpu3 975 5 954 92615 233 2 15 16 50 5\n\
        intr 100639 0 0 1\nctxt 1\nbtime 1\n";

    #[test]
    fn the_sum_and_each_core_are_read() {
        let mut stat = Stat::default();
        parse_stat(STAT, &mut stat).expect("it is a stat file");
        assert_eq!(
            stat.total,
            CpuTimes {
                user: 1604,
                nice: 10,
                system: 1692,
                idle: 185_969,
                iowait: 259,
                irq: 3,
                softirq: 21,
                steal: 27
            }
        );
        assert_eq!(stat.cores.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn guest_time_is_counted_once() {
        // 100 ticks of user time, all of them in a guest; 100 idle.
        let mut stat = Stat::default();
        parse_stat(b"cpu 100 0 0 100 0 0 0 0 100 0\n", &mut stat).expect("it is a stat file");
        assert_eq!(stat.total.since(&CpuTimes::default()).map(|cpu_use| cpu_use.busy), Some(50.0));
    }

    #[test]
    fn steal_and_iowait_are_not_our_use() {
        let now = CpuTimes { user: 25, idle: 25, iowait: 25, steal: 25, ..CpuTimes::default() };
        let cpu_use = now.since(&CpuTimes::default()).expect("time passed");
        assert_eq!(cpu_use, CpuUse { busy: 25.0, iowait: 25.0, steal: 25.0 });
    }

    #[test]
    fn iowait_that_goes_back_is_no_time_and_no_panic() {
        let earlier = CpuTimes { iowait: 500, idle: 1000, ..CpuTimes::default() };
        let now = CpuTimes { iowait: 400, idle: 1050, user: 50, ..CpuTimes::default() };
        let cpu_use = now.since(&earlier).expect("time passed");
        assert_eq!((cpu_use.busy, cpu_use.iowait), (50.0, 0.0));
        assert_eq!(earlier.since(&now), Some(CpuUse { busy: 0.0, iowait: 100.0, steal: 0.0 }));
    }

    #[test]
    fn no_time_gives_no_answer() {
        let times = CpuTimes { user: 5, ..CpuTimes::default() };
        assert_eq!(times.since(&times), None);
    }

    #[test]
    fn an_old_kernel_has_fewer_fields() {
        let mut stat = Stat::default();
        parse_stat(b"cpu 1 2 3 4\n", &mut stat).expect("it is a stat file");
        assert_eq!(stat.total.idle, 4);
        assert_eq!(stat.total.steal, 0);
    }

    #[test]
    fn the_frequency_is_the_mean_of_all_processors() {
        assert_eq!(
            parse_cpuinfo_mhz(b"processor : 0\ncpu MHz\t\t: 2000.000\n\ncpu MHz\t\t: 3000.5\n"),
            Some(2500.25)
        );
        assert_eq!(parse_cpuinfo_mhz(b"processor : 0\nBogoMIPS : 50.0\n"), None);
    }

    #[test]
    fn averages_and_uptime_are_read() {
        assert_eq!(parse_loadavg(b"0.50 0.25 1.00 1/100 4242\n"), Some([0.5, 0.25, 1.0]));
        assert_eq!(parse_loadavg(b"0.50 0.25\n"), None);
        assert_eq!(parse_uptime(b"949.88 1800.00\n"), Some(949.88));
    }
}
