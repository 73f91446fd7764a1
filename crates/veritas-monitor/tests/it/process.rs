//! Processes: ours, a child that stops and ends, the table of all.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use veritas_model::{Clock as _, SystemClock};
use veritas_monitor::{ProcessError, ProcessStatus, ProcessTable, Sampler, SamplerOptions, read_process};
use veritas_testkit::wait_for;

use crate::live::{burn, own_ticks, value_of};

const DEADLINE: Duration = Duration::from_mins(1);

/// A child that waits for its input; killed at the end of the test.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat is there"))
    }

    fn status(&self) -> ProcessStatus {
        read_process(self.0.id(), &SystemClock::new()).expect("the child is there").status
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn the_first_answer_has_the_use_since_the_start() {
    burn(10);
    let mut sampler = Sampler::open(SamplerOptions::default()).expect("this is Linux");
    let process = sampler.tick(&SystemClock::new()).process;
    assert!(process.cpu_percent.expect("a mean since the start") > 0.0);
    assert_eq!(process.pid, std::process::id());
}

#[test]
fn the_next_answers_are_over_the_tick() {
    let clock = SystemClock::new();
    let mut sampler = Sampler::open(SamplerOptions::default()).expect("this is Linux");
    let outer_before = own_ticks();
    let first = sampler.tick(&clock);
    let inner_before = own_ticks();
    burn(20);
    let inner = own_ticks();
    let second = sampler.tick(&clock);
    let outer = own_ticks();
    let percent = second.process.cpu_percent.expect("two ticks");
    let seconds = second.interval.expect("two ticks").as_secs_f64();
    check_use(percent * seconds, inner - inner_before, outer - outer_before);
    assert_eq!(first.process.started_at, second.process.started_at);
}

/// Checks percent times seconds against readings of the kernel's ticks inside of the
/// interval and around it.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn check_use(percent_seconds: f64, least: u64, most: u64) {
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    let [least, most] = [least, most].map(|ticks| ticks as f64 / per_second * 100.0);
    assert!(least > 0.0);
    assert!(
        (least - 1e-6..=most + 1e-6).contains(&percent_seconds),
        "{least} to {most}, ours {percent_seconds}"
    );
}

#[test]
fn memory_and_threads_agree_with_the_status_file() {
    let mut sampler = Sampler::open(SamplerOptions::default()).expect("this is Linux");
    let process = sampler.tick(&SystemClock::new()).process;
    let rss = value_of("/proc/self/status", "VmRSS:") * 1024;
    assert!(process.rss.get().abs_diff(rss) < 16 << 20, "kernel {rss}, ours {:?}", process.rss);
    assert!(process.vms >= process.rss);
    assert!(process.threads >= 2, "the test's thread and the helper's");
    let percent = process.memory_percent.expect("the total is known");
    assert!(percent > 0.0 && percent < 100.0);
}

#[test]
fn open_sockets_and_files_are_counted() {
    let count = || {
        let process = read_process(std::process::id(), &SystemClock::new()).expect("we are there");
        (process.connections.expect("ours"), process.open_files.expect("ours"))
    };
    let (sockets, _) = count();
    let listeners: Vec<_> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let (more_sockets, files) = count();
    assert_eq!(more_sockets, sockets + 5);
    assert!(files >= more_sockets);
    drop(listeners);
    assert_eq!(count().0, sockets);
}

#[test]
fn a_child_sleeps_stops_and_becomes_a_zombie() {
    let child = Waiting::start();
    wait_for(DEADLINE, || child.status() == ProcessStatus::Sleeping);
    child.signal("-STOP");
    wait_for(DEADLINE, || child.status() == ProcessStatus::Stopped);
    child.signal("-KILL");
    wait_for(DEADLINE, || child.status() == ProcessStatus::Zombie);
    let zombie = read_process(child.0.id(), &SystemClock::new()).expect("not collected yet");
    assert_eq!(zombie.name, "cat");
    assert_eq!(zombie.rss.get(), 0);
}

#[test]
fn a_watched_process_that_ends_is_dead_and_never_another_one() {
    let clock = SystemClock::new();
    let mut child = Waiting::start();
    let options = SamplerOptions { pid: Some(child.0.id()), ..SamplerOptions::default() };
    let mut sampler = Sampler::open(options).expect("the child is there");
    assert_eq!(sampler.tick(&clock).process.pid, child.0.id());
    child.0.kill().expect("killed");
    child.0.wait().expect("collected");
    let process = sampler.tick(&clock).process;
    assert_eq!(process.status, ProcessStatus::Dead);
    assert_eq!((process.rss.get(), process.threads, process.cpu_percent), (0, 0, None));
}

#[test]
fn a_process_that_is_not_there_is_not_found() {
    for pid in [0, u32::MAX] {
        let error = read_process(pid, &SystemClock::new()).expect_err("there is none");
        assert!(matches!(error, ProcessError::NotFound { .. }), "{error}");
    }
}

#[test]
fn the_table_names_who_burns() {
    let clock = SystemClock::new();
    let mut table = ProcessTable::new();
    assert_eq!(table.blame("system.cpu.percent"), None);
    let outer_start = clock.monotonic();
    table.scan(&clock).expect("scanned");
    let inner_before = own_ticks();
    burn(20);
    let inner = own_ticks();
    table.scan(&clock).expect("scanned");
    let seconds = clock.monotonic().since(outer_start).as_secs_f64();
    let all = table.top_by_cpu(usize::MAX);
    let own = all.iter().find(|process| process.pid == std::process::id()).expect("we are in it");
    let percent = own.cpu_percent.expect("two scans");
    check_use(percent * seconds, inner - inner_before, u64::MAX);
    assert!(own.rss.get() > 0);
    assert!(all.windows(2).all(|pair| pair[0].cpu_percent >= pair[1].cpu_percent));
    let by_memory = table.top_by_memory(3);
    assert!(by_memory.windows(2).all(|pair| pair[0].rss >= pair[1].rss));
    assert!(table.blame("system.cpu.percent").expect("we burn").contains("% of a core"));
    assert!(table.blame("system.memory.percent").expect("somebody").contains("MiB"));
    assert_eq!(table.blame("system.disk.percent"), None);
}
