//! Control groups: where a process is, and what the files there say.

use std::path::{Path, PathBuf};

use crate::parse::scan::{fields, keyed, lines, unsigned};

/// The v1 controllers that limit us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Controller {
    /// `cpu`: quotas.
    Cpu,
    /// `cpuacct`: use.
    CpuAccounting,
    /// `cpuset`: which processors.
    Cpuset,
    /// `memory`.
    Memory,
}

impl Controller {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Cpu => b"cpu",
            Self::CpuAccounting => b"cpuacct",
            Self::Cpuset => b"cpuset",
            Self::Memory => b"memory",
        }
    }
}

/// Returns the directories of the control group that a process is in, from its
/// own up to the highest that is mounted. `controller` is `None` for version 2.
///
/// `membership` is `/proc/PID/cgroup`, `mounts` is `/proc/self/mountinfo`. A
/// mount may show only a part of the hierarchy (a container without a cgroup
/// namespace); a group outside of what is mounted is taken as the mounted root.
/// Empty when the hierarchy is not mounted.
pub fn ancestors(membership: &[u8], mounts: &[u8], controller: Option<Controller>) -> Vec<PathBuf> {
    let Some(path) = lines(membership).find_map(|line| membership_path(line, controller)) else {
        return Vec::new();
    };
    let Some((root, mount_point)) = lines(mounts).find_map(|line| mount_of(line, controller)) else {
        return Vec::new();
    };
    let inside = path
        .strip_prefix(root.as_slice())
        .filter(|rest| root.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"));
    let inside = inside.unwrap_or_default();
    let parts: Vec<_> = inside.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    // The kernel prints `/..` for a group above the namespace's root.
    let parts = if parts.contains(&b"..".as_slice()) { &[][..] } else { &parts[..] };
    let mut directory = as_path(&mount_point);
    let mut directories = vec![directory.clone()];
    for part in parts {
        directory.push(as_path(part));
        directories.push(directory.clone());
    }
    directories.reverse();
    directories
}

/// Reads a line of `/proc/PID/cgroup`: `hierarchy:controllers:path`.
fn membership_path(line: &[u8], controller: Option<Controller>) -> Option<&[u8]> {
    let mut parts = line.splitn(3, |byte| *byte == b':');
    let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_ours = match controller {
        None => hierarchy == b"0" && controllers.is_empty(),
        Some(controller) => controllers.split(|byte| *byte == b',').any(|name| name == controller.name()),
    };
    is_ours.then_some(path)
}

/// Reads a line of `/proc/self/mountinfo` and returns the root within the
/// hierarchy and the mount point.
fn mount_of(line: &[u8], controller: Option<Controller>) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = fields(line);
    let (root, mount_point) = (parts.nth(3)?, parts.next()?);
    let kind = parts.find(|field| *field == b"-").and_then(|_| parts.next())?;
    let options = parts.nth(1);
    let is_ours = match controller {
        None => kind == b"cgroup2",
        Some(controller) => {
            kind == b"cgroup" && options?.split(|byte| *byte == b',').any(|name| name == controller.name())
        }
    };
    is_ours.then(|| (unescaped(root), unescaped(mount_point)))
}

/// Undoes the kernel's octal escapes (`\040` is a blank).
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0_u32, |code, digit| Some(code * 8 + char::from(*digit).to_digit(8)?))
        });
        if let Some(byte) = code.and_then(|code| u8::try_from(code).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

#[cfg(unix)]
fn as_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_path_buf()
}

#[cfg(not(unix))]
fn as_path(bytes: &[u8]) -> PathBuf {
    Path::new(String::from_utf8_lossy(bytes).as_ref()).to_path_buf()
}

/// Reads `cpu.max` (v2): quota over period, in processors; `None` for `max`.
pub fn parse_cpu_max(data: &[u8]) -> Option<f64> {
    let mut fields = fields(data);
    let quota = unsigned(fields.next()?)?;
    let period = fields.next().map_or(Some(100_000), unsigned)?;
    cores(quota, period)
}

/// Computes processors from `cpu.cfs_quota_us` and `cpu.cfs_period_us` (v1);
/// `None` for the quota −1.
pub fn parse_cfs(quota: &[u8], period: &[u8]) -> Option<f64> {
    cores(unsigned(quota.trim_ascii())?, unsigned(period.trim_ascii())?)
}

fn cores(quota: u64, period: u64) -> Option<f64> {
    let (quota, period) =
        (crate::reading::series::count_to_f64(quota), crate::reading::series::count_to_f64(period));
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Counts the processors of a list (`0-3,8`); `None` when it is empty or not a list.
pub fn parse_cpu_list(data: &[u8]) -> Option<u32> {
    let total = data.trim_ascii().split(|byte| *byte == b',').try_fold(0_u64, |sum, range| {
        let mut ends = range.splitn(2, |byte| *byte == b'-');
        let first = unsigned(ends.next()?.trim_ascii())?;
        let last = ends.next().map_or(Some(first), |end| unsigned(end.trim_ascii()))?;
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })?;
    u32::try_from(total).ok().filter(|count| *count > 0)
}

/// Reads a memory limit: `memory.max` (v2) or `memory.limit_in_bytes` (v1).
/// `None` when there is none: `max`, or at least the largest limit of v1, which
/// is the largest signed number less a part of a page (9223372036854771712
/// with pages of 4 KiB).
pub fn parse_memory_limit(data: &[u8]) -> Option<u64> {
    const LARGEST_PAGE: u64 = 1 << 20;
    unsigned(data.trim_ascii()).filter(|limit| *limit < i64::MAX.unsigned_abs() - LARGEST_PAGE)
}

/// Reads a file that holds one number (`memory.current`, `cpuacct.usage`).
pub fn parse_number(data: &[u8]) -> Option<u64> {
    unsigned(data.trim_ascii())
}

/// What `memory.stat` says of page cache, in bytes, descendants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStat {
    /// Page cache that was used long ago.
    pub inactive_file: u64,
    /// Page cache that was used lately.
    pub active_file: u64,
    /// Slab that can be reclaimed; v1 does not say.
    pub reclaimable_slab: u64,
}

impl MemoryStat {
    /// Returns what the kernel can take back without swapping.
    pub const fn reclaimable(&self) -> u64 {
        self.inactive_file.saturating_add(self.active_file).saturating_add(self.reclaimable_slab)
    }
}

/// Reads `memory.stat`. The `total_` lines of v1 include descendants, as all
/// lines of v2 do.
pub fn parse_memory_stat(data: &[u8]) -> MemoryStat {
    let either = |total: &[u8], own: &[u8]| keyed(data, total).or_else(|| keyed(data, own)).unwrap_or(0);
    MemoryStat {
        inactive_file: either(b"total_inactive_file", b"inactive_file"),
        active_file: either(b"total_active_file", b"active_file"),
        reclaimable_slab: keyed(data, b"slab_reclaimable").unwrap_or(0),
    }
}

/// What `cpu.stat` says. The use is there in v2 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuStat {
    /// Processor time used, in microseconds.
    pub usage_micros: Option<u64>,
    /// Quota periods that passed while the group wanted to run, and those in
    /// which it was throttled.
    pub periods: Option<(u64, u64)>,
}

/// Reads `cpu.stat`.
pub fn parse_cpu_stat(data: &[u8]) -> CpuStat {
    CpuStat {
        usage_micros: keyed(data, b"usage_usec"),
        periods: keyed(data, b"nr_periods").zip(keyed(data, b"nr_throttled")),
    }
}

#[doc(hidden)]
pub fn fuzz_cgroup(data: &[u8]) {
    assert!(parse_cpu_max(data).is_none_or(f64::is_finite));
    assert!(parse_cfs(data, data).is_none_or(f64::is_finite));
    assert!(parse_cpu_list(data).is_none_or(|count| count > 0));
    let _ = (parse_memory_limit(data), parse_number(data), parse_cpu_stat(data));
    let _ = parse_memory_stat(data).reclaimable();
    let half = data.len() / 2;
    let is_mine_first = |paths: &[PathBuf]| paths.windows(2).all(|pair| pair[0].starts_with(&pair[1]));
    for controller in [None, Some(Controller::Cpu), Some(Controller::Memory)] {
        assert!(is_mine_first(&ancestors(&data[..half], &data[half..], controller)));
        assert!(is_mine_first(&ancestors(b"0::/a/b\n1:cpu,memory:/a/b\n", data, controller)));
        assert!(is_mine_first(&ancestors(data, b"1 2 0:1 / /c rw - cgroup2 c rw\n", controller)));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[track_caller]
    fn check_ancestors(membership: &str, mounts: &str, controller: Option<Controller>, expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(ancestors(membership.as_bytes(), mounts.as_bytes(), controller), expected);
    }

    const V2_MOUNT: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_group_has_every_ancestor_up_to_the_mount() {
        check_ancestors(
            "0::/user.slice/app.service\n",
            V2_MOUNT,
            None,
            &["/sys/fs/cgroup/user.slice/app.service", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"],
        );
        check_ancestors("0::/\n", V2_MOUNT, None, &["/sys/fs/cgroup"]);
    }

    #[test]
    fn in_a_hybrid_each_controller_has_its_own_path() {
        let membership = "4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/\n";
        check_ancestors(
            membership,
            HYBRID_MOUNTS,
            Some(Controller::Memory),
            &["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"],
        );
        check_ancestors(
            membership,
            HYBRID_MOUNTS,
            Some(Controller::CpuAccounting),
            &["/sys/fs/cgroup/cpu,cpuacct/c", "/sys/fs/cgroup/cpu,cpuacct"],
        );
        check_ancestors(membership, HYBRID_MOUNTS, None, &["/sys/fs/cgroup/unified"]);
        check_ancestors(membership, HYBRID_MOUNTS, Some(Controller::Cpuset), &[]);
    }

    #[test]
    fn a_container_sees_a_part_of_the_hierarchy() {
        let mounts = "32 31 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let memory = Some(Controller::Memory);
        check_ancestors("4:memory:/docker/abc\n", mounts, memory, &["/sys/fs/cgroup/memory"]);
        check_ancestors(
            "4:memory:/docker/abc/inner\n",
            mounts,
            memory,
            &["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"],
        );
        check_ancestors("4:memory:/docker/abcdef\n", mounts, memory, &["/sys/fs/cgroup/memory"]);
        check_ancestors("0::/../../other\n", V2_MOUNT, None, &["/sys/fs/cgroup"]);
    }

    #[test]
    fn escapes_in_a_mount_point_are_undone() {
        let mounts = "30 23 0:26 / /mnt/a\\040b rw - cgroup2 none rw\n";
        check_ancestors("0::/\n", mounts, None, &["/mnt/a b"]);
    }

    #[test]
    fn a_quota_is_a_number_of_processors() {
        assert_eq!(parse_cpu_max(b"150000 100000\n"), Some(1.5));
        assert_eq!(parse_cpu_max(b"max 100000\n"), None);
        assert_eq!(parse_cpu_max(b"50000 0\n"), None);
        assert_eq!(parse_cfs(b"200000\n", b"100000\n"), Some(2.0));
        assert_eq!(parse_cfs(b"-1\n", b"100000\n"), None);
    }

    #[test]
    fn a_cpu_list_is_counted() {
        assert_eq!(parse_cpu_list(b"0-3,8\n"), Some(5));
        assert_eq!(parse_cpu_list(b"2\n"), Some(1));
        for not_a_list in [b"\n".as_slice(), b"3-1", b"0-18446744073709551615", b"a"] {
            assert_eq!(parse_cpu_list(not_a_list), None);
        }
    }

    #[test]
    fn the_largest_limit_of_v1_is_no_limit() {
        assert_eq!(parse_memory_limit(b"9223372036854771712\n"), None);
        assert_eq!(parse_memory_limit(b"9223372036854710272\n"), None); // pages of 64 KiB
        assert_eq!(parse_memory_limit(b"max\n"), None);
        assert_eq!(parse_memory_limit(b"2147483648\n"), Some(2 << 30));
    }

    #[test]
    fn page_cache_is_reclaimable_in_both_versions() {
        let v2 =
            parse_memory_stat(b"anon 100\nfile 50\ninactive_file 30\nactive_file 15\nslab_reclaimable 5\n");
        assert_eq!(v2.reclaimable(), 50);
        let v1 = parse_memory_stat(
            b"cache 1\ninactive_file 1\nactive_file 1\ntotal_inactive_file 30\ntotal_active_file 15\n",
        );
        assert_eq!((v1.inactive_file, v1.active_file), (30, 15));
    }

    #[test]
    fn use_and_throttling_are_read() {
        let v2 = parse_cpu_stat(
            b"usage_usec 1500000\nuser_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 9\n",
        );
        assert_eq!(v2, CpuStat { usage_micros: Some(1_500_000), periods: Some((10, 4)) });
        assert_eq!(parse_cpu_stat(b"usage_usec 7\n").periods, None);
    }
}
