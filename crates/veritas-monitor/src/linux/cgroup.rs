//! Control groups: the least limits over all ancestors, and what is used of them.
//!
//! Version 1, version 2 and both at once (hybrid) are looked at in the same
//! way: every quota and every memory limit on the way up is a candidate, and
//! the least one wins. Use is read in the group that has the limit, since all
//! of its members share it.

use std::path::{Path, PathBuf};

use veritas_model::Monotonic;

use crate::{
    linux::{
        REFRESH,
        source::{Buffer, Source},
    },
    parse::{
        cgroup::{
            Controller, ancestors, parse_cfs, parse_cpu_list, parse_cpu_max, parse_cpu_stat,
            parse_memory_limit, parse_memory_stat, parse_number,
        },
        percent_of,
    },
    reading::series::count_to_f64,
};

/// Use of the processors that the limit leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LimitedCpu {
    pub(crate) cores: f64,
    pub(crate) percent: Option<f64>,
    pub(crate) throttled_percent: Option<f64>,
}

/// Use of the memory that the limit leaves, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitedMemory {
    pub(crate) limit: u64,
    pub(crate) unreclaimable: u64,
    pub(crate) working_set: u64,
}

/// The limits of one process, looked up anew every [`REFRESH`]: they can be
/// changed, and the process moved, while it runs.
#[derive(Debug)]
pub(crate) struct Limits {
    process: PathBuf,
    mounts: PathBuf,
    refreshed_at: Option<Monotonic>,
    cpu: Option<CpuLimit>,
    memory: Option<MemoryLimit>,
}

#[derive(Debug)]
struct CpuLimit {
    cores: f64,
    place: PathBuf,
    is_quota: bool,
    usage: Option<Usage>,
    stat: Option<Source>,
    last: Option<(Monotonic, u64)>,
    last_periods: Option<(u64, u64)>,
}

/// Where the processor time of a group is.
#[derive(Debug)]
enum Usage {
    /// `cpu.stat` of version 2, in microseconds.
    Unified,
    /// `cpuacct.usage` of version 1, in nanoseconds.
    Accounting(Source),
}

#[derive(Debug)]
struct MemoryLimit {
    bytes: u64,
    usage: Source,
    stat: Source,
}

impl Limits {
    /// Takes the directory of a process in `/proc`.
    pub(crate) fn of(process: &Path) -> Self {
        Self::with_mounts(process, Path::new("/proc/self/mountinfo"))
    }

    fn with_mounts(process: &Path, mounts: &Path) -> Self {
        Self {
            process: process.to_path_buf(),
            mounts: mounts.to_path_buf(),
            refreshed_at: None,
            cpu: None,
            memory: None,
        }
    }

    pub(crate) fn refresh(&mut self, buffer: &mut Buffer, now: Monotonic) {
        if self.refreshed_at.is_some_and(|refreshed_at| now.since(refreshed_at) < REFRESH) {
            return;
        }
        self.refreshed_at = Some(now);
        let membership = Source::records(self.process.join("cgroup"))
            .and_then(|source| buffer.read(&source).map(<[u8]>::to_vec))
            .unwrap_or_default();
        let mounts = Source::records(&self.mounts)
            .and_then(|source| buffer.read(&source).map(<[u8]>::to_vec))
            .unwrap_or_default();
        let directories = |controller| ancestors(&membership, &mounts, controller);
        let unified = directories(None);

        let cpu = cpu_limit(buffer, &unified, &directories);
        // The same limit keeps its last reading, so that no tick is lost.
        let is_same = match (&self.cpu, &cpu) {
            (Some(old), Some(new)) => old.place == new.place && old.is_quota == new.is_quota,
            _ => false,
        };
        match (&mut self.cpu, cpu) {
            (Some(old), Some(new)) if is_same => old.cores = new.cores,
            (old, new) => *old = new,
        }
        self.memory = memory_limit(buffer, &unified, &directories(Some(Controller::Memory)));
    }

    /// Returns the use of the processors that we may use; `None` when nothing
    /// limits us below the `online` ones.
    pub(crate) fn cpu_use(&mut self, buffer: &mut Buffer, now: Monotonic, online: u32) -> Option<LimitedCpu> {
        let limit = self.cpu.as_mut().filter(|limit| limit.cores < f64::from(online))?;
        let stat = limit
            .stat
            .as_ref()
            .and_then(|stat| buffer.read(stat).ok())
            .map(parse_cpu_stat)
            .unwrap_or_default();
        let nanos = match &limit.usage {
            Some(Usage::Unified) => stat.usage_micros.map(|micros| micros.saturating_mul(1000)),
            Some(Usage::Accounting(source)) => buffer.read(source).ok().and_then(parse_number),
            None => None,
        };
        let percent = nanos.zip(limit.last).and_then(|(nanos, (last, before))| {
            let elapsed = now.since(last).as_secs_f64();
            let used = count_to_f64(nanos.checked_sub(before)?) / 1e9;
            (elapsed > 0.0).then(|| (used / elapsed / limit.cores * 100.0).clamp(0.0, 100.0))
        });
        let throttled_percent = stat.periods.filter(|_| limit.is_quota).zip(limit.last_periods).map(
            |((periods, throttled), (periods_before, throttled_before))| {
                let share = percent_of(
                    throttled.saturating_sub(throttled_before),
                    periods.saturating_sub(periods_before),
                );
                share.unwrap_or(0.0)
            },
        );
        if limit.last.is_none_or(|(last, _)| now > last) {
            limit.last = nanos.map(|nanos| (now, nanos));
            limit.last_periods = stat.periods;
        }
        Some(LimitedCpu { cores: limit.cores, percent, throttled_percent })
    }

    /// Returns the use of the memory that we may use; `None` when nothing
    /// limits us below the host's `total`.
    pub(crate) fn memory_use(&mut self, buffer: &mut Buffer, total: u64) -> Option<LimitedMemory> {
        let limit = self.memory.as_ref().filter(|limit| limit.bytes < total)?;
        let usage = buffer.read(&limit.usage).ok().and_then(parse_number)?;
        let stat = parse_memory_stat(buffer.read(&limit.stat).ok()?);
        Some(LimitedMemory {
            limit: limit.bytes,
            unreclaimable: usage.saturating_sub(stat.reclaimable()),
            working_set: usage.saturating_sub(stat.inactive_file),
        })
    }
}

/// Reads a file once and lets `parse` look at it.
fn once<T>(buffer: &mut Buffer, path: &Path, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    parse(buffer.read(&Source::whole(path).ok()?).ok()?)
}

fn cpu_limit(
    buffer: &mut Buffer,
    unified: &[PathBuf],
    directories: &dyn Fn(Option<Controller>) -> Vec<PathBuf>,
) -> Option<CpuLimit> {
    let (quotas, sets) = (directories(Some(Controller::Cpu)), directories(Some(Controller::Cpuset)));
    let accounting = directories(Some(Controller::CpuAccounting));
    // The group at the same depth: a container has the same path in each hierarchy.
    let accounted = |group: &Path, hierarchy: &[PathBuf]| -> Option<PathBuf> {
        let own = group.join("cpuacct.usage");
        let index = hierarchy.iter().position(|other| other == group)?;
        let twin = accounting.get(index).or(accounting.last()).map(|twin| twin.join("cpuacct.usage"));
        if own.exists() { Some(own) } else { twin }
    };

    let mut least: Option<(f64, &Path, bool, Option<PathBuf>)> = None;
    let mut offer = |cores: f64, place, is_quota, usage: Option<PathBuf>| {
        if least.as_ref().is_none_or(|(least, ..)| cores < *least) {
            least = Some((cores, place, is_quota, usage));
        }
    };
    for group in unified {
        if let Some(cores) = once(buffer, &group.join("cpu.max"), parse_cpu_max) {
            offer(cores, group, true, None);
        }
    }
    for group in &quotas {
        let period = once(buffer, &group.join("cpu.cfs_period_us"), |data| Some(data.to_vec()));
        let cores = period.and_then(|period| {
            once(buffer, &group.join("cpu.cfs_quota_us"), |quota| parse_cfs(quota, &period))
        });
        if let Some(cores) = cores {
            offer(cores, group, true, accounted(group, &quotas));
        }
    }
    // After the quotas: of two equal limits the quota is the one that throttles.
    if let Some((count, group)) = cpuset(buffer, unified, "cpuset.cpus.effective") {
        offer(f64::from(count), group, false, None);
    }
    if let Some((count, group)) = cpuset(buffer, &sets, "cpuset.effective_cpus") {
        offer(f64::from(count), group, false, accounted(group, &sets));
    }

    let (cores, place, is_quota, accounting) = least?;
    let usage = match accounting {
        Some(path) => Source::whole(path).ok().map(Usage::Accounting),
        None if unified.iter().any(|group| group == place) => Some(Usage::Unified),
        None => None,
    };
    let stat = Source::whole(place.join("cpu.stat")).ok();
    Some(CpuLimit {
        cores,
        place: place.to_path_buf(),
        is_quota,
        usage,
        stat,
        last: None,
        last_periods: None,
    })
}

/// Returns how many processors the set of the lowest group leaves, and the
/// highest group that has the same number: the one that all its members share.
fn cpuset<'a>(buffer: &mut Buffer, groups: &'a [PathBuf], file: &str) -> Option<(u32, &'a Path)> {
    let mut least: Option<(u32, &Path)> = None;
    for group in groups {
        let Some(count) = once(buffer, &group.join(file), parse_cpu_list) else { continue };
        if least.is_some_and(|(least, _)| count > least) {
            break;
        }
        least = Some((count, group));
    }
    least
}

fn memory_limit(buffer: &mut Buffer, unified: &[PathBuf], legacy: &[PathBuf]) -> Option<MemoryLimit> {
    let mut least: Option<(u64, &Path, &str)> = None;
    let candidates = unified.iter().map(|group| (group, "memory.max", "memory.current"));
    let legacy = legacy.iter().map(|group| (group, "memory.limit_in_bytes", "memory.usage_in_bytes"));
    for (group, limit, usage) in candidates.chain(legacy) {
        if let Some(bytes) = once(buffer, &group.join(limit), parse_memory_limit)
            && least.is_none_or(|(least, ..)| bytes < least)
        {
            least = Some((bytes, group, usage));
        }
    }
    let (bytes, group, usage) = least?;
    Some(MemoryLimit {
        bytes,
        usage: Source::whole(group.join(usage)).ok()?,
        stat: Source::whole(group.join("memory.stat")).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tempfile::TempDir;

    use super::*;

    /// A tree of files that looks like a process and its cgroups.
    struct Tree(TempDir);

    impl Tree {
        fn new(membership: &str, mounts: &[(&str, &str, &str)]) -> Self {
            let tree = Self(TempDir::new().expect("a directory"));
            tree.write("cgroup", membership);
            let root = tree.0.path().display();
            let lines: Vec<_> = mounts
                .iter()
                .map(|(folder, kind, options)| {
                    format!("1 2 0:1 / {root}/{folder} rw - {kind} {kind} rw{options}\n")
                })
                .collect();
            tree.write("mountinfo", &lines.concat());
            tree
        }

        fn write(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("inside the tree")).expect("created");
            fs::write(path, content).expect("written");
        }

        fn limits(&self) -> Limits {
            Limits::with_mounts(self.0.path(), &self.0.path().join("mountinfo"))
        }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_least_quota_of_all_ancestors_limits() {
        let tree = Tree::new("0::/a/b\n", &[("v2", "cgroup2", "")]);
        tree.write("v2/a/b/cpu.max", "max 100000\n");
        tree.write("v2/a/cpu.max", "150000 100000\n");
        tree.write("v2/a/cpu.stat", "usage_usec 1000000\nnr_periods 10\nnr_throttled 0\n");
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        let first = limits.cpu_use(&mut buffer, at(100), 8).expect("a quota");
        assert_eq!((first.cores, first.percent), (1.5, None));
        // 3 s of processor time in 4 s on 1.5 processors: half of it.
        tree.write("v2/a/cpu.stat", "usage_usec 4000000\nnr_periods 50\nnr_throttled 10\n");
        let second = limits.cpu_use(&mut buffer, at(104), 8).expect("a quota");
        assert_eq!((second.percent, second.throttled_percent), (Some(50.0), Some(25.0)));
        assert_eq!(limits.cpu_use(&mut buffer, at(104), 8).expect("a quota").percent, None);
    }

    #[test]
    fn a_quota_above_the_online_processors_does_not_limit() {
        let tree = Tree::new("0::/\n", &[("v2", "cgroup2", "")]);
        tree.write("v2/cpu.max", "800000 100000\n");
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(limits.cpu_use(&mut buffer, at(100), 8), None);
        assert!(limits.cpu_use(&mut buffer, at(100), 16).is_some());
    }

    #[test]
    fn version_one_has_its_use_in_another_hierarchy() {
        let tree = Tree::new(
            "3:cpuacct:/c\n2:cpu:/c\n",
            &[("cpu", "cgroup", ",cpu"), ("acct", "cgroup", ",cpuacct")],
        );
        tree.write("cpu/c/cpu.cfs_quota_us", "50000\n");
        tree.write("cpu/c/cpu.cfs_period_us", "100000\n");
        tree.write("cpu/cpu.cfs_quota_us", "-1\n");
        tree.write("cpu/cpu.cfs_period_us", "100000\n");
        tree.write("acct/c/cpuacct.usage", "1000000000\n");
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(limits.cpu_use(&mut buffer, at(100), 2).map(|cpu| cpu.cores), Some(0.5));
        tree.write("acct/c/cpuacct.usage", "1250000000\n");
        assert_eq!(limits.cpu_use(&mut buffer, at(101), 2).and_then(|cpu| cpu.percent), Some(50.0));
    }

    #[test]
    fn a_cpuset_limits_like_a_quota() {
        let tree = Tree::new("0::/a\n", &[("v2", "cgroup2", "")]);
        tree.write("v2/a/cpuset.cpus.effective", "0-1\n");
        tree.write("v2/cpuset.cpus.effective", "0-7\n");
        tree.write("v2/a/cpu.max", "300000 100000\n");
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(limits.cpu_use(&mut buffer, at(100), 8).map(|cpu| cpu.cores), Some(2.0));
    }

    #[test]
    fn page_cache_is_not_used_memory_and_the_least_limit_counts() {
        let tree = Tree::new("0::/a/b\n", &[("v2", "cgroup2", "")]);
        tree.write("v2/a/b/memory.max", "max\n");
        tree.write("v2/a/memory.max", "1000\n");
        tree.write("v2/a/memory.current", "900\n");
        tree.write("v2/a/memory.stat", "anon 300\ninactive_file 400\nactive_file 100\nslab_reclaimable 50\n");
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(
            limits.memory_use(&mut buffer, 5000),
            Some(LimitedMemory { limit: 1000, unreclaimable: 350, working_set: 500 })
        );
        assert_eq!(limits.memory_use(&mut buffer, 500), None);
    }

    #[test]
    fn the_sentinel_of_version_one_is_no_limit() {
        let tree =
            Tree::new("4:memory:/x\n0::/\n", &[("memory", "cgroup", ",memory"), ("v2", "cgroup2", "")]);
        for folder in ["memory", "memory/x"] {
            tree.write(&format!("{folder}/memory.limit_in_bytes"), "9223372036854771712\n");
            tree.write(&format!("{folder}/memory.usage_in_bytes"), "5\n");
            tree.write(&format!("{folder}/memory.stat"), "cache 1\n");
        }
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(limits.memory_use(&mut buffer, 5000), None);
        // In force within ten seconds, without a restart.
        tree.write("memory/x/memory.limit_in_bytes", "1000\n");
        limits.refresh(&mut buffer, at(109));
        assert_eq!(limits.memory_use(&mut buffer, 5000), None);
        limits.refresh(&mut buffer, at(110));
        assert_eq!(limits.memory_use(&mut buffer, 5000).map(|memory| memory.limit), Some(1000));
    }

    #[test]
    fn without_cgroups_nothing_limits() {
        let tree = Tree::new("", &[]);
        let (mut limits, mut buffer) = (tree.limits(), Buffer::new());
        limits.refresh(&mut buffer, at(100));
        assert_eq!(limits.cpu_use(&mut buffer, at(100), 2), None);
        assert_eq!(limits.memory_use(&mut buffer, 5000), None);
    }
}
