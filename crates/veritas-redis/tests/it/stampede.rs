//! Stampedes: many callers of many processes miss one key, and it is loaded once.

pub(crate) mod herd;

use std::process::Command;

use veritas_testkit::Redis;

use self::herd::{CALLERS, Herd, Report};

/// Trials of each test; the proof in `examples/prove_stampede.rs` makes a hundred.
const TRIALS: u64 = 5;

/// This test binary once more, as a member.
fn member() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["stampede::member_of_a_herd", "--exact", "--ignored", "--nocapture"]);
    command
}

fn loads(reports: &[Report]) -> u64 {
    reports.iter().map(|report| report.loads).sum()
}

#[test]
#[ignore = "is no test: a member of a herd, which the tests below start"]
fn member_of_a_herd() {
    herd::run_member();
}

#[test]
fn processes_that_miss_together_load_once() {
    let redis = Redis::start();
    let mut herd = Herd::start(4, &redis.url(), member);
    for trial in 0..TRIALS {
        let reports = herd.ask(trial, 50);
        assert_eq!(loads(&reports), 1, "trial {trial}: {reports:?}");
        assert!(reports.iter().all(|report| report.served == CALLERS), "{reports:?}");
    }
}

#[test]
fn a_killed_leader_is_replaced_by_one() {
    let redis = Redis::start();
    let mut herd = Herd::start(4, &redis.url(), member);
    herd.hang(0, 7);
    herd.kill(0);
    let reports = herd.ask(7, 50);
    assert_eq!(loads(&reports), 1, "beside the one that was killed: {reports:?}");
    assert!(reports.iter().all(|report| report.served == CALLERS), "{reports:?}");
}
