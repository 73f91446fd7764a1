//! Proof that use is judged by the limits of a cgroup that the kernel enforces.
//!
//! It moves itself into groups of its own: it needs root and cgroup v1, and stands
//! apart from the tests because it moves its whole process.
//! `cargo xtask prove cgroup_limits` runs it.

use std::{fs, time::Duration};

use veritas_model::{Bytes, Clock, SystemClock};
use veritas_monitor::{Sampler, SamplerOptions};

fn main() {
    use_is_judged_by_a_quota_that_the_kernel_enforces();
    memory_is_judged_by_a_limit_that_the_kernel_enforces();
}

fn sampler() -> Sampler {
    Sampler::open(SamplerOptions::default()).expect("this is Linux")
}

/// Keeps one processor busy.
fn burn(duration: Duration) {
    let clock = SystemClock::new();
    let start = clock.monotonic();
    while clock.monotonic().since(start) < duration {
        std::hint::black_box((0..1000).sum::<u64>());
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).expect("every Linux has it")
}

/// The number after `key:` in a file of `key: value` lines.
fn value_of(path: &str, key: &str) -> u64 {
    let text = text(path);
    let line = text.lines().find(|line| line.starts_with(key)).expect("the key is there");
    line.split_whitespace().nth(1).expect("a value").parse().expect("a number")
}

/// Needs a writable `cpu` and `cpuacct` hierarchy.
fn use_is_judged_by_a_quota_that_the_kernel_enforces() {
    let group = format!("veritas-test-{}", std::process::id());
    let [cpu, acct] = ["cpu", "cpuacct"].map(|hierarchy| format!("/sys/fs/cgroup/{hierarchy}/{group}"));
    for directory in [&cpu, &acct] {
        fs::create_dir(directory).expect("a group is made");
    }
    fs::write(format!("{cpu}/cpu.cfs_quota_us"), "20000").expect("a quota is set");
    for directory in [&cpu, &acct] {
        fs::write(format!("{directory}/cgroup.procs"), std::process::id().to_string()).expect("moved");
    }
    let clock = SystemClock::new();
    let mut sampler = sampler();
    sampler.tick(&clock);
    burn(Duration::from_secs(3));
    let reading = sampler.tick(&clock);
    for hierarchy in ["cpu", "cpuacct"] {
        let root = format!("/sys/fs/cgroup/{hierarchy}/cgroup.procs");
        fs::write(root, std::process::id().to_string()).expect("moved back");
    }
    for directory in [&cpu, &acct] {
        fs::remove_dir(directory).expect("the group is empty");
    }
    let cpu = reading.system.cpu;
    assert_eq!(cpu.limit_cores, Some(0.2));
    let percent = cpu.percent.expect("two ticks");
    let own = reading.process.cpu_percent.expect("two ticks");
    // On a busy machine the quota is not all used; the two accounts agree anyway.
    assert!((percent - own / 0.2).abs() < 6.0, "{percent} % of the quota, {own} % of a core");
    assert!(own > 10.0 && own < 25.0, "a core was wanted, a fifth of one is allowed: {own}");
    assert!(cpu.throttled_percent.expect("a quota") > 20.0, "{:?}", cpu.throttled_percent);
    eprintln!("{percent:.1} % of the quota, {own:.1} % of a core, throttled {:?}", cpu.throttled_percent);
}

/// Needs a writable `memory` hierarchy.
fn memory_is_judged_by_a_limit_that_the_kernel_enforces() {
    const LIMIT: u64 = 256 << 20;
    let membership = text("/proc/self/cgroup");
    let home = membership.lines().find_map(|line| line.split_once(":memory:")).expect("cgroup v1").1;
    let home = format!("/sys/fs/cgroup/memory{home}");
    let group = format!("{home}/veritas-test-{}", std::process::id());
    fs::create_dir(&group).expect("a group is made");
    fs::write(format!("{group}/memory.limit_in_bytes"), LIMIT.to_string()).expect("a limit is set");
    fs::write(format!("{group}/cgroup.procs"), std::process::id().to_string()).expect("moved");
    // A quarter of the limit in memory, and as much again in page cache.
    let held = std::hint::black_box(vec![1_u8; 64 << 20]);
    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, &held).expect("written");
    let reading = sampler().tick(&SystemClock::new());
    drop((held, file));
    fs::write(format!("{home}/cgroup.procs"), std::process::id().to_string()).expect("moved back");
    fs::remove_dir(&group).expect("the group is empty");
    let memory = reading.system.memory.expect("meminfo is there");
    assert_eq!(memory.limit.map(Bytes::get), Some(LIMIT));
    assert_eq!(memory.total.get(), LIMIT);
    assert_eq!(memory.host_total.get(), value_of("/proc/meminfo", "MemTotal:") * 1024);
    eprintln!("{:.1} % of the limit, working set {:?}", memory.percent, memory.working_set);
    assert!((25.0..45.0).contains(&memory.percent), "page cache is not used memory: {}", memory.percent);
}
