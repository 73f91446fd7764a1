//! A tick against `/proc` read with other code.

use std::{fs, path::Path, time::Duration};

use veritas_model::SystemClock;
use veritas_monitor::{Reading, SERIES, Sampler, SamplerOptions};
use veritas_testkit::{VirtualClock, wait_for};

fn sampler() -> Sampler {
    Sampler::open(SamplerOptions::default()).expect("this is Linux")
}

/// Keeps a processor busy until this process has had `ticks` of processor time, however
/// long others hold the processors.
pub(crate) fn burn(ticks: u64) {
    let start = own_ticks();
    while own_ticks() - start < ticks {
        std::hint::black_box((0..100_000).sum::<u64>());
    }
}

/// The processor time that this process has had, in ticks of the kernel.
pub(crate) fn own_ticks() -> u64 {
    let stat = text("/proc/self/stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let field = |index: usize| fields.split(' ').nth(index).and_then(|field| field.parse::<u64>().ok());
    field(11).expect("user time") + field(12).expect("system time")
}

fn text(path: &str) -> String {
    fs::read_to_string(path).expect("every Linux has it")
}

/// The number after `key:` in a file of `key: value` lines.
pub(crate) fn value_of(path: &str, key: &str) -> u64 {
    let text = text(path);
    let line = text.lines().find(|line| line.starts_with(key)).expect("the key is there");
    line.split_whitespace().nth(1).expect("a value").parse().expect("a number")
}

/// Busy and all ticks of all processors.
fn host_ticks() -> (f64, f64) {
    let stat = text("/proc/stat");
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .expect("the sum")
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(|field| field.parse().expect("a number"))
        .collect();
    let all: f64 = fields.iter().sum();
    (all - fields[3] - fields[4] - fields[7], all)
}

/// Bytes received and sent by the devices with hardware behind them.
fn physical_traffic() -> Option<(u64, u64)> {
    let dev = text("/proc/net/dev");
    let physical: Vec<Vec<u64>> = dev
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| Path::new("/sys/class/net").join(name.trim()).join("device").exists())
        .map(|(_, counters)| {
            counters.split_whitespace().map(|field| field.parse().expect("a number")).collect()
        })
        .collect();
    let sum = |index: usize| physical.iter().map(|counters| counters[index]).sum();
    (!physical.is_empty()).then(|| (sum(0), sum(8)))
}

#[test]
fn memory_is_what_meminfo_says() {
    let reading = sampler().tick(&SystemClock::new());
    let memory = reading.system.memory.expect("meminfo is there");
    let total = value_of("/proc/meminfo", "MemTotal:") * 1024;
    assert_eq!(memory.host_total.get(), total);
    let available = value_of("/proc/meminfo", "MemAvailable:") * 1024;
    // Others allocate meanwhile.
    assert!(available.abs_diff(memory.host_available.get()) < total / 4);
    assert_eq!(memory.used.get() + memory.available.get(), memory.total.get());
    assert!(memory.total <= memory.host_total);
}

#[test]
fn traffic_lies_between_two_other_readings() {
    let mut sampler = sampler();
    let before = physical_traffic();
    let reading = sampler.tick(&SystemClock::new());
    let after = physical_traffic();
    if let (Some(before), Some(after)) = (before, after) {
        let network = reading.system.network.expect("there is a device");
        assert!((before.0..=after.0).contains(&network.bytes_received.get()));
        assert!((before.1..=after.1).contains(&network.bytes_sent.get()));
    }
}

#[test]
fn the_disk_is_counted_as_df_counts() {
    let (clock, mut sampler) = (SystemClock::new(), sampler());
    let disk = wait_for(Duration::from_mins(1), || sampler.tick(&clock).system.disk);
    let output = std::process::Command::new("df").args(["-B1", "--output=size,pcent", "/"]).output();
    let output = String::from_utf8(output.expect("df is there").stdout).expect("text");
    let fields: Vec<_> = output.lines().nth(1).expect("a line").split_whitespace().collect();
    assert_eq!(fields[0].parse(), Ok(disk.total.get()));
    let percent: f64 = fields[1].trim_end_matches('%').parse().expect("a percentage");
    // df rounds up; others write meanwhile.
    assert!((percent - disk.percent).abs() <= 2.0, "df {percent}, ours {}", disk.percent);
}

#[test]
fn processor_use_agrees_with_the_ticks_of_the_kernel() {
    let clock = SystemClock::new();
    let mut sampler = sampler();
    let outer_before = host_ticks();
    let first = sampler.tick(&clock);
    let inner_before = host_ticks();
    assert_eq!(first.system.cpu.host_percent, None, "one tick has no use");
    burn(20);
    let inner = host_ticks();
    let second = sampler.tick(&clock);
    let outer = host_ticks();
    // Between our readings and the sampler's, others work or rest for any time.
    let least = (inner.0 - inner_before.0) / (outer.1 - outer_before.1) * 100.0;
    let most = (outer.0 - outer_before.0) / (inner.1 - inner_before.1) * 100.0;
    let host = second.system.cpu.host_percent.expect("two ticks have a use");
    // The kernel's count of idle time may go back a little.
    assert!((least - 1.0..=most + 1.0).contains(&host), "kernel {least} to {most}, ours {host}");
    assert!(host > 0.0);
    assert_eq!(second.system.cpu.cores.len(), second.system.cpu.count as usize);
    assert!(second.system.cpu.percent.is_some());
}

#[test]
fn a_tick_in_no_time_has_no_rates_and_spoils_none() {
    let clock = VirtualClock::new();
    let mut sampler = sampler();
    sampler.tick(&clock);
    burn(5);
    let standing = sampler.tick(&clock);
    assert_eq!(standing.interval, Some(Duration::ZERO));
    assert_eq!(standing.system.cpu.percent, None);
    assert_eq!(standing.process.cpu_percent, None);
    assert_eq!(standing.system.network.and_then(|network| network.bytes_sent_per_second), None);
    clock.advance(Duration::from_millis(100));
    let moved = sampler.tick(&clock);
    assert!(moved.system.cpu.host_percent.is_some());
    assert!(moved.process.cpu_percent.is_some());
}

#[test]
fn a_clock_that_is_set_is_a_gap_and_no_spike() {
    let clock = VirtualClock::new();
    let mut sampler = sampler();
    sampler.tick(&clock);
    clock.advance(Duration::from_secs(1));
    assert!(!sampler.tick(&clock).gap);
    clock.advance(Duration::from_secs(1));
    clock.jump_wall(-3_600_000_000_000);
    let reading = sampler.tick(&clock);
    assert!(reading.gap);
    assert_eq!(reading.interval, Some(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    assert!(!sampler.tick(&clock).gap);
}

#[test]
fn a_real_reading_survives_history() {
    let clock = SystemClock::new();
    let mut sampler = sampler();
    sampler.tick(&clock);
    burn(2);
    let mut reading = sampler.tick(&clock);
    let numbers = reading.series();
    assert!(numbers.iter().all(|(name, _)| SERIES.iter().any(|series| series.name == *name)));
    let get = |name: &str| numbers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
    let texts = reading.texts();
    let text = |name: &str| texts.iter().find(|(other, _)| *other == name).map(|(_, text)| text.clone());
    let mut back = Reading::from_series(reading.at, get, text).expect("it is a reading");
    // A float of seconds keeps a microsecond, and cores are not kept.
    assert!(back.process.started_at.nanos().abs_diff(reading.process.started_at.nanos()) <= 2_000);
    back.process.started_at = reading.process.started_at;
    reading.system.cpu.cores = Vec::new();
    assert_eq!(back, reading);
}

#[test]
fn a_disk_path_that_is_not_there_is_an_error_of_opening() {
    let options = SamplerOptions { disk_path: "/not/there".into(), pid: None };
    let error = Sampler::open(options).expect_err("the path is not there");
    assert_eq!(error.to_string(), "failed to read the file system of \"/not/there\"");
}
