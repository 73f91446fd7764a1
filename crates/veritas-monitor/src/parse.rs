//! Parsers of what the Linux kernel prints, over bytes, without allocation once
//! their targets are warm.
//!
//! They are pure and run everywhere. A parser takes what it understands and
//! skips what it does not; it returns `None` when what it is for is not there.
//! No input makes one panic, and no number of theirs is NaN or infinite. The
//! formats are those of proc(5) and the kernel's `Documentation/filesystems/proc.rst`,
//! `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

pub mod cgroup;
pub mod meminfo;
pub mod network;
pub mod pressure;
pub mod process;
pub mod scan;
pub mod stat;

/// Returns `part` of `whole` in percent, 0 to 100; `None` of nothing.
pub(crate) fn percent_of(part: u64, whole: u64) -> Option<f64> {
    veritas_model::Ratio::of(part, whole).map(|share| (share.get() * 100.0).clamp(0.0, 100.0))
}

/// Feeds arbitrary bytes to every parser: the fuzz target, replayed by a test.
#[doc(hidden)]
pub fn fuzz_parsers(data: &[u8]) {
    stat::fuzz_stat(data);
    meminfo::fuzz_meminfo(data);
    network::fuzz_network(data);
    pressure::fuzz_pressure(data);
    process::fuzz_process(data);
    cgroup::fuzz_cgroup(data);
}
