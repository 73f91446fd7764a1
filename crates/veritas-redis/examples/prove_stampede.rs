//! Proves that processes that miss a key together load it once: 8 processes of 250
//! callers, 100 times; and that a killed leader costs one load more. Prints how long
//! after the load the last caller had the value.
//!
//! Needs `redis-server`. Run it in release, it takes a minute:
//! `cargo run --release -p veritas-redis --example prove_stampede`.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

#[path = "../tests/it/stampede/herd.rs"]
mod herd;

use std::{process::Command, time::Duration};

use herd::{CALLERS, Herd, Report};
use veritas_testkit::Redis;

const PROCESSES: usize = 8;
const TRIALS: u64 = 100;
const KILLS: u64 = 10;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("member") {
        return herd::run_member();
    }
    let redis = Redis::start();
    let member = || {
        let mut command = Command::new(std::env::current_exe().expect("it runs"));
        command.arg("member");
        command
    };
    let mut herd = Herd::start(PROCESSES, &redis.url(), member);
    let (mut single, mut served, mut latest) = (0, 0, Vec::new());
    for trial in 0..TRIALS {
        let reports = herd.ask(trial, 100);
        single += u64::from(loads(&reports) == 1);
        served += reports.iter().map(|report| report.served).sum::<usize>();
        latest.push(reports.iter().map(|report| report.latest).max().unwrap_or_default());
    }
    latest.sort_unstable();
    println!("{PROCESSES} processes x {CALLERS} callers: 1 load in {single} of {TRIALS} trials");
    println!("served: {served} of {}", PROCESSES * CALLERS * 100);
    println!("last caller served after the load: median {:?}, most {:?}", latest[50], latest[99]);
    drop(herd);

    let mut worst = 0;
    let mut recovered = Duration::ZERO;
    for trial in 0..KILLS {
        let mut herd = Herd::start(PROCESSES, &redis.url(), member);
        herd.hang(0, 1_000 + trial);
        herd.kill(0);
        let reports = herd.ask(1_000 + trial, 0);
        worst = worst.max(1 + loads(&reports));
        recovered = recovered.max(reports.iter().map(|report| report.latest).max().unwrap_or_default());
    }
    println!(
        "leader killed, {KILLS} times: at most {worst} loads; last caller {recovered:?} after the second load"
    );
    assert_eq!(single, TRIALS, "a herd loaded more than once");
    assert!(worst <= 2, "a killed leader cost more than one load");
}

fn loads(reports: &[Report]) -> u64 {
    reports.iter().map(|report| report.loads).sum()
}
