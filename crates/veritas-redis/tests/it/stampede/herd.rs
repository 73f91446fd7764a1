//! Herds: processes whose callers all miss one key at once.
//!
//! A member is a process of its own, told over its standard input what to do; it
//! answers on its standard output, a line for each line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use veritas_cache::{CacheOptions, Caches};
use veritas_model::{Clock, SystemClock};
use veritas_redis::{LeaseOptions, RedisOptions, RedisTier, TieredCache, TieredCaches, TieredOptions};

/// Callers of one member.
pub(crate) const CALLERS: usize = 250;

/// What a member's answer begins with; a test harness prints lines of its own.
const ANSWER: &str = "member ";

/// What came of one trial in one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many of its callers got the value.
    pub(crate) served: usize,
    /// How many loaders ran in it.
    pub(crate) loads: u64,
    /// How long after the loader had the value the last of its callers had it.
    pub(crate) latest: Duration,
}

/// The parent's end of all members.
pub(crate) struct Herd {
    members: Vec<Member>,
}

struct Member {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Herd {
    /// Starts members; `command` makes one that ends up in [`run_member`].
    pub(crate) fn start(members: usize, url: &str, command: impl Fn() -> Command) -> Self {
        let start = |_| {
            let mut child =
                command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a member starts");
            let mut input = child.stdin.take().expect("it is piped");
            let output = BufReader::new(child.stdout.take().expect("it is piped"));
            writeln!(input, "{url}").expect("a member listens");
            Member { child, input, output }
        };
        let mut herd = Self { members: (0..members).map(start).collect() };
        herd.members.iter_mut().for_each(|member| assert_eq!(member.answer(), "ready"));
        herd
    }

    /// Lets all callers of all members ask for a key at once; its load takes `load_ms`.
    pub(crate) fn ask(&mut self, key: u64, load_ms: u64) -> Vec<Report> {
        for member in &mut self.members {
            writeln!(member.input, "{key} {load_ms}").expect("a member listens");
        }
        self.members.iter_mut().map(Member::report).collect()
    }

    /// Lets one member begin a load that never ends.
    pub(crate) fn hang(&mut self, member: usize, key: u64) {
        let member = &mut self.members[member];
        writeln!(member.input, "{key} hang").expect("a member listens");
        assert_eq!(member.answer(), "loading");
    }

    /// Ends a member as `kill -9` does.
    pub(crate) fn kill(&mut self, member: usize) {
        let mut member = self.members.remove(member);
        member.child.kill().expect("it runs");
        member.child.wait().expect("it ran");
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended by itself.
            member.child.kill().ok();
            member.child.wait().ok();
        }
    }
}

impl Member {
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("a member answers"), 0, "a member ended");
            // A harness writes in front of it without a line's end.
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return answer.trim().to_owned();
            }
        }
    }

    fn report(&mut self) -> Report {
        let answer = self.answer();
        let mut figures = answer.split(' ').map(|figure| figure.parse::<u64>().expect("a figure"));
        let mut next = || figures.next().expect("three figures");
        let served = usize::try_from(next()).expect("a count");
        Report { served, loads: next(), latest: Duration::from_micros(next()) }
    }
}

/// Runs a member until its input ends.
#[expect(clippy::print_stdout, reason = "it is how a member answers")]
pub(crate) fn run_member() {
    let mut lines = std::io::stdin().lines().map(|line| line.expect("it is text"));
    let url = lines.next().expect("the parent names the server");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be made");
    let clock = Arc::new(SystemClock::new());
    let caches = Arc::new(Caches::new(CacheOptions::default(), clock.clone()));
    let mut options = RedisOptions::parse(&url).expect("it is an address");
    // Eight processes on two cores: a deadline is missed by waiting for a turn.
    options.deadline = Duration::from_secs(2);
    let redis = RedisTier::connect(options, clock.clone()).expect("the options are good");
    let tiered = TieredCaches::new(caches, redis, clock.clone());
    // Who loses his patience loads for himself, and is waiting for a turn too.
    let lease = LeaseOptions { patience: Duration::from_secs(30), ..LeaseOptions::default() };
    let values = tiered.namespace::<i64>("herd", TieredOptions { lease, ..TieredOptions::default() });
    // Connected, and the version of the namespace known.
    runtime.block_on(values.get(&u64::MAX));
    println!("{ANSWER}ready");
    for line in lines {
        let (key, load) = line.split_once(' ').expect("a key and a time");
        let key: u64 = key.parse().expect("a number");
        if load == "hang" {
            runtime.spawn(hang(values.clone(), key));
            continue;
        }
        let load = Duration::from_millis(load.parse().expect("a number"));
        let report = runtime.block_on(stampede(tiered.redis(), &values, key, load, &clock));
        println!("{ANSWER}{} {} {}", report.served, report.loads, report.latest.as_micros());
    }
}

async fn stampede(
    redis: &RedisTier,
    values: &TieredCache<i64>,
    key: u64,
    load: Duration,
    clock: &Arc<SystemClock>,
) -> Report {
    let loads = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (redis, values) = (redis.clone(), values.clone());
            let (loads, clock) = (Arc::clone(&loads), Arc::clone(clock));
            tokio::spawn(async move {
                let loader = || async {
                    loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    // How long the source takes, so that others ask meanwhile; nothing is asserted of it.
                    redis.pause(load).await;
                    // The value is when the loader had it: all processes share a host's clock.
                    Ok::<_, std::convert::Infallible>(clock.now().nanos())
                };
                let loaded_at = values.get_or_load(&key, loader).await.ok()?;
                u64::try_from(clock.now().nanos() - loaded_at).ok()
            })
        })
        .collect();
    let mut report = Report { served: 0, loads: 0, latest: Duration::ZERO };
    for caller in callers {
        if let Ok(Some(nanos)) = caller.await {
            report.served += 1;
            report.latest = report.latest.max(Duration::from_nanos(nanos));
        }
    }
    report.loads = loads.load(std::sync::atomic::Ordering::Relaxed);
    report
}

#[expect(clippy::print_stdout, reason = "it is how a member answers")]
async fn hang(values: TieredCache<i64>, key: u64) {
    let loader = || async {
        println!("{ANSWER}loading");
        std::future::pending::<Result<i64, std::convert::Infallible>>().await
    };
    // It never comes back.
    drop(values.get_or_load(&key, loader).await);
}
